//! What the paths of the API and the page begin with, where that is configured: for who has them
//! behind a proxy, below a path of their own.

use axum::{
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header::LOCATION},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::{Api, Failure, Peer, set_path};

/// Takes the prefix away. Nothing is elsewhere, but who asks for the page without it is sent there;
/// and an operator on this machine needs none.
pub(super) async fn strip(
    State(api): State<Api>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    if peer == Peer::Operator {
        return next.run(request).await;
    }
    let prefix = &api.config.http_path_prefix;
    let (path, query) = (request.uri().path(), request.uri().query());
    match path.strip_prefix(prefix.as_str()) {
        Some(rest) if rest.starts_with('/') => {
            let rest = query.map_or_else(|| rest.to_owned(), |query| format!("{rest}?{query}"));
            set_path(&mut request, &rest);
            next.run(request).await
        }
        // The page names its parts relative to the slash.
        rest if rest == Some("") || path == "/" => {
            let place = [(LOCATION, format!("{prefix}/"))];
            (StatusCode::MOVED_PERMANENTLY, place).into_response()
        }
        _ => Failure::NotFound.into_response(),
    }
}
