//! Parameters, global parameters and limits through the API.

use serde_json::{Value, json};

use crate::harness::{Realm, api, name, part, private_broker};

fn list(path: &str, of: &str, who: &str) -> Vec<Value> {
    let mut list = api().get(path).as_array().unwrap().clone();
    list.retain(|item| item[of] == *who);
    list
}

// HT-053, PO-070
#[test]
fn a_vhosts_limits_are_a_parameter() {
    let realm = Realm::new();
    let vhost = part(&realm.vhost);
    let path = format!("/parameters/vhost-limits/{vhost}/limits");
    assert_eq!(api().call("GET", &path, "").status, 404);
    assert_eq!(api().put(&path, &json!({"value": {"max-queues": 5}})).status, 201);
    let expected = json!({
        "vhost": realm.vhost, "component": "vhost-limits", "name": "limits",
        "value": {"max-queues": 5},
    });
    assert_eq!(api().get(&path), expected);
    for list_path in ["/parameters", "/parameters/vhost-limits"] {
        assert_eq!(list(list_path, "vhost", &realm.vhost), *std::slice::from_ref(&expected));
    }
    assert_eq!(api().get(&format!("/parameters/vhost-limits/{vhost}")), json!([expected]));
    let limits = json!([{"vhost": realm.vhost, "value": {"max-queues": 5}}]);
    assert_eq!(api().get(&format!("/vhost-limits/{vhost}")), limits);
    assert_eq!(api().put(&path, &json!({"value": {"max-queues": 6}})).status, 204);
    assert_eq!(api().delete(&path).status, 204);
    assert_eq!(api().delete(&path).status, 404);
    assert_eq!(api().get(&format!("/vhost-limits/{vhost}")), json!([]));
}

// RabbitMQ keeps policies as parameters.
#[test]
fn policies_are_parameters_that_are_set_otherwise() {
    let realm = Realm::new();
    let vhost = part(&realm.vhost);
    let value = json!({
        "pattern": "a", "definition": {"max-length": 5}, "priority": 0, "apply-to": "queues",
    });
    for kind in ["policies", "operator-policies"] {
        api().put(&format!("/{kind}/{vhost}/p"), &value);
    }
    let parameter = |component: &str| {
        let vhost = &realm.vhost;
        json!({"vhost": vhost, "component": component, "name": "p", "value": value})
    };
    let operator = parameter("operator_policy");
    assert_eq!(list("/parameters", "vhost", &realm.vhost), *std::slice::from_ref(&operator));
    assert_eq!(api().get(&format!("/parameters/operator_policy/{vhost}/p")), operator);
    assert_eq!(api().get(&format!("/parameters/policy/{vhost}")), json!([parameter("policy")]));
    let answer = api().put(&format!("/parameters/policy/{vhost}/p"), &json!({"value": value}));
    assert_eq!(answer.refusal().2, "policies may not be set using this method");
    let path = format!("/parameters/operator_policy/{vhost}/q");
    assert_eq!(api().put(&path, &json!({"value": value})).status, 201);
    assert_eq!(api().get(&format!("/operator-policies/{vhost}/q"))["pattern"], "a");
    assert_eq!(api().delete(&path).status, 204);
    assert_eq!(api().call("GET", &format!("/operator-policies/{vhost}/q"), "").status, 404);
}

// PO-072, HT-007
#[test]
fn what_makes_no_sense_of_a_parameter_is_refused() {
    let realm = Realm::new();
    let vhost = part(&realm.vhost);
    let refused = |path: &str, body: Value| {
        let (status, error, reason) = api().put(path, &body).refusal();
        (status, error, reason)
    };
    let bad = |reason: &str| (400, "bad_request".to_owned(), reason.to_owned());
    let failed = |line: &str| bad(&format!("Validation failed\n\n{line}\n"));
    let limits = format!("/parameters/vhost-limits/{vhost}/limits");
    assert_eq!(refused(&limits, json!({})), bad("[{key_missing,value}]"));
    assert_eq!(
        refused(&limits, json!({"value": {"foo": 5}})),
        failed("Unrecognised terms [{<<\"foo\">>,5}] in limits")
    );
    assert_eq!(
        refused(&limits, json!({"value": {"max-queues": "x"}})),
        failed("max-queues should be a number, actually was <<\"x\">>")
    );
    assert_eq!(refused(&limits, json!({"value": 5})), failed("limits not a list 5"));
    assert_eq!(
        refused(&format!("/parameters/shovel/{vhost}/x"), json!({"value": {}})),
        failed("component shovel not found")
    );
    let missing = (404, "not_found".to_owned(), "vhost_not_found".to_owned());
    assert_eq!(refused("/parameters/shovel/none/x", json!({})), missing);
    assert_eq!(api().get("/parameters/nothing"), json!([]));
    assert_eq!(api().call("GET", "/parameters/vhost-limits/none", "").status, 404);
    assert_eq!(api().delete(&format!("/parameters/nothing/{vhost}/x")).status, 404);
}

// PO-073, HT-053
#[test]
fn global_parameters_are_set_listed_and_deleted() {
    let parameter = name("parameter");
    let path = format!("/global-parameters/{parameter}");
    assert_eq!(api().call("GET", &path, "").status, 404);
    for (at, value) in
        [json!({"a": [1, {"b": null}]}), json!(1.5), json!("x"), json!([]), json!(null)]
            .iter()
            .enumerate()
    {
        let expected = if at == 0 { 201 } else { 204 };
        assert_eq!(api().put(&path, &json!({"value": value})).status, expected);
        let item = json!({"name": parameter, "value": value});
        assert_eq!(api().get(&path), item);
        assert_eq!(list("/global-parameters", "name", &parameter), [item]);
    }
    // HT-018
    api().put(&path, &json!({"value": {}}));
    assert_eq!(api().get(&path)["value"], json!([]));
    assert_eq!(api().put(&path, &json!({})).refusal().2, "[{key_missing,value}]");
    assert_eq!(api().delete(&path).status, 204);
    assert_eq!(api().delete(&path).status, 404);
    for built_in in ["cluster_name", "cluster_tags"] {
        assert_eq!(api().get(&format!("/global-parameters/{built_in}"))["name"], built_in);
    }
}

// HT-053: as RabbitMQ's own rabbitmqadmin tests it
#[test]
fn tags_of_a_cluster_that_were_deleted_are_listed_no_more() {
    let Some(private) = private_broker("") else { return };
    let api = private.api();
    let path = "/global-parameters/cluster_tags";
    assert_eq!(api.put(path, &json!({"value": {"region": "here"}})).status, 204);
    assert_eq!(api.delete(path).status, 204);
    assert_eq!(api.call("GET", path, "").status, 404);
    assert_eq!(api.delete(path).status, 404);
    assert!(!api.get("/global-parameters").to_string().contains("cluster_tags"));
    assert_eq!(api.put(path, &json!({"value": ["x"]})).status, 201);
    assert_eq!(api.get(path)["value"], json!(["x"]));
}

// HT-054, PO-070
#[test]
fn limits_of_vhosts_are_set_listed_and_cleared() {
    let realm = Realm::new();
    let path = format!("/vhost-limits/{}", part(&realm.vhost));
    let limit = |name: &str| format!("{path}/{name}");
    assert_eq!(api().get(&path), json!([]));
    assert_eq!(api().put(&limit("max-queues"), &json!({"value": 5})).status, 204);
    assert_eq!(api().put(&limit("max-connections"), &json!({"value": -3})).status, 204);
    let both = json!({"vhost": realm.vhost, "value": {"max-queues": 5, "max-connections": -3}});
    assert_eq!(api().get(&path), json!([both]));
    assert_eq!(list("/vhost-limits", "vhost", &realm.vhost), [both]);
    assert_eq!(api().delete(&limit("max-queues")).status, 204);
    assert_eq!(api().delete(&limit("max-queues")).status, 204);
    assert_eq!(api().get(&path)[0]["value"], json!({"max-connections": -3}));
    let refused = |name: &str, body: Value| api().put(&limit(name), &body).refusal().2;
    assert_eq!(refused("max-queues", json!({})), "[{key_missing,value}]");
    assert_eq!(
        refused("max-queues", json!({"value": "5"})),
        "Validation failed\n\nmax-queues should be a number, actually was <<\"5\">>\n"
    );
    assert_eq!(
        refused("foo", json!({"value": 5})),
        "Validation failed\n\nUnrecognised terms [{<<\"foo\">>,5}] in limits\n"
    );
    assert_eq!(api().delete(&limit("max-connections")).status, 204);
    assert_eq!(api().get(&path), json!([]));
    let missing = (404, "not_found".to_owned(), "vhost_not_found".to_owned());
    let nowhere = "/vhost-limits/none/max-queues";
    assert_eq!(api().put(nowhere, &json!({"value": 5})).refusal(), missing);
    assert_eq!(api().delete(nowhere).refusal(), missing);
    assert_eq!(api().call("GET", "/vhost-limits/none", "").status, 404);
}

// HT-054, PO-071
#[test]
fn limits_of_users_are_set_listed_and_cleared() {
    let realm = Realm::new();
    let path = format!("/user-limits/{}", part(&realm.user));
    let limit = |name: &str| format!("{path}/{name}");
    assert_eq!(api().get(&path), json!([]));
    for name in ["max-channels", "max-connections"] {
        assert_eq!(api().put(&limit(name), &json!({"value": 5})).status, 204);
    }
    let both = json!({"user": realm.user, "value": {"max-channels": 5, "max-connections": 5}});
    assert_eq!(api().get(&path), json!([both]));
    assert_eq!(list("/user-limits", "user", &realm.user), [both]);
    assert_eq!(api().delete(&limit("max-channels")).status, 204);
    assert_eq!(api().get(&path)[0]["value"], json!({"max-connections": 5}));
    assert_eq!(api().delete(&limit("all")).status, 204);
    assert_eq!(api().get(&path), json!([]));
    let refused = |name: &str, body: Value| api().put(&limit(name), &body).refusal().2;
    assert_eq!(refused("max-channels", json!({})), "[{key_missing,value}]");
    assert_eq!(
        refused("max-channels", json!({"value": "5"})),
        "max-channels should be a number, actually was <<\"5\">>"
    );
    assert_eq!(
        refused("foo", json!({"value": 5})),
        "Unrecognised terms [{<<\"foo\">>,5}] in user-limits"
    );
    let nobody = api().put("/user-limits/none/max-channels", &json!({"value": 5}));
    let expected = json!({"error": "bad_request", "reason": ["no_such_user", "none"]});
    assert_eq!((nobody.status, nobody.json()), (400, expected));
    assert_eq!(api().delete("/user-limits/none/max-channels").status, 404);
    assert_eq!(api().call("GET", "/user-limits/none", "").status, 404);
}
