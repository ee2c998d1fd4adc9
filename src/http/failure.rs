//! What cannot be done, in RabbitMQ's status codes and words (HT-002 to HT-007).

use axum::{
    http::{StatusCode, header::WWW_AUTHENTICATE},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::Json;
use crate::{admin, broker};

/// Why a call is not answered as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 401 without a word: there are no credentials. A browser asks for them (HT-002).
    NoCredentials,
    /// 401: these are no credentials of anybody. No browser interrupts whoever typed them.
    LoginFailed,
    /// 401: the user may not do this (HT-003, HT-004).
    NotAuthorised(String),
    /// 403: nobody may do this from where the call comes.
    Forbidden(&'static str),
    /// 404: there is no such thing (HT-005).
    NotFound,
    /// 404 in the words of those who looked for something before they could do what they should,
    /// such as `vhost_not_found`.
    Missing(&'static str),
    /// 400: it makes no sense (HT-006, HT-007).
    BadRequest(String),
    /// 400 whose reason RabbitMQ writes as a list: a word, and what it is about.
    BadTerm(&'static str, Value),
    /// 400 with another word than `bad_request` for the error.
    Invalid {
        /// The word.
        error: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// 412: what should hold before does not.
    PreconditionFailed(String),
    /// 400: the body is too large (HT-023).
    TooLarge,
    /// 408: the body did not come, or too slowly.
    TooSlow,
    /// 500: what should not happen. The log says more.
    Internal,
    /// 503: not now.
    Unavailable(String),
}

impl Failure {
    /// 400, for this reason.
    pub fn bad_request(reason: impl Into<String>) -> Self {
        Self::BadRequest(reason.into())
    }

    /// The same, but that something is not there is said in these words.
    pub fn missing(self, word: &'static str) -> Self {
        if self == Self::NotFound { Self::Missing(word) } else { self }
    }

    /// What the broker refused in a vhost: the words that an AMQP client would be told (HT-006).
    pub fn of_broker(error: &broker::Error, vhost: &str) -> Self {
        match error {
            broker::Error::NotFound { .. } => Self::NotFound,
            _ => Self::BadRequest(error.in_vhost(vhost)),
        }
    }
}

impl From<admin::Error> for Failure {
    fn from(error: admin::Error) -> Self {
        use admin::Error as E;
        match error {
            E::NoSuchVhost | E::NoSuchUser | E::NotFound => Self::NotFound,
            E::NoSuchExchange(name) => Self::BadTerm("no_such_exchange", json!(name.as_str())),
            E::Protected(_) => Self::PreconditionFailed(error.to_string()),
            E::Random(_) | E::Store(_) => {
                tracing::error!(%error, "an API call failed");
                Self::Internal
            }
            _ => Self::BadRequest(error.to_string()),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, error, reason) = match self {
            Self::NoCredentials => {
                let challenge = [(WWW_AUTHENTICATE, "Basic realm=\"RabbitMQ Management\"")];
                return (StatusCode::UNAUTHORIZED, challenge).into_response();
            }
            Self::BadTerm(word, about) => {
                let body = json!({"error": "bad_request", "reason": [word, about]});
                return (StatusCode::BAD_REQUEST, Json(body)).into_response();
            }
            Self::LoginFailed => {
                (StatusCode::UNAUTHORIZED, "not_authorized", "Not_Authorized".to_owned())
            }
            Self::NotAuthorised(reason) => (StatusCode::UNAUTHORIZED, "not_authorised", reason),
            Self::Forbidden(reason) => (StatusCode::FORBIDDEN, "forbidden", reason.to_owned()),
            Self::NotFound => (StatusCode::NOT_FOUND, "Object Not Found", "Not Found".to_owned()),
            Self::Missing(word) => (StatusCode::NOT_FOUND, "not_found", word.to_owned()),
            Self::BadRequest(reason) => (StatusCode::BAD_REQUEST, "bad_request", reason),
            Self::Invalid { error, reason } => (StatusCode::BAD_REQUEST, error, reason),
            Self::PreconditionFailed(reason) => {
                (StatusCode::PRECONDITION_FAILED, "precondition_failed", reason)
            }
            Self::TooLarge => (
                StatusCode::BAD_REQUEST,
                "bad_request",
                "Exceeded HTTP request body size limit".to_owned(),
            ),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "request_timeout",
                "the request's body did not come in time".to_owned(),
            ),
            Self::Internal => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal_error",
                "the broker's log says more".to_owned(),
            ),
            Self::Unavailable(reason) => {
                (StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", reason)
            }
        };
        (status, Json(json!({"error": error, "reason": reason}))).into_response()
    }
}
