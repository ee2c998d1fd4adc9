//! Exchanges and vhosts.

use super::{
    Scrape,
    family::Family,
    text::{
        Kind::{Counter, Gauge},
        Page, labels,
    },
};
use crate::broker::stats::Stat;

/// What names of things of the whole cluster begin with.
const CLUSTER: &str = "rabbitmq_cluster_";

const PUBLISHED: &str = "Total number of messages published into an exchange";

/// Writes the families that are wanted.
pub(super) fn write(page: &mut Page, scrape: &Scrape<'_>) {
    if scrape.wants(Family::Exchange) {
        if scrape.each() {
            write_each(page, scrape);
        } else {
            write_all(page, scrape);
        }
    }
    if scrape.wants(Family::VhostStatus) {
        let help = "Whether a given vhost is running";
        let mut status = page.family((CLUSTER, "vhost_status"), Gauge, help);
        for vhost in scrape.vhosts() {
            status.put(&labels(&[("vhost", vhost.name())]), 1);
        }
    }
    if scrape.wants(Family::ExchangeBindings) {
        let help = "Number of bindings for an exchange. This value is cluster-wide.";
        write_listed(page, scrape, "exchange_bindings", help, |bindings| bindings);
    }
    if scrape.wants(Family::ExchangeNames) {
        let help = "Enumerates exchanges without any additional info. This value is \
                    cluster-wide. A cheaper alternative to `exchange_bindings`";
        write_listed(page, scrape, "exchange_name", help, |_| 1);
    }
}

/// All together: what was published on channels, so that no deleted exchange takes its part along.
fn write_all(page: &mut Page, scrape: &Scrape<'_>) {
    let messages = &scrape.snapshot.clients.messages;
    for (name, stat, help) in [
        ("exchange_messages_published_total", Stat::Publish, PUBLISHED),
        (
            "exchange_messages_confirmed_total",
            Stat::Confirm,
            "Total number of messages published into an exchange and confirmed",
        ),
        (
            "exchange_messages_unroutable_returned_total",
            Stat::ReturnUnroutable,
            "Total number of messages published as mandatory into an exchange and returned to \
             the publisher as unroutable",
        ),
        (
            "exchange_messages_unroutable_dropped_total",
            Stat::DropUnroutable,
            "Total number of messages published as non-mandatory into an exchange and dropped \
             as unroutable",
        ),
    ] {
        page.single((scrape.prefix, name), Counter, help, messages[stat]);
    }
}

/// Each for itself. What became of the messages is not counted for each exchange.
fn write_each(page: &mut Page, scrape: &Scrape<'_>) {
    let name = (scrape.prefix, "exchange_messages_published_total");
    let mut published = page.family(name, Counter, PUBLISHED);
    for vhost in scrape.vhosts() {
        let topology = vhost.topology();
        for exchange in topology.exchanges() {
            let labels = labels(&[("vhost", vhost.name()), ("exchange", exchange.name())]);
            published.put(&labels, exchange.stats().publish_in());
        }
    }
}

fn write_listed(
    page: &mut Page,
    scrape: &Scrape<'_>,
    name: &str,
    help: &str,
    value: impl Fn(usize) -> usize,
) {
    let mut listed = page.family((CLUSTER, name), Gauge, help);
    for vhost in scrape.vhosts() {
        let topology = vhost.topology();
        for exchange in topology.exchanges() {
            let labels = labels(&[
                ("vhost", vhost.name()),
                ("exchange", exchange.name()),
                ("type", &exchange.spec().type_name),
            ]);
            listed.put(&labels, value(exchange.bindings_count()));
        }
    }
}
