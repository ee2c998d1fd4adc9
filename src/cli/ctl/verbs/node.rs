//! What RabbitMQ's tools ask of a cluster's nodes, on a broker that is one node by itself.

use serde_json::{Value, json};

use super::{
    super::{
        call::Call,
        failure::Failure,
        guise::Guise,
        options::flag,
        verb::{Field, Listing, Section, Verb, field},
    },
    policies,
};

const DIAGNOSTICS: &[Guise] = &[Guise::Diagnostics];
const QUEUES: &[Guise] = &[Guise::Diagnostics, Guise::Queues];
const QUEUES_ALONE: &[Guise] = &[Guise::Queues];
const UPGRADE: &[Guise] = &[Guise::Upgrade];

/// A command that has nothing to do here, and so is done.
const fn done(name: &'static str, about: &'static str) -> Verb {
    Verb::new(name, Section::Other, "", about, |call| {
        // The broker must be there, as in RabbitMQ.
        call.node()?;
        call.done()
    })
    .takes(0, usize::MAX)
}

pub(in crate::cli::ctl) const VERBS: &[Verb] = &[
    done("force_boot", "Does nothing: there is no other node to wait for"),
    done("force_standalone_khepri_boot", "Does nothing: there is no other node"),
    done("force_gc", "Does nothing: memory is given back without being asked"),
    done("reset_stats_db", "Does nothing: statistics are counted, not kept"),
    done("remove_classic_queue_mirroring_from_policies", "Does nothing: there are no mirrors"),
    done("activate_free_disk_space_monitoring", "Does nothing: the disk is always watched"),
    done("enable_auth_attempt_source_tracking", "Does nothing: attempts are counted by protocol")
        .shown_by(DIAGNOSTICS),
    done("disable_auth_attempt_source_tracking", "Does nothing: attempts are counted by protocol")
        .shown_by(DIAGNOSTICS),
    done("list_policies_with_classic_queue_mirroring", "Lists nothing: there are no mirrors")
        .shown_by(DIAGNOSTICS),
    done("list_operator_policies_with_classic_queue_mirroring", "Lists nothing: no mirrors")
        .shown_by(DIAGNOSTICS),
    done("post_upgrade", "Does nothing: there is nothing to do after an upgrade").shown_by(UPGRADE),
    done("drain", "Does nothing: see suspend_listeners").shown_by(UPGRADE),
    done("revive", "Does nothing: see resume_listeners").shown_by(UPGRADE),
    done("await_online_quorum_plus_one", "Succeeds: there is one node").shown_by(UPGRADE),
    done("rebalance", "Does nothing: there is one node").shown_by(QUEUES_ALONE),
    done("reclaim_quorum_memory", "Does nothing: memory is given back without being asked")
        .shown_by(QUEUES),
    done("force_checkpoint", "Does nothing: what is confirmed is on the disk")
        .shown_by(QUEUES_ALONE),
    done("check_if_new_quorum_queue_replicas_have_finished_initial_sync", "Succeeds: one node")
        .shown_by(QUEUES),
    done("check_if_node_is_mirror_sync_critical", "Succeeds: there are no mirrors")
        .shown_by(QUEUES),
    done("check_if_cluster_has_classic_queue_mirroring_policy", "Succeeds: there are no mirrors")
        .shown_by(QUEUES),
    done("check_for_quorum_queues_without_an_elected_leader", "Succeeds: there is one node")
        .with(&[flag("across-all-vhosts")])
        .shown_by(QUEUES),
    Verb::new(
        "has_reached_target_cluster_size",
        Section::Other,
        "",
        "Succeeds: the cluster is one node",
        |call| {
            let node = call.node()?;
            call.banner(format!(
                "Checking if target cluster size has been reached on node {node} ..."
            ));
            call.say(format!("Target cluster size has been reached on node {node}"));
            Ok(())
        },
    )
    .shown_by(UPGRADE),
    Verb::new("discover_peers", Section::Other, "", "Shows the one node", |call| {
        let node = call.node()?;
        call.banner("Discovering peers nodes ...");
        call.say(format!("[{node}]"));
        Ok(())
    })
    .shown_by(DIAGNOSTICS),
    Verb::new(
        "quorum_status",
        Section::Queues,
        "[--vhost <vhost>] <queue>",
        "Shows where a quorum queue has its members: on the one node",
        quorum_status,
    )
    .takes(1, 1)
    .shown_by(QUEUES),
    Verb::new(
        "metadata_store_status",
        Section::Queues,
        "",
        "Shows where what is declared is kept: on the one node",
        |call| {
            let node = call.node()?;
            call.banner(format!("Status of metadata store on node {node} ..."));
            members(call, &node);
            Ok(())
        },
    )
    .shown_by(DIAGNOSTICS),
    Verb::list(
        "list_node_auth_attempt_stats",
        Section::Monitoring,
        "",
        "Lists how often clients logged in and were refused",
        &ATTEMPTS,
    ),
    Verb::new(
        "reset_node_auth_attempt_metrics",
        Section::Monitoring,
        "",
        "Counts from nothing how often clients logged in and were refused",
        |call| {
            let node = call.node()?;
            call.banner(format!("Reset auth attempt metrics on node {node} ..."));
            let absent = || Failure::refused("the broker counts no attempts");
            call.delete(&["auth", "attempts", &node])?.or_absent(absent)?;
            call.done()
        },
    )
    .shown_by(DIAGNOSTICS),
    Verb::list(
        "list_policies_that_match",
        Section::Policies,
        "[--vhost <vhost>] <queue>",
        "Lists the policies whose pattern a queue's name matches, which is the one that applies",
        &MATCHING_POLICIES,
    )
    .takes(1, 1)
    .shown_by(DIAGNOSTICS),
    Verb::list(
        "list_channel_interceptors",
        Section::Other,
        "",
        "Lists nothing: there are no interceptors",
        &INTERCEPTORS,
    ),
];

const ATTEMPTS: Listing = Listing {
    banner: |_| "Listing authentication attempts ...".into(),
    fields: ATTEMPT_FIELDS,
    defaults: &[],
    is_choosable: false,
    rows: |call| {
        let node = call.node()?;
        Ok(call.get_list(&["auth", "attempts", &node])?.unwrap_or_default())
    },
};

const ATTEMPT_FIELDS: &[Field] = &[
    field("protocol"),
    field("auth_attempts"),
    field("auth_attempts_failed"),
    field("auth_attempts_succeeded"),
];

const INTERCEPTORS: Listing = Listing {
    banner: |_| "Listing channel interceptors ...".into(),
    fields: &[field("name")],
    defaults: &[],
    is_choosable: false,
    rows: |_| Ok(Vec::new()),
};

const MATCHING_POLICIES: Listing = Listing {
    banner: |call| {
        let (queue, vhost) = (call.argument(0), call.vhost());
        format!("Listing policies that match queue '{queue}' in vhost '{vhost}' ...")
    },
    fields: policies::FIELDS,
    defaults: &[],
    is_choosable: false,
    rows: |call| {
        let queue = queue(call)?;
        let vhost = call.vhost();
        let mut policies = call.get_list(&["policies", &vhost])?.unwrap_or_default();
        policies.retain(|policy| policy["name"] == queue["policy"]);
        Ok(policies)
    },
};

/// The queue that the command is about.
fn queue(call: &mut Call) -> Result<Value, Failure> {
    let (queue, vhost) = (call.argument(0).to_owned(), call.vhost());
    let absent = || Failure::refused(format!("no queue '{queue}' in vhost '{vhost}'"));
    call.get(&["queues", &vhost, &queue])?.ok_or_else(absent)
}

fn quorum_status(call: &mut Call) -> Result<(), Failure> {
    let (name, node) = (call.argument(0).to_owned(), call.node()?);
    call.banner(format!("Status of queue {name} on node {node} ..."));
    let queue = queue(call)?;
    if queue["type"] != "quorum" {
        return Err(Failure::refused("it is no quorum queue"));
    }
    members(call, &node);
    Ok(())
}

/// The members of what is replicated among nodes: the one that there is.
fn members(call: &Call, node: &str) {
    let columns =
        [field("Node Name").column, field("Raft State").column, field("Membership").column];
    call.rows(&columns, &[vec![json!(node), json!("leader"), json!("voter")]]);
}
