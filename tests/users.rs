//! Users: passwords, limits, deletion. Permissions have a file of their own.

use lepus::{
    admin::NewPassword,
    auth::{HashingAlgorithm, PasswordHash},
};

use crate::harness::*;

#[track_caller]
fn is_refused(options: &Options) {
    let (connection, _) = options.until_start();
    connection.control().send(&options.start_ok());
    let text = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For \
                details see the broker logfile.";
    connection.expect_close(403, text, (0, 0));
}

// CN-126
#[test]
fn deleting_a_user_closes_the_users_connections() {
    let realm = Realm::permitting(EVERYTHING);
    let connections = [realm.options().open(), realm.options().open()];
    let guest = realm.guest();
    realm.operator.delete_user(&realm.user);
    for connection in connections {
        let text = realm.text("CONNECTION_FORCED - user '{u}' is deleted");
        connection.expect_close(320, text, (0, 0));
    }
    guest.expect_settled();
    is_refused(&realm.options());
    // A user of the same name later has no permissions.
    realm.operator.add_user(&realm.user, &[]);
    let connection = realm.options().until_tuned();
    connection.control().send(&connection_open(&realm.vhost));
    let text = realm.text("NOT_ALLOWED - access to vhost '{v}' refused for user '{u}'");
    connection.expect_close(530, text, (10, 40));
}

// CN-130
#[test]
fn another_password_closes_nothing_and_counts_for_the_next_login() {
    let realm = Realm::permitting(EVERYTHING);
    let channel = realm.channel();
    realm.operator.change_password(&realm.user, "another");
    channel.expect_settled();
    is_refused(&realm.options());
    realm.options().login(&realm.user, "another").open();
}

// CN-084, PO-071
#[test]
fn a_user_may_have_so_many_connections() {
    let realm = Realm::permitting(EVERYTHING);
    realm.operator.limit_user(&realm.user, "max-connections", 1);
    let first = realm.options().open();
    let refused = || {
        let connection = realm.options().until_tuned();
        connection.control().send(&connection_open(&realm.vhost));
        let text = "NOT_ALLOWED - connection refused for user '{u}': user connection limit (1) is \
                    reached";
        connection.expect_close(530, realm.text(text), (10, 40));
    };
    refused();
    refused();
    // Nobody else is held up.
    realm.guest();
    first.close();
    let second = realm.options().open();
    refused();
    drop(second);
    realm.operator.limit_user(&realm.user, "max-connections", -1);
    let _all = [realm.options().open(), realm.options().open()];
}

// CH-004, PO-071
#[test]
fn a_user_may_have_so_many_channels_over_all_connections() {
    let realm = Realm::permitting(EVERYTHING);
    realm.operator.limit_user(&realm.user, "max-channels", 2);
    let connections = [realm.options().open(), realm.options().open()];
    let first = connections[0].channel(1);
    connections[1].channel(7);
    first.close();
    connections[0].channel(3);
    let text = "NOT_ALLOWED - number of channels opened for user '{u}' has reached the maximum \
                allowed user limit of 2";
    connections[0].channel_as_is(5).send(&channel_open());
    connections[0].expect_close(530, realm.text(text), (0, 0));
    // The channels of a connection go with it.
    let third = realm.options().open();
    third.channel(1);
    third.channel_as_is(2).send(&channel_open());
    third.expect_close(530, realm.text(text), (0, 0));
}

// HT-127, HT-128
#[test]
fn users_log_in_by_hashes_of_rabbitmq_and_never_without_a_password() {
    let Some(private) = private_broker("") else { return };
    let Operator::Lepus(admin) = private.operator() else { unreachable!("ours") };
    let hashes = [
        (HashingAlgorithm::Sha256, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"),
        (
            HashingAlgorithm::Sha512,
            "kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/XGJPYD8OWMy7EB8TaOmAzjP2azv84GbINYwX2cD\
             Wb4DHnc=",
        ),
        (HashingAlgorithm::Md5, "kI3GChNpte2FApYFXScl+0dIluk="),
    ];
    for (algorithm, hash) in hashes {
        let hash = PasswordHash::from_base64(algorithm, hash).unwrap();
        admin.put_user("u", NewPassword::Hash(hash), &[]).unwrap();
        private.options().login("u", "test12").until_tune();
        is_refused(&private.options().login("u", "test13"));
    }
    admin.change_password("u", NewPassword::None).unwrap();
    for password in ["", "test12"] {
        is_refused(&private.options().login("u", password));
    }
}

#[test]
fn users_and_their_limits_survive_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let operator = private.operator();
    operator.add_user("u", &["impersonator"]);
    operator.add_user("gone", &[]);
    operator.permit("u", "/", EVERYTHING);
    operator.limit_user("u", "max-connections", 1);
    operator.delete_user("gone");
    private.restart();
    let options = private.options().login("u", PASSWORD);
    let channel = options.open().channel(1);
    let as_another = Properties { user_id: Some("another".into()), ..Properties::default() };
    channel.publish(&publish("", "q", "m").properties(as_another));
    channel.expect_settled();
    let connection = options.until_tuned();
    connection.control().send(&connection_open("/"));
    connection.expect_close(530, contains("user connection limit (1)"), (10, 40));
    is_refused(&private.options().login("gone", PASSWORD));
}

// CN-125
#[test]
fn an_operator_closes_a_connection_with_a_reason() {
    let Some(private) = private_broker("") else { return };
    let Operator::Lepus(admin) = private.operator() else { unreachable!("ours") };
    let connection = private.open();
    let bystander = private.open().channel(1);
    let [(id, place), _] = &admin.connections()[..] else { panic!("two connections") };
    assert_eq!((&*place.user, &*place.vhost), ("guest", "/"));
    admin.close_connection(*id, "enough").unwrap();
    connection.expect_close(320, "CONNECTION_FORCED - enough", (0, 0));
    bystander.expect_settled();
}

// BA-007, PO-035
#[test]
fn an_impersonator_may_name_any_user() {
    let realm = Realm::permitting(EVERYTHING);
    let claim = || {
        let user_id = Some("somebody else".to_owned());
        publish("", "q", "m").properties(Properties { user_id, ..Properties::default() })
    };
    let channel = realm.channel();
    channel.declare(&queue("q"));
    channel.publish(&claim());
    let text = "PRECONDITION_FAILED - user_id property set to 'somebody else' but authenticated \
                user was '{u}'";
    channel.expect_close(406, realm.text(text), (60, 40));
    realm.operator.add_user(&realm.user, &["impersonator"]);
    let channel = realm.channel();
    channel.publish(&claim());
    let got = channel.get("q").expect("the message");
    assert_eq!(got.properties.user_id.as_deref(), Some("somebody else"));
}
