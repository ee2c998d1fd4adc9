//! What holds for many things at once: policies, parameters, limits, feature flags, the cluster's
//! name.

use serde_json::json;

use super::*;
use crate::harness::*;

/// One connection more is too many.
#[track_caller]
fn expect_refused(options: &Options, text: &str) {
    let connection = options.until_tuned();
    connection.control().send(&connection_open("/"));
    connection.expect_close(530, contains(text), (10, 40));
}

const NO_VHOST: &str = "Virtual host 'nowhere' does not exist";

#[test]
fn policies_come_apply_and_go() {
    // EN-073.
    let desk = Desk::new();
    let channel = desk.open().channel(1);
    channel.call(&queue("a1"));
    let limit = r#"{"max-length":5}"#;
    desk.ctl(&["set_policy", "p1", "^a", limit, "--priority", "3", "--apply-to", "queues"]).is(
        "Setting policy \"p1\" for pattern \"^a\" to \"{\"max-length\":5}\" with priority \"3\" \
         for vhost \"/\" ...\n",
    );
    desk.ctl(&["-q", "set_policy", "p2", "^b", r#"{"expires":1000}"#]).is("");
    desk.ctl(&["list_policies"]).is("Listing policies for vhost \"/\" ...\n\
         vhost\tname\tpattern\tapply-to\tdefinition\tpriority\n\
         /\tp2\t^b\tall\t{\"expires\":1000}\t0\n\
         /\tp1\t^a\tqueues\t{\"max-length\":5}\t3\n");
    let rows = desk.ctl(&["list_policies", "--json"]).json();
    assert_eq!(rows[1]["definition"], json!({"max-length": 5}), "{rows}");
    desk.ctl(&["-s", "list_queues", "name", "policy"]).is("a1\tp1\n");
    channel.fill("a1", ["1", "2", "3", "4", "5", "6"]);
    channel.expect_ready("a1", 5);
    let said = desk.diagnostics(&["-s", "list_policies_that_match", "a1"]);
    assert_contains(&said.out, &["p1"]);

    desk.ctl(&["clear_policy", "p2"]).is("Clearing policy \"p2\" on vhost \"/\" ...\n");
    desk.ctl(&["-q", "clear_policy", "p2"]).fails(69, "Error:\nParameter does not exist");
    desk.ctl(&["-q", "clear_policy", "p1"]).is("");
    desk.ctl(&["-s", "list_queues", "name", "policy"]).is("a1\t\n");
    desk.ctl(&["-q", "list_policies"]).is("");
}

#[test]
fn policies_that_cannot_be_are_refused_with_what_is_wrong() {
    let desk = Desk::new();
    for (args, words) in [
        (&["bad", "^b", r#"{"nonsense":1}"#][..], &["nonsense"][..]),
        (&["bad", "^b", r#"{"max-length":-1}"#], &["-1 is not a valid maximum length"]),
        (&["bad", "(", r#"{"max-length":1}"#], &["pattern should be regular expression"]),
        (&["bad", "^b", "{nojson"], &["JSON", "{nojson"]),
        (&["bad", "^b", "[1]"], &["definition"]),
        (&["bad", "^b", r#"{"max-length":1}"#, "--apply-to", "nothing"], &["nothing"]),
    ] {
        for command in ["set_policy", "set_operator_policy"] {
            let said = desk.ctl(&[&["-q", command], args].concat());
            assert_contains(&said.err, words);
            assert_eq!((said.out.as_str(), said.code), ("", 69), "{said:?}");
        }
    }
    let high = ["set_policy", "bad", "^b", "{}", "--priority", "high"];
    for args in [&["set_policy", "bad", "^b"][..], &high] {
        assert_eq!(desk.ctl(args).code, 64, "{args:?}");
    }
    let limit = r#"{"max-length":1}"#;
    for args in [
        &["set_policy", "p", "^a", limit][..],
        &["set_operator_policy", "p", "^a", limit],
        &["list_policies"],
        &["list_operator_policies"],
    ] {
        desk.ctl(&[&["-q", "-p", "nowhere"], args].concat()).fails(65, NO_VHOST);
    }
    for command in ["clear_policy", "clear_operator_policy"] {
        desk.ctl(&["-q", "-p", "nowhere", command, "p"])
            .fails(69, "Error:\nParameter does not exist");
    }
    desk.ctl(&["-q", "list_policies"]).is("");
    desk.ctl(&["-q", "list_operator_policies"]).is("");
}

#[test]
fn operator_policies_limit_what_policies_may_do() {
    // EN-073.
    let desk = Desk::new();
    let channel = desk.open().channel(1);
    channel.call(&queue("a1"));
    desk.ctl(&["-q", "set_policy", "p1", "^a", r#"{"max-length":5}"#]).is("");
    let limit = r#"{"max-length":2}"#;
    let set =
        &["set_operator_policy", "o1", "^a", limit, "--priority", "1", "--apply-to", "queues"];
    desk.ctl(set).is(
        "Setting operator policy override \"o1\" for pattern \"^a\" to \"{\"max-length\":2}\" with \
         priority \"1\" for vhost \"/\" ...\n",
    );
    desk.ctl(&["list_operator_policies"]).is(
        "Listing operator policy overrides for vhost \"/\" ...\n\
         vhost\tname\tpattern\tapply-to\tdefinition\tpriority\n\
         /\to1\t^a\tqueues\t{\"max-length\":2}\t1\n",
    );
    desk.ctl(&["-s", "list_queues", "policy", "operator_policy"]).is("p1\to1\n");
    channel.fill("a1", ["1", "2", "3"]);
    channel.expect_ready("a1", 2);
    // Where letters go is not for operators to say.
    let said =
        desk.ctl(&["-q", "set_operator_policy", "o2", "^a", r#"{"dead-letter-exchange":"x"}"#]);
    assert_contains(&said.err, &["dead-letter-exchange"]);
    assert_eq!(said.code, 69);
    desk.ctl(&["clear_operator_policy", "o1"])
        .is("Clearing operator policy \"o1\" on vhost \"/\" ...\n");
    desk.ctl(&["-q", "clear_operator_policy", "o1"]).fails(69, "Error:\nParameter does not exist");
}

#[test]
fn parameters_come_and_go() {
    // EN-073.
    let desk = Desk::new();
    let named = r#"{"a":[1,"b"]}"#;
    desk.ctl(&["set_global_parameter", "name", named])
        .is("Setting global runtime parameter \"name\" to \"{\"a\":[1,\"b\"]}\" ...\n");
    let said = desk.ctl(&["-q", "list_global_parameters"]);
    assert!(said.out.starts_with("name\tvalue\n"), "{said:?}");
    assert_contains(&said.out, &["\nname\t{\"a\":[1,\"b\"]}\n"]);
    let rows = desk.ctl(&["list_global_parameters", "--json"]).json();
    assert!(rows.as_array().unwrap().contains(&json!({"name": "name", "value": {"a": [1, "b"]}})));
    let said = desk.ctl(&["-q", "set_global_parameter", "other", "{a"]);
    assert_contains(&said.err, &["JSON", "{a"]);
    assert_eq!(said.code, 69);
    desk.ctl(&["clear_global_parameter", "name"])
        .is("Clearing global runtime parameter \"name\" ...\n");
    desk.ctl(&["-q", "clear_global_parameter", "name"])
        .fails(69, "Error:\nParameter does not exist");

    desk.ctl(&["list_parameters"]).is("Listing runtime parameters for vhost \"/\" ...\n");
    let said = desk.ctl(&["-q", "set_parameter", "nothing", "n", "1"]);
    assert_contains(&said.err, &["nothing"]);
    assert_eq!(said.code, 69);
    for (args, code) in [
        (&["set_parameter", "nothing", "n", "{"][..], 69),
        (&["clear_parameter", "nothing", "n"], 69),
        (&["set_parameter", "nothing", "n"], 64),
        (&["set_global_parameter", "n"], 64),
    ] {
        assert_eq!(desk.ctl(&[&["-q"], args].concat()).code, code, "{args:?}");
    }
    desk.ctl(&["-q", "list_parameters", "-p", "nowhere"]).fails(65, NO_VHOST);
}

#[test]
fn limits_of_vhosts_are_set_told_and_held() {
    // EN-072.
    let desk = Desk::new();
    let limits = r#"{"max-connections":1,"max-queues":9}"#;
    desk.ctl(&["set_vhost_limits", limits])
        .is(&format!("Setting vhost limits to \"{limits}\" for vhost \"/\" ...\n"));
    desk.ctl(&["list_vhost_limits"]).is(&format!("Listing limits for vhost \"/\" ...\n{limits}\n"));
    desk.ctl(&["-q", "list_vhost_limits", "--global"]).is(&format!("vhost\tlimits\n/\t{limits}\n"));
    let first = desk.open();
    expect_refused(&desk.options, "connection limit (1) is reached");
    first.close();
    // The command sets all of them: what it does not name is not limited any more.
    desk.ctl(&["-q", "set_vhost_limits", r#"{"max-queues":0}"#]).is("");
    desk.ctl(&["-s", "list_vhost_limits"]).is("{\"max-queues\":0}\n");
    let (_one, two) = (desk.open(), desk.open());
    two.channel(1).refused(&queue("q"), 406, contains("queue limit in vhost '/' (0)"));
    for bad in [r#"{"max-nonsense":7}"#, r#"{"max-queues":"x"}"#, r#"{"max-queues":"#, "[]"] {
        let said = desk.ctl(&["-q", "set_vhost_limits", bad]);
        assert_eq!((said.out.as_str(), said.code), ("", 69), "{bad}: {said:?}");
    }
    desk.ctl(&["-s", "list_vhost_limits"]).is("{\"max-queues\":0}\n");
    desk.ctl(&["clear_vhost_limits"]).is("Clearing vhost \"/\" limits ...\n");
    desk.ctl(&["-s", "list_vhost_limits"]).is("{}\n");
    for args in [&["set_vhost_limits", "{}"][..], &["list_vhost_limits"], &["clear_vhost_limits"]] {
        desk.ctl(&[&["-q", "-p", "nowhere"], args].concat()).fails(65, NO_VHOST);
    }
}

#[test]
fn limits_of_users_are_set_told_and_held() {
    // EN-072.
    let desk = Desk::new();
    desk.ctl(&["-q", "add_user", "joe", "pw"]).is("");
    desk.ctl(&["-q", "set_permissions", "joe", ".*", ".*", ".*"]).is("");
    let joe = desk.options.clone().login("joe", "pw");
    let limits = r#"{"max-channels":8,"max-connections":1}"#;
    desk.ctl(&["set_user_limits", "joe", limits])
        .is(&format!("Setting user limits to \"{limits}\" for user \"joe\" ...\n"));
    desk.ctl(&["list_user_limits", "--user", "joe"])
        .is(&format!("Listing limits for user \"joe\" ...\n{limits}\n"));
    desk.ctl(&["-q", "list_user_limits", "--global"]).is(&format!("user\tlimits\njoe\t{limits}\n"));
    let first = joe.open();
    expect_refused(&joe, "user connection limit (1) is reached");
    first.close();
    for bad in [r#"{"max-nonsense":7}"#, r#"{"max-channels":"x"}"#, r#"{"max-channels":"#] {
        let said = desk.ctl(&["-q", "set_user_limits", "joe", bad]);
        assert_eq!((said.out.as_str(), said.code), ("", 69), "{bad}: {said:?}");
    }
    desk.ctl(&["clear_user_limits", "joe", "max-connections"])
        .is("Clearing \"max-connections\" limit for user \"joe\" ...\n");
    let (_one, _two) = (joe.open(), joe.open());
    desk.ctl(&["-s", "list_user_limits", "--user", "joe"]).is("{\"max-channels\":8}\n");
    desk.ctl(&["clear_user_limits", "joe", "all"]).is("Clearing all limits for user \"joe\" ...\n");
    desk.ctl(&["-s", "list_user_limits", "--user", "joe"]).is("{}\n");
    desk.ctl(&["-q", "set_user_limits", "nobody", "{}"])
        .fails(67, "Error:\nUser \"nobody\" does not exist");
    desk.ctl(&["-q", "clear_user_limits", "nobody", "all"])
        .fails(67, "Error:\nUser \"nobody\" does not exist");
}

#[test]
fn flags_deprecated_features_and_the_clusters_name() {
    let desk = Desk::new();
    let said = desk.ctl(&["list_feature_flags"]);
    assert!(said.out.starts_with("Listing feature flags ...\nname\tstate\n"), "{said:?}");
    assert_contains(&said.out, &["quorum_queue\tenabled\n"]);
    desk.ctl(&["enable_feature_flag", "all"]).is("Enabling all feature flags ...\n");
    desk.ctl(&["enable_feature_flag", "quorum_queue"])
        .is("Enabling feature flag \"quorum_queue\" ...\n");
    let said = desk.ctl(&["-q", "enable_feature_flag", "nonsense"]);
    assert_contains(&said.err, &["not supported"]);
    assert_eq!(said.code, 64);
    desk.ctl(&["-q", "check_if_any_deprecated_features_are_used"])
        .is("Cluster reported no deprecated features in use\n");
    desk.open().channel(1).call(&queue("transient"));
    desk.ctl(&["-q", "check_if_any_deprecated_features_are_used"])
        .fails(69, "transient_nonexcl_queues");

    desk.ctl(&["set_cluster_name", "burrow"]).is("Setting cluster name to burrow ...\n");
    assert_contains(&desk.ctl(&["-q", "cluster_status"]).out, &["Cluster name: burrow\n"]);
    assert_contains(
        &desk.ctl(&["-s", "list_global_parameters"]).out,
        &["cluster_name\t\"burrow\"\n"],
    );
    assert_eq!(desk.ctl(&["set_cluster_name"]).code, 64);
}
