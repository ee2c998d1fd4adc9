//! What the broker puts into messages as they are published, where that is configured: when they
//! came, and to which node.

use super::Session;
use crate::{
    config::{Config, SetHeader},
    wire::{
        properties::{Properties, Property},
        table::{RawTable, RawValue, TableWriter},
    },
};

/// When a message came, in milliseconds since 1970 began.
const CAME_AT: &[u8] = b"timestamp_in_ms";
/// The node that it came to.
const CAME_TO: &[u8] = b"x-routed-by";

/// Whether anything is put into messages.
pub(super) fn is_on(config: &Config) -> bool {
    [config.set_header_timestamp, config.set_header_routing_node] != [SetHeader::Off; 2]
}

impl Session {
    /// Properties that were scanned, with what is put into them before they are routed.
    #[cold]
    pub(super) fn stamped(&self, properties: &[u8]) -> Vec<u8> {
        let properties = Properties::of_message(properties);
        let headers = RawTable(properties.headers().unwrap_or_default());
        let is_set = |how: SetHeader, is_there: bool| match how {
            SetHeader::Off => false,
            SetHeader::Missing => !is_there,
            SetHeader::Overwrite => true,
        };
        let has = |key: &[u8]| headers.iter().any(|(name, _)| name == key);
        let config = &self.context.config;
        let (time, node) = (self.fx.time, config.node());
        let mut set = Vec::new();
        if is_set(config.set_header_timestamp, has(CAME_AT)) {
            let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
            set.push((CAME_AT, RawValue::I64(millis)));
        }
        if is_set(config.set_header_routing_node, has(CAME_TO)) {
            set.push((CAME_TO, RawValue::LongStr(node.as_bytes())));
        }
        let mut changes = Vec::new();
        let is_any = !set.is_empty();
        let keys: Vec<_> = set.iter().map(|(key, _)| *key).collect();
        let mut writer = TableWriter::new();
        writer.copy(headers, &keys);
        for (key, value) in set {
            writer.put(key, value);
        }
        let table = writer.finish();
        let seconds = time.seconds().to_be_bytes();
        if is_any {
            changes.push((Property::Headers, Some(&*table)));
        }
        if is_set(config.set_header_timestamp, properties.timestamp().is_some()) {
            changes.push((Property::Timestamp, Some(&seconds[..])));
        }
        properties.with(&changes)
    }
}
