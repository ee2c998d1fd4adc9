//! What Prometheus scrapes, with RabbitMQ's names, types and labels (HT-140 to HT-148), so that the
//! dashboards made for RabbitMQ show this broker too.
//!
//! - [`snapshot`]: everything is looked at once, each queue and connection for a moment of its own.
//! - [`text`]: the format.
//! - [`family`]: the groups that `/metrics/detailed` may ask for.
//! - [`queues`], [`clients`], [`exchanges`], [`messages`], [`node`], [`engine`]: what is told of
//!   each.
//!
//! A number that RabbitMQ has and this broker does not know is left out rather than made up. No
//! counter ever falls while the broker runs, whatever is closed or deleted. Nobody has to log in,
//! as with RabbitMQ.

mod clients;
mod engine;
mod exchanges;
mod family;
mod messages;
mod node;
mod queues;
mod snapshot;
mod text;

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, RawQuery, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::{
    family::Family,
    snapshot::{Counted, QueueItem, Snapshot},
    text::Page,
};
use super::{Api, Failure, Reply, blocking};
use crate::broker::Vhost;

/// Scrapes that may be under way at a time, until their pages are read to the end. A page of
/// 10,000 queues has some 20 MB.
const SCRAPES_MAX: usize = 8;

/// What all scrapes share.
#[derive(Clone, Debug)]
struct Metrics {
    api: Api,
    room: Arc<Semaphore>,
    /// What was counted at the last scrape. Held while a page is made: one at a time.
    counted: Arc<Mutex<Counted>>,
}

/// The routes of the metrics port.
pub(super) fn router(api: Api) -> Router {
    let room = Arc::new(Semaphore::new(SCRAPES_MAX));
    let metrics = Metrics { api, room, counted: Arc::default() };
    let aggregated = |State(metrics): State<Metrics>| scrape(metrics, Endpoint::Aggregated);
    Router::new()
        .route("/metrics", get(aggregated))
        .route("/metrics/", get(aggregated))
        .route("/metrics/{registry}", get(registry))
        .route("/metrics/{registry}/", get(registry))
        .fallback(|| async { Failure::NotFound })
        .with_state(metrics)
}

async fn registry(
    State(metrics): State<Metrics>,
    Path(registry): Path<String>,
    RawQuery(query): RawQuery,
) -> Reply {
    let endpoint = match &*registry {
        "default" => Endpoint::Aggregated,
        "per-object" => Endpoint::PerObject,
        "memory-breakdown" => Endpoint::Memory,
        "detailed" => Endpoint::detailed(query.as_deref().unwrap_or_default()),
        _ => return Ok((StatusCode::NOT_FOUND, "Unknown Registry").into_response()),
    };
    scrape(metrics, endpoint).await
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Endpoint {
    Aggregated,
    PerObject,
    Memory,
    Detailed {
        families: Vec<Family>,
        /// Of these vhosts alone, if any is named.
        vhosts: Vec<String>,
    },
}

impl Endpoint {
    fn detailed(query: &str) -> Self {
        let (mut families, mut vhosts) = (Vec::new(), Vec::new());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "family" => families.extend(Family::parse(&value)),
                "vhost" => vhosts.push(value.into_owned()),
                _ => {}
            }
        }
        Self::Detailed { families, vhosts }
    }

    /// RabbitMQ's word for it.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Aggregated => "aggregated",
            Self::PerObject => "per-object",
            Self::Memory => "memory-breakdown",
            Self::Detailed { .. } => "detailed",
        }
    }
}

async fn scrape(metrics: Metrics, endpoint: Endpoint) -> Reply {
    let Ok(room) = Arc::clone(&metrics.room).try_acquire_owned() else {
        return Err(Failure::Unavailable("too many scrapes are under way".into()));
    };
    blocking(move || {
        let mut counted = metrics.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let page = render(&metrics.api, &endpoint, &mut counted);
        Ok(Scraped { page, _room: room })
    })
    .await
}

/// A page, and its place among those that may be under way.
#[derive(Debug)]
struct Scraped {
    page: String,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Scraped {
    fn as_ref(&self) -> &[u8] {
        self.page.as_bytes()
    }
}

impl IntoResponse for Scraped {
    fn into_response(self) -> Response {
        let body = Body::from(Bytes::from_owner(self));
        ([(CONTENT_TYPE, text::CONTENT_TYPE)], body).into_response()
    }
}

/// What a scrape is about.
#[derive(Debug)]
struct Scrape<'a> {
    api: &'a Api,
    snapshot: &'a Snapshot,
    /// What its names begin with.
    prefix: &'static str,
    /// The same for those that RabbitMQ does not have.
    own_prefix: &'static str,
    /// RabbitMQ's word for where it was asked for.
    endpoint: &'static str,
    asked: &'a Endpoint,
}

impl Scrape<'_> {
    /// Whether each thing is told for itself.
    fn each(&self) -> bool {
        matches!(self.asked, Endpoint::PerObject | Endpoint::Detailed { .. })
    }

    fn wants(&self, family: Family) -> bool {
        match self.asked {
            Endpoint::Detailed { families, .. } => families.contains(&family),
            _ => !family.is_detail(),
        }
    }

    fn is_of_interest(&self, vhost: &str) -> bool {
        match self.asked {
            Endpoint::Detailed { vhosts, .. } if !vhosts.is_empty() => {
                vhosts.iter().any(|wanted| wanted == vhost)
            }
            _ => true,
        }
    }

    fn queues(&self) -> impl Iterator<Item = &QueueItem> {
        self.snapshot.queues.iter().filter(|item| self.is_of_interest(&item.vhost))
    }

    fn vhosts(&self) -> impl Iterator<Item = Arc<Vhost>> {
        let vhosts = self.api.broker.vhosts().into_iter();
        vhosts.filter(|vhost| self.is_of_interest(vhost.name()))
    }
}

fn render(api: &Api, asked: &Endpoint, counted: &mut Counted) -> String {
    let snapshot = Snapshot::take(&api.broker, counted);
    let store = api.broker.store.stats();
    let is_detailed = matches!(asked, Endpoint::Detailed { .. });
    let (prefix, own_prefix) = if is_detailed {
        ("rabbitmq_detailed_", "lepus_detailed_")
    } else {
        ("rabbitmq_", "lepus_")
    };
    let endpoint = asked.as_str();
    let scrape = Scrape { api, snapshot: &snapshot, prefix, own_prefix, endpoint, asked };
    let mut page = Page::default();
    if *asked == Endpoint::Memory {
        node::write_memory(&mut page, &scrape, &store);
        node::write_identity(&mut page, &scrape);
        return page.finish();
    }
    clients::write(&mut page, &scrape);
    node::write(&mut page, &scrape, &store);
    queues::write(&mut page, &scrape);
    exchanges::write(&mut page, &scrape);
    node::write_identity(&mut page, &scrape);
    if !is_detailed {
        clients::write_totals(&mut page, &scrape);
        messages::write(&mut page, &scrape);
        node::write_alarms(&mut page, &scrape);
        engine::write(&mut page, &scrape, &store);
    }
    page.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    // HT-140
    #[test]
    fn detailed_scrapes_name_families_and_vhosts() {
        let families = vec![Family::QueueCoarse, Family::Queue];
        let asked = Endpoint::detailed(
            "family=queue_coarse_metrics&family=none&vhost=%2F&family=queue_metrics&vhost=a+b",
        );
        let vhosts = vec!["/".to_owned(), "a b".to_owned()];
        assert_eq!(asked, Endpoint::Detailed { families, vhosts });
        let nothing = Endpoint::Detailed { families: Vec::new(), vhosts: Vec::new() };
        assert_eq!(Endpoint::detailed(""), nothing);
    }
}
