use proptest::prelude::*;

use super::*;
use crate::broker::{
    datum::tests::datum,
    queue::{Overflow, Settings},
    record::tests::check,
};

fn map(pairs: &[(&str, Datum)]) -> Map {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
}

fn draft(pairs: &[(&str, Datum)]) -> Draft {
    Draft::new("", map(pairs))
}

fn policy(name: &str, authority: Authority, draft: Draft) -> Arc<Policy> {
    Arc::new(Policy::new(name.into(), authority, draft).unwrap())
}

fn user(name: &str, pairs: &[(&str, Datum)]) -> Arc<Policy> {
    policy(name, Authority::User, draft(pairs))
}

fn operator(name: &str, pairs: &[(&str, Datum)]) -> Arc<Policy> {
    policy(name, Authority::Operator, draft(pairs))
}

fn policies(all: impl IntoIterator<Item = Arc<Policy>>) -> Policies {
    let mut policies = Policies::default();
    all.into_iter().for_each(|policy| policies.put(policy));
    policies
}

fn table(pairs: &[(&str, Datum)]) -> Table {
    let mut table = Table::default();
    for (key, value) in pairs {
        table.insert(ShortString::from(*key), value.to_argument().unwrap());
    }
    table
}

fn refusal(authority: Authority, draft: Draft) -> String {
    Policy::new("p".into(), authority, draft).unwrap_err().to_string()
}

// PO-059: the texts of RabbitMQ 4.3.6.
#[test]
fn what_is_wrong_is_said_in_rabbitmqs_words() {
    let cases: [(&[(&str, Datum)], &str); 13] = [
        (&[], "no policy provided"),
        (&[("foo", 10.into())], "[{<<\"foo\">>,10}] are not recognised policy settings"),
        (
            &[("foo", "x".into()), ("bar", Datum::Float(1.5)), ("baz", true.into())],
            "[{<<\"bar\">>,1.5},{<<\"baz\">>,true},{<<\"foo\">>,<<\"x\">>}] are not recognised \
             policy settings",
        ),
        (&[("max-length", "x".into())], "<<\"x\">> is not a valid maximum length"),
        (
            &[("max-length", (-1).into()), ("message-ttl", (-1).into())],
            "-1 is not a valid maximum length",
        ),
        (&[("foo", 1.into()), ("expires", 0.into())], "0 is not a valid queue expiry"),
        (&[("overflow", "foo".into())], "<<\"foo\">> is not a valid overflow value"),
        (&[("max-age", "foo".into())], "<<\"foo\">> is not a valid max age"),
        (&[("dead-letter-exchange", 5.into())], "5 is not a valid dead letter exchange name"),
        (&[("queue-version", 3.into())], "3 is not a valid queue-version value"),
        (
            &[("stream-filter-size-bytes", 5.into())],
            "5 is not a valid filter size. Valid range is 16-255",
        ),
        (&[("delivery-limit", Datum::Null)], "null is not a valid delivery limit"),
        (&[("consumer-timeout", true.into())], "true is not a valid consumer timeout"),
    ];
    for (pairs, line) in cases {
        let text = format!("Validation failed\n\n{line}\n");
        assert_eq!(refusal(Authority::User, draft(pairs)), text);
    }
}

// PO-050, PO-051, PO-059
#[test]
fn all_that_is_wrong_is_said_the_definition_first() {
    let wrong = Draft {
        pattern: 5.into(),
        apply_to: "foo".into(),
        priority: "x".into(),
        definition: Datum::Map(Map::new()),
    };
    let text = "Validation failed\n\nno policy provided\napply-to 'foo' unrecognised; should be \
                one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', 'exchanges', or \
                'all'\npattern should be a binary but was 5\npriority should be a number, actually \
                was <<\"x\">>\n";
    assert_eq!(refusal(Authority::User, wrong), text);
    let pattern = Draft::new("(", map(&[("max-length", 1.into())]));
    let text = refusal(Authority::User, pattern);
    let start = "Validation failed\n\npattern should be regular expression but is invalid: {\"";
    assert!(text.starts_with(start), "{text}");
    let no_map = Draft { definition: 5.into(), ..draft(&[]) };
    assert!(refusal(Authority::User, no_map).contains("definition must be a dictionary: 5"));
}

// PO-055
#[test]
fn operators_may_limit_and_nothing_else() {
    for key in ["dead-letter-exchange", "alternate-exchange"] {
        let text = refusal(Authority::Operator, draft(&[(key, "x".into())]));
        let line = format!("[{{<<\"{key}\">>,<<\"x\">>}}] are not recognised policy settings");
        assert_eq!(text, format!("Validation failed\n\n{line}\n"));
    }
    for key in ["expires", "message-ttl", "max-length", "max-length-bytes", "delivery-limit"] {
        operator("p", &[(key, 1.into())]);
    }
}

// PO-051, PO-052
#[test]
fn the_first_that_matches_by_priority_applies() {
    let with = |name: &str, pattern: &str, apply_to: &str, priority: Datum| {
        let draft = Draft {
            pattern: pattern.into(),
            apply_to: apply_to.into(),
            priority,
            definition: Datum::Map(map(&[("max-length-bytes", 1.into())])),
        };
        policy(name, Authority::User, draft)
    };
    let policies = policies([
        with("any", "", "all", 0.into()),
        with("orders", "^orders", "queues", 5.into()),
        with("classic", "^orders", "classic_queues", Datum::Float(5.5)),
        with("exchanges", "rders", "exchanges", 9.into()),
        with("tie", "", "all", 0.into()),
    ]);
    let name = |applied: Applied| applied.policy.map(|policy| policy.name.to_string());
    let queue = |queue, queue_type| name(policies.for_queue(queue, queue_type)).unwrap();
    assert_eq!(queue("orders.new", QueueType::Classic), "classic");
    assert_eq!(queue("orders.new", QueueType::Quorum), "orders");
    assert_eq!(queue("my-orders", QueueType::Stream), "any");
    assert_eq!(name(policies.for_exchange("orders")).unwrap(), "exchanges");
    assert_eq!(name(policies.for_exchange("x")).unwrap(), "any");
    assert!(policies.for_exchange("x").operator_policy.is_none());
}

// PO-058
#[test]
fn a_policy_with_a_key_that_a_type_has_not_is_passed_over() {
    let strict = Draft { priority: 1.into(), ..draft(&[("delivery-limit", 3.into())]) };
    let policies = policies([
        policy("strict", Authority::User, strict),
        user("lax", &[("max-length-bytes", 1.into())]),
    ]);
    let name = |queue_type| policies.for_queue("q", queue_type).policy.unwrap().name.to_string();
    assert_eq!(name(QueueType::Quorum), "strict");
    assert_eq!(name(QueueType::Classic), "lax");
    assert_eq!(name(QueueType::Stream), "lax");
}

// PO-056
#[test]
fn an_operators_limit_is_an_upper_one() {
    let merged = |key: &str, said: Datum, operators: Datum| {
        let policies = policies([user("u", &[(key, said)]), operator("o", &[(key, operators)])]);
        policies.for_queue("q", QueueType::Quorum).definition().remove(key).unwrap()
    };
    assert_eq!(merged("max-length", 10.into(), 5.into()), 5.into());
    assert_eq!(merged("max-length", 5.into(), 10.into()), 5.into());
    assert_eq!(merged("delivery-limit", 5.into(), 10.into()), 5.into());
    assert_eq!(merged("delivery-limit", (-1).into(), 10.into()), 10.into());
    assert_eq!(merged("delivery-limit", 3.into(), (-1).into()), 3.into());
    let (drop, reject) = ("drop-head", "reject-publish");
    assert_eq!(merged("overflow", drop.into(), reject.into()), reject.into());
    let both = policies([
        user("u", &[("message-ttl", 9.into())]),
        operator("o", &[("expires", 7.into())]),
    ]);
    let definition = both.for_queue("q", QueueType::Classic).definition();
    assert_eq!(definition, map(&[("message-ttl", 9.into()), ("expires", 7.into())]));
}

// PO-057
#[test]
fn arguments_and_policies_are_resolved_key_by_key() {
    let said: &[(&str, Datum)] = &[
        ("message-ttl", 100.into()),
        ("max-length", 5.into()),
        ("dead-letter-exchange", "policy".into()),
        ("dead-letter-routing-key", "policy".into()),
        ("overflow", "reject-publish".into()),
        ("expires", 1000.into()),
    ];
    let arguments = table(&[
        ("x-message-ttl", 200.into()),
        ("x-max-length", 3.into()),
        ("x-dead-letter-exchange", "argument".into()),
        ("x-overflow", "drop-head".into()),
    ]);
    let policies = policies([user("u", said)]);
    let settings = |queue_type| {
        let effective = policies.effective("q", queue_type, &arguments);
        assert_eq!(&*effective.applied.policy.unwrap().name, "u");
        Settings::of(queue_type, &effective.arguments)
    };
    let classic = settings(QueueType::Classic);
    assert_eq!((classic.message_ttl, classic.max_length), (Some(100), Some(3)));
    assert_eq!(classic.expires, Some(1000));
    let to = classic.dead_letter.unwrap();
    assert_eq!((&*to.exchange, to.routing_key.as_deref()), ("argument", Some(&b"policy"[..])));
    assert_eq!(classic.overflow, Overflow::DropHead);
    assert_eq!(settings(QueueType::Quorum).overflow, Overflow::Reject);
}

// PO-057
#[test]
fn a_delivery_limit_wins_over_none() {
    let limit = |own: i64, said: i64| {
        let policies = policies([user("u", &[("delivery-limit", said.into())])]);
        let arguments = table(&[("x-delivery-limit", own.into())]);
        let effective = policies.effective("q", QueueType::Quorum, &arguments);
        Settings::of(QueueType::Quorum, &effective.arguments).delivery_limit
    };
    assert_eq!(limit(5, 3), Some(3));
    assert_eq!(limit(-1, 3), Some(3));
    assert_eq!(limit(5, -1), Some(5));
    assert_eq!(limit(-1, -1), None);
}

#[test]
fn without_policies_the_arguments_are_what_is_in_effect() {
    let arguments = table(&[("x-max-length", 3.into()), ("x-foo", "bar".into())]);
    let effective = Policies::default().effective("q", QueueType::Classic, &arguments);
    assert_eq!(effective, Effective { applied: Applied::default(), arguments });
}

#[test]
fn policies_are_put_found_and_removed_by_name_and_authority() {
    let mut policies =
        policies([user("p", &[("max-length", 1.into())]), operator("p", &[("expires", 1.into())])]);
    policies.put(user("p", &[("max-length", 2.into())]));
    let get = |policies: &Policies, authority| {
        policies.get(authority, "p").map(|policy| policy.definition.clone())
    };
    assert_eq!(get(&policies, Authority::User), Some(map(&[("max-length", 2.into())])));
    assert!(policies.remove(Authority::User, "p").is_some());
    assert!(policies.remove(Authority::User, "p").is_none());
    assert_eq!(get(&policies, Authority::Operator), Some(map(&[("expires", 1.into())])));
    assert_eq!(policies.iter().count(), 1);
}

#[test]
fn an_alternate_exchange_is_a_policys_too() {
    let policies = policies([user("p", &[("alternate-exchange", "lost".into())])]);
    assert_eq!(policies.alternate_exchange("x"), Some("lost".into()));
    assert_eq!(Policies::default().alternate_exchange("x"), None);
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let apply_to = prop::sample::select(ApplyTo::ALL.to_vec());
    let authority = prop::sample::select(vec![Authority::User, Authority::Operator]);
    let priority =
        prop_oneof![any::<i64>().prop_map(Datum::Integer), (-9.0..9.0).prop_map(Datum::Float)];
    let definition = prop::collection::btree_map("[a-z-]{1,9}", datum(), 1..4);
    ("\\PC{0,9}", authority, "[a-z.^$]{0,5}", apply_to, priority, definition).prop_map(
        |(name, authority, pattern, apply_to, priority, definition)| {
            let pattern = Pattern::new(&pattern).unwrap();
            Policy { name: name.into(), authority, pattern, apply_to, priority, definition }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn policies_come_back_whole(vhost in "\\PC{0,9}", policy in any_policy()) {
        check(&PolicyRecord { vhost: vhost.into(), policy: Arc::new(policy) });
    }

    #[test]
    fn noise_is_an_error_or_a_record(key in any::<Vec<u8>>(), value in any::<Vec<u8>>()) {
        let value = [&[VERSION], &value[..]].concat();
        let _ = PolicyRecord::decode(&key, &value);
    }

    /// A number in effect is never above what any of the three allows.
    #[test]
    fn the_strictest_number_is_in_effect(
        own in proptest::option::of(0..100_i64),
        said in proptest::option::of(0..100_i64),
        operators in proptest::option::of(0..100_i64),
    ) {
        let mut all = Vec::new();
        all.extend(said.map(|n| user("u", &[("max-length", n.into())])));
        all.extend(operators.map(|n| operator("o", &[("max-length", n.into())])));
        let arguments = own.map_or_else(Table::default, |n| table(&[("x-max-length", n.into())]));
        let effective = policies(all).effective("q", QueueType::Classic, &arguments);
        let max_length = Settings::of(QueueType::Classic, &effective.arguments).max_length;
        let strictest = [own, said, operators].into_iter().flatten().min();
        prop_assert_eq!(max_length, strictest.map(i64::cast_unsigned));
    }

    /// Whatever the order in which policies are set, the same ones apply.
    #[test]
    fn the_order_of_setting_does_not_matter(
        mut all in prop::collection::vec(any_policy(), 0..6),
        name in "[a-z.]{0,5}",
    ) {
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all.dedup_by(|one, other| one.name == other.name);
        let forward = policies(all.iter().cloned().map(Arc::new));
        let backward = policies(all.into_iter().rev().map(Arc::new));
        for queue_type in [QueueType::Classic, QueueType::Quorum, QueueType::Stream] {
            let one = forward.for_queue(&name, queue_type);
            prop_assert_eq!(one, backward.for_queue(&name, queue_type));
        }
        prop_assert_eq!(forward.for_exchange(&name), backward.for_exchange(&name));
    }
}
