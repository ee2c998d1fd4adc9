//! The listeners of AMQP, with TLS and without.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::{JoinHandle, JoinSet},
};

use super::{
    StartError, accept, listen,
    tls::{self, Tls},
};
use crate::{
    config::Config,
    connection::{self, Context, Peer},
};

/// Where AMQP is spoken, before anybody is accepted.
pub(super) struct Listeners {
    plain: Vec<(TcpListener, SocketAddr)>,
    over_tls: Vec<(TcpListener, SocketAddr)>,
    tls: Option<Arc<Tls>>,
}

impl Listeners {
    pub(super) fn open(config: &Config, tls: Option<Arc<Tls>>) -> Result<Self, StartError> {
        let open =
            |own: &[_], port| listen::open(config.addresses(own), port, config.listen_backlog);
        let plain =
            if config.amqp_plain { open(&config.bind, config.amqp_port)? } else { Vec::new() };
        let over_tls = match tls {
            Some(_) => open(&config.tls_bind, config.tls_port)
                .map_err(|error| error.of_port("tls_port"))?,
            None => Vec::new(),
        };
        Ok(Self { plain, over_tls, tls })
    }

    /// The addresses without TLS, and those with it.
    pub(super) fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        let of = |listeners: &[(TcpListener, SocketAddr)]| {
            listeners.iter().map(|(_, address)| *address).collect()
        };
        (of(&self.plain), of(&self.over_tls))
    }

    /// Accepts on all of them until `stopped` has lost its sender.
    pub(super) fn accept(
        self,
        context: &Arc<Context>,
        room: &Arc<Semaphore>,
        stopped: &watch::Receiver<()>,
    ) -> Vec<JoinHandle<JoinSet<()>>> {
        let mut acceptors = Vec::new();
        for (listener, _) in self.plain {
            let context = Arc::clone(context);
            let serve = move |stream, ends| {
                let context = Arc::clone(&context);
                async move {
                    if context.broker.registry.is_accepting() {
                        connection::serve(stream, Peer::new(ends), context).await;
                    }
                }
            };
            let accepting = accept::run(listener, Arc::clone(room), stopped.clone(), serve);
            acceptors.push(tokio::spawn(accepting));
        }
        let over_tls = self.over_tls.into_iter().filter_map(|l| Some((l.0, self.tls.clone()?)));
        for (listener, tls) in over_tls {
            let (context, still_on) = (Arc::clone(context), stopped.clone());
            let serve = move |stream, ends| {
                let (tls, context) = (Arc::clone(&tls), Arc::clone(&context));
                serve_tls(stream, Peer::new(ends), tls, context, still_on.clone())
            };
            let accepting = accept::run(listener, Arc::clone(room), stopped.clone(), serve);
            acceptors.push(tokio::spawn(accepting));
        }
        acceptors
    }
}

/// Shakes hands, and serves from then on. The time for the handshakes is that of both together.
async fn serve_tls(
    stream: TcpStream,
    peer: Peer,
    tls: Arc<Tls>,
    context: Arc<Context>,
    mut stopped: watch::Receiver<()>,
) {
    if !context.broker.registry.is_accepting() {
        return;
    }
    let until = peer.connected.after(context.config.handshake_timeout);
    let shaken = tokio::select! {
        shaken = tls.accept(stream, peer.ends.peer, until) => shaken,
        // Nobody would tell it to close.
        _ = stopped.changed() => None,
    };
    let Some(stream) = shaken else { return };
    let agreed = Some(Box::new(tls::info(&stream)));
    connection::serve(stream, Peer { tls: agreed, ..peer }, context).await;
}
