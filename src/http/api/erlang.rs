//! What RabbitMQ tells of the Erlang process behind each connection, channel and queue. Nothing of
//! that is here: no work is counted in reductions, and no garbage is collected. Tools take it for
//! granted that it is told, so they are told of nothing.

use serde_json::{Map, Value, json};

/// Puts what a process has done and collected (HT-076, HT-078): nothing.
pub(super) fn put_process(object: &mut Map<String, Value>) {
    object.insert("reductions".to_owned(), json!(0));
    object.insert("reductions_details".to_owned(), json!({"rate": 0.0}));
    let collected = json!({
        "max_heap_size": 0,
        "min_bin_vheap_size": 0,
        "min_heap_size": 0,
        "fullsweep_after": 0,
        "minor_gcs": 0,
    });
    object.insert("garbage_collection".to_owned(), collected);
}
