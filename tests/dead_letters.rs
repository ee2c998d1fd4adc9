//! Dead letters: where they go, and what they tell of the way they came.

use crate::harness::*;

/// Rejects the next message of a queue.
#[track_caller]
fn refuse(channel: &Channel, q: &str) {
    let message = channel.get(q).expect("a message to reject");
    channel.send(&reject(message.delivery_tag, false));
}

/// Waits for the next message of a queue.
#[track_caller]
fn arrival(channel: &Channel, q: &str) -> Message {
    channel.subscribe(q, "arrival");
    let message = channel.delivery();
    channel.cancel("arrival");
    message
}

fn dlx(exchange: &str) -> Table {
    Table::new().with("x-dead-letter-exchange", exchange)
}

// BA-230, BA-231, BA-233, BA-236, EX-077
#[test]
fn rejected_message_goes_to_the_dead_letter_exchange_with_its_story() {
    let channel = Channel::open();
    let (from, to) = (channel.exchange("direct"), channel.exchange("direct"));
    let (q, dead) = (channel.queue_with(dlx(&to)), channel.queue());
    channel.call(&bind(&q, &from, "key"));
    channel.call(&bind(&dead, &to, "key"));
    for request in [reject(1, false), nack(3, false)] {
        let own = Table::new().with("own", "header");
        channel.publish(&publish(&from, "key", "m").headers(own));
        channel.get(&q).unwrap();
        channel.send(&request);
        let letter = arrival(&channel, &dead);
        assert_eq!((letter.exchange.as_str(), letter.routing_key.as_str()), (&*to, "key"));
        assert_eq!(letter.text(), "m");
        let deaths = letter.deaths();
        assert_eq!(deaths.len(), 1);
        let keys = ["count", "reason", "queue", "time", "exchange", "routing-keys"];
        assert_eq!(deaths[0].keys(), keys);
        assert_eq!(deaths[0].get("count"), Some(&Value::I64(1)));
        assert_eq!(deaths[0].text("reason"), "rejected");
        assert_eq!(deaths[0].text("queue"), q);
        assert!(matches!(deaths[0].get("time"), Some(Value::Time(seconds)) if *seconds > 1 << 30));
        assert_eq!(deaths[0].text("exchange"), from);
        assert_eq!(deaths[0].get("routing-keys"), Some(&Value::Array(vec!["key".into()])));
        let headers = letter.headers();
        assert_eq!(headers.text("own"), "header");
        for which in ["first", "last"] {
            assert_eq!(headers.text(&format!("x-{which}-death-reason")), "rejected");
            assert_eq!(headers.text(&format!("x-{which}-death-queue")), q);
            assert_eq!(headers.text(&format!("x-{which}-death-exchange")), from);
        }
        assert_eq!(headers.keys().len(), 8);
    }
}

// BA-231
#[test]
fn dead_letter_takes_the_key_of_its_queue() {
    let channel = Channel::open();
    let (to, dead) = (channel.exchange("direct"), channel.queue());
    let q = channel.queue_with(dlx(&to).with("x-dead-letter-routing-key", "other"));
    channel.call(&bind(&dead, &to, "other"));
    channel.fill(&q, ["m"]);
    refuse(&channel, &q);
    let letter = arrival(&channel, &dead);
    assert_eq!(letter.routing_key, "other");
    assert_eq!(letter.deaths()[0].get("routing-keys"), Some(&Value::Array(vec![(&q).into()])));
    assert_eq!(letter.deaths()[0].text("exchange"), "");
}

// BA-231
#[test]
fn dead_letter_goes_to_every_queue_that_its_exchange_finds() {
    let channel = Channel::open();
    let to = channel.exchange("topic");
    let q = channel.queue_with(dlx(&to).with("x-dead-letter-routing-key", "a.b"));
    let targets = [channel.queue(), channel.queue(), channel.queue()];
    for (target, pattern) in targets.iter().zip(["a.*", "#", "b.#"]) {
        channel.call(&bind(target, &to, pattern));
    }
    channel.fill(&q, ["m"]);
    refuse(&channel, &q);
    assert_eq!(arrival(&channel, &targets[0]).text(), "m");
    assert_eq!(arrival(&channel, &targets[1]).text(), "m");
    assert_eq!(channel.get(&targets[2]), None);
}

// BA-239, EX-075
#[test]
fn alternate_exchange_takes_dead_letters_too() {
    let channel = Channel::open();
    let (alternate, dead) = (channel.exchange("fanout"), channel.queue());
    channel.call(&bind(&dead, &alternate, ""));
    let to = name("direct");
    channel.call(&exchange(&to, "direct").auto_delete().arg("alternate-exchange", &alternate));
    let q = channel.queue_with(dlx(&to));
    channel.fill(&q, ["m"]);
    refuse(&channel, &q);
    let letter = arrival(&channel, &dead);
    assert_eq!(letter.exchange, to);
    channel.call(&exchange_delete(&to));
}

// BA-239
#[test]
fn dead_letter_with_nowhere_to_go_is_dropped() {
    let channel = Channel::open();
    for to in ["no-such-exchange".to_owned(), channel.exchange("direct")] {
        let q = channel.queue_with(dlx(&to));
        channel.fill(&q, ["m"]);
        refuse(&channel, &q);
        channel.expect_nothing();
        assert_eq!(channel.get(&q), None);
        assert_eq!(channel.count(&delete(&q)), 0);
    }
}

// BA-241, BA-244
#[test]
fn dead_letter_is_the_message_that_died() {
    let channel = Channel::open();
    let dead = channel.queue();
    let q = channel.queue_with(letters_to(&dead));
    let text = |text: &str| Some(text.to_owned());
    let sent = Properties {
        content_type: text("text/plain"),
        content_encoding: text("gzip"),
        delivery_mode: Some(2),
        priority: Some(7),
        correlation_id: text("correlation"),
        reply_to: text("reply"),
        message_id: text("id"),
        timestamp: Some(1_700_000_000),
        kind: text("kind"),
        user_id: text("guest"),
        app_id: text("app"),
        ..Properties::default()
    };
    let body = "x".repeat(300_000);
    channel.publish(&publish("", &q, body.clone()).properties(sent.clone()));
    refuse(&channel, &q);
    let letter = arrival(&channel, &dead);
    assert!(letter.text() == body, "the body is another");
    assert_eq!(Properties { headers: None, ..letter.properties }, sent);
}

// BA-244
#[test]
fn letter_is_redelivered_if_it_was_delivered_before_it_died() {
    let channel = Channel::open();
    let dead = channel.queue();
    let q = channel.queue_with(letters_to(&dead));
    channel.fill(&q, ["m"]);
    refuse(&channel, &q);
    // RabbitMQ forgets it where the letter goes straight to a consumer.
    channel.expect_ready(&dead, 1);
    assert!(channel.get(&dead).unwrap().redelivered);
}

// BA-235, BA-246, TOP-30
#[test]
fn expiration_is_kept_in_the_story_and_taken_from_the_message() {
    let channel = Channel::open();
    let dead = channel.queue();
    let q = channel.queue_with(letters_to(&dead));
    channel.publish(&publish("", &q, "expired").expiration("30"));
    let letter = arrival(&channel, &dead);
    assert!(!letter.redelivered, "it only expired");
    channel.publish(&publish("", &q, "rejected").expiration("60000"));
    refuse(&channel, &q);
    let other = arrival(&channel, &dead);
    for (letter, expiration) in [(letter, "30"), (other, "60000")] {
        assert_eq!(letter.properties.expiration, None);
        assert_eq!(letter.deaths()[0].text("original-expiration"), expiration);
        assert_eq!(letter.deaths()[0].keys()[..2], ["original-expiration", "count"]);
    }
}

// BA-246
#[test]
fn dead_letter_lives_as_long_as_its_new_queue_says() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let middle = channel.queue_with(letters.args().with("x-message-ttl", 50));
    let q = channel.queue_with(letters_to(&middle).with("x-message-ttl", 50));
    let start = std::time::Instant::now();
    channel.fill(&q, ["m"]);
    let letter = letters.next();
    assert_not_before(start, 100);
    assert_eq!(letter.history(), history([(&middle, "expired", 1), (&q, "expired", 1)]));
}

// BA-232, BA-236, TOP-30
#[test]
fn story_grows_by_queue_and_reason_the_newest_first() {
    let channel = Channel::open();
    // Work that fails goes to a queue where it waits, and comes back from there.
    let (work, wait) = (name("work"), name("wait"));
    channel.declare(&queue(&work).exclusive().args(letters_to(&wait)));
    channel.declare(&queue(&wait).exclusive().args(letters_to(&work).with("x-message-ttl", 20)));
    channel.fill(&work, ["m"]);
    channel.subscribe(&work, "t");
    let first = channel.delivery();
    assert_eq!(first.properties.headers, None);
    channel.send(&reject(first.delivery_tag, false));
    let mut times = Vec::new();
    for count in 1..=3 {
        let again = channel.delivery();
        assert_eq!(
            again.history(),
            history([(&wait, "expired", count), (&work, "rejected", count)])
        );
        let headers = again.headers();
        assert_eq!(headers.text("x-first-death-queue"), work);
        assert_eq!(headers.text("x-first-death-reason"), "rejected");
        assert_eq!(headers.text("x-first-death-exchange"), "");
        assert_eq!(headers.text("x-last-death-queue"), wait);
        assert_eq!(headers.text("x-last-death-reason"), "expired");
        assert_eq!(headers.text("x-last-death-exchange"), "");
        assert_eq!((again.exchange.as_str(), again.routing_key.as_str()), ("", work.as_str()));
        times.push(
            again.deaths().iter().map(|entry| entry.get("time").cloned()).collect::<Vec<_>>(),
        );
        channel.send(&reject(again.delivery_tag, false));
    }
    assert!(times.iter().all(|one| *one == times[0]), "the times are those of the first deaths");
}

// BA-232
#[test]
fn one_queue_may_stand_in_the_story_for_several_reasons() {
    let channel = Channel::open();
    let (q, back) = (name("queue"), name("back"));
    let arguments = letters_to(&back).with("x-max-length", 1);
    channel.declare(&queue(&q).exclusive().args(arguments));
    channel.declare(&queue(&back).exclusive().args(letters_to(&q)));
    channel.fill(&q, ["m"]);
    refuse(&channel, &q);
    channel.send(&reject(arrival(&channel, &back).delivery_tag, false));
    channel.expect_ready(&q, 1);
    // It has come back to the queue, and has to make room there.
    channel.fill(&q, ["n"]);
    let letter = arrival(&channel, &back);
    assert_eq!(letter.text(), "m");
    let expected = [(&*q, "maxlen", 1), (&back, "rejected", 1), (&q, "rejected", 1)];
    assert_eq!(letter.history(), history(expected));
    let headers = letter.headers();
    assert_eq!(
        (headers.text("x-first-death-queue"), headers.text("x-last-death-queue")),
        (&*q, &*q)
    );
    assert_eq!(headers.text("x-first-death-reason"), "rejected");
    assert_eq!(headers.text("x-last-death-reason"), "maxlen");
}

// BA-237, TOP-29
#[test]
fn letter_that_goes_round_by_itself_is_dropped() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let (one, two) = (name("one"), name("two"));
    let x = channel.exchange("fanout");
    channel.declare(&queue(&one).exclusive().args(letters_to(&two).with("x-message-ttl", 30)));
    channel.declare(&queue(&two).exclusive().args(dlx(&x).with("x-message-ttl", 30)));
    // From the second queue it would go to the first again; a copy shows that it was there.
    channel.call(&bind(&one, &x, ""));
    channel.call(&bind(&letters.queue, &x, ""));
    channel.fill(&one, ["m"]);
    let copy = letters.next();
    assert_eq!(copy.history(), history([(&two, "expired", 1), (&one, "expired", 1)]));
    outlive(&channel.connection(), 100);
    letters.expect_none();
    assert_eq!(channel.get(&one), None);
    assert_eq!(channel.get(&two), None);
}

// BA-237
#[test]
fn expired_letter_does_not_go_to_the_queue_it_died_in() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let (q, x) = (name("queue"), channel.exchange("fanout"));
    channel.declare(&queue(&q).exclusive().args(dlx(&x).with("x-message-ttl", 30)));
    channel.call(&bind(&q, &x, ""));
    channel.call(&bind(&letters.queue, &x, ""));
    channel.fill(&q, ["m"]);
    assert_eq!(letters.next().history(), history([(&q, "expired", 1)]));
    outlive(&channel.connection(), 60);
    assert_eq!(channel.get(&q), None);
    letters.expect_none();
}

// BA-238, TOP-29
#[test]
fn rejected_letter_may_come_back_to_its_queue_for_ever() {
    let channel = Channel::open();
    let q = name("queue");
    channel.declare(&queue(&q).exclusive().args(letters_to(&q)));
    channel.fill(&q, ["m"]);
    channel.subscribe(&q, "t");
    for count in 0..10 {
        let message = channel.delivery();
        if count > 0 {
            assert_eq!(message.history(), history([(&q, "rejected", count)]));
        }
        channel.send(&reject(message.delivery_tag, false));
    }
    channel.delivery();
}

// BA-242
#[test]
fn story_that_a_client_tells_counts_for_nothing() {
    let channel = Channel::open();
    let dead = channel.queue();
    let q = channel.queue_with(letters_to(&dead));
    let told = Table::new()
        .with("count", 41_i64)
        .with("reason", "rejected")
        .with("queue", &q)
        .with("time", Value::Time(5))
        .with("exchange", "")
        .with("routing-keys", vec![Value::from("k")]);
    for told in [Value::Array(vec![told.into()]), "no array".into()] {
        let headers = Table::new().with("x-death", told.clone());
        channel.publish(&publish("", &q, "m").headers(headers.clone()));
        let got = channel.get(&q).unwrap();
        assert_eq!(got.properties.headers, Some(headers));
        channel.send(&reject(got.delivery_tag, false));
        let letter = arrival(&channel, &dead);
        assert_eq!(letter.history(), history([(&q, "rejected", 1)]));
    }
}

// BA-231, BA-234
#[test]
fn further_keys_are_keys_of_the_dead_letter_too() {
    let channel = Channel::open();
    let (from, to) = (channel.exchange("direct"), channel.exchange("direct"));
    let q = channel.queue_with(dlx(&to));
    channel.call(&bind(&q, &from, "key"));
    let targets = [channel.queue(), channel.queue()];
    for (target, key) in targets.iter().zip(["key", "copy"]) {
        channel.call(&bind(target, &to, key));
    }
    let headers =
        Table::new().with("CC", vec![Value::from("copy")]).with("BCC", vec![Value::from("blind")]);
    channel.publish(&publish(&from, "key", "m").headers(headers));
    refuse(&channel, &q);
    for target in &targets {
        let letter = arrival(&channel, target);
        let keys = Value::Array(vec!["key".into(), "copy".into()]);
        assert_eq!(letter.deaths()[0].get("routing-keys"), Some(&keys));
        assert_eq!(letter.routing_key, "key");
        assert_eq!(letter.headers().get("CC"), Some(&Value::Array(vec!["copy".into()])));
        assert_eq!(letter.headers().get("BCC"), None);
    }
}

// BA-231
#[test]
fn blind_keys_are_keys_of_the_dead_letter_too() {
    let channel = Channel::open();
    let (from, to) = (channel.exchange("direct"), channel.exchange("direct"));
    let (q, dead) = (channel.queue_with(dlx(&to)), channel.queue());
    channel.call(&bind(&q, &from, "key"));
    channel.call(&bind(&dead, &to, "blind"));
    let headers = Table::new().with("BCC", vec![Value::from("blind")]);
    channel.publish(&publish(&from, "key", "m").headers(headers));
    refuse(&channel, &q);
    let letter = arrival(&channel, &dead);
    assert_eq!(letter.deaths()[0].get("routing-keys"), Some(&Value::Array(vec!["key".into()])));
}

/// The routing keys of each entry of `x-death`, the latest first.
fn keys_told(letter: &Message) -> Vec<Vec<String>> {
    let keys = |entry: &Table| match entry.get("routing-keys") {
        Some(Value::Array(keys)) => keys
            .iter()
            .map(|key| match key {
                Value::Text(key) => key.clone(),
                other => panic!("expected a key, got {other:?}"),
            })
            .collect(),
        other => panic!("expected routing keys, got {other:?}"),
    };
    letter.deaths().iter().map(keys).collect()
}

// BA-231, BA-234
#[test]
fn all_keys_of_a_message_go_along_the_whole_chain() {
    let channel = Channel::open();
    let exchanges = [(); 4].map(|()| channel.exchange("direct"));
    let [from, first, second, last] = &exchanges;
    let one = channel.queue_with(dlx(first));
    let two = channel.queue_with(dlx(second));
    let three = channel.queue_with(dlx(last));
    channel.call(&bind(&one, from, "key"));
    channel.call(&bind(&two, first, "copy"));
    channel.call(&bind(&three, second, "blind"));
    let ends = ["key", "copy", "blind"].map(|key| {
        let end = channel.queue();
        channel.call(&bind(&end, last, key));
        end
    });
    let headers =
        Table::new().with("CC", vec![Value::from("copy")]).with("BCC", vec![Value::from("blind")]);
    channel.publish(&publish(from, "key", "m").headers(headers));
    for q in [&one, &two, &three] {
        channel.send(&reject(arrival(&channel, q).delivery_tag, false));
    }
    for end in &ends {
        let letter = arrival(&channel, end);
        assert_eq!(keys_told(&letter), [["key", "copy"]; 3]);
        assert_eq!(letter.routing_key, "key");
        assert_eq!(letter.headers().get("BCC"), None);
        assert_eq!(channel.get(end), None);
    }
}

// BA-231, BA-234, BA-243
#[test]
fn key_of_a_queue_stays_the_only_one_along_the_chain() {
    let channel = Channel::open();
    let exchanges = [(); 3].map(|()| channel.exchange("direct"));
    let [from, first, last] = &exchanges;
    let one = channel.queue_with(dlx(first).with("x-dead-letter-routing-key", "other"));
    let two = channel.queue_with(dlx(last));
    channel.call(&bind(&one, from, "key"));
    channel.call(&bind(&two, first, "other"));
    let [end, never @ ..] = ["other", "key", "copy", "blind"].map(|key| {
        let end = channel.queue();
        channel.call(&bind(&end, last, key));
        end
    });
    let headers =
        Table::new().with("CC", vec![Value::from("copy")]).with("BCC", vec![Value::from("blind")]);
    channel.publish(&publish(from, "key", "m").headers(headers));
    for q in [&one, &two] {
        channel.send(&reject(arrival(&channel, q).delivery_tag, false));
    }
    let letter = arrival(&channel, &end);
    assert_eq!(keys_told(&letter), [vec!["other"], vec!["key", "copy"]]);
    assert_eq!(letter.headers().get("CC"), Some(&Value::Array(vec!["copy".into()])));
    for q in &never {
        assert_eq!(channel.get(q), None);
    }
}

// BA-234
#[test]
fn blind_keys_are_taken_out_of_those_that_are_told_once_each() {
    let channel = Channel::open();
    let (from, to) = (channel.exchange("direct"), channel.exchange("direct"));
    let q = channel.queue_with(dlx(&to));
    channel.call(&bind(&q, &from, "key"));
    let end = channel.queue();
    channel.call(&bind(&end, &to, "key"));
    for (cc, bcc, told) in [
        (&["key"][..], &[][..], &["key", "key"][..]),
        (&["a", "b"], &["b", "c"], &["key", "a", "b"]),
        (&[], &["key"], &["key"]),
        (&["key", "a"], &["key", "a"], &["key", "key", "a"]),
    ] {
        let array = |keys: &[&str]| keys.iter().map(|key| Value::from(*key)).collect::<Vec<_>>();
        let headers = Table::new().with("CC", array(cc)).with("BCC", array(bcc));
        channel.publish(&publish(&from, "key", "m").headers(headers));
        refuse(&channel, &q);
        assert_eq!(keys_told(&arrival(&channel, &end)), [told], "{cc:?} {bcc:?}");
    }
}

// BA-011, BA-231
#[test]
fn blind_keys_outlive_a_restart_unseen() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.call(&exchange("to", "direct").durable());
    let arguments = Table::new().with("x-dead-letter-exchange", "to");
    channel.declare(&queue("q").durable().args(arguments));
    channel.declare(&queue("end").durable());
    channel.call(&bind("end", "to", "blind"));
    channel.confirm_select();
    let headers = Table::new().with("BCC", vec![Value::from("blind")]).with("h", 1);
    channel.publish(&publish("", "q", "m").headers(headers).persistent());
    channel.expect_acked(1);
    private.restart();
    let channel = private.open().channel(1);
    let got = channel.get("q").unwrap();
    assert_eq!(got.headers(), Table::new().with("h", 1));
    channel.send(&reject(got.delivery_tag, false));
    let letter = arrival(&channel, "end");
    assert_eq!(keys_told(&letter), [["q"]]);
    assert_eq!(letter.headers().get("BCC"), None);
}

// BA-243
#[test]
fn key_of_the_queue_stands_for_all_keys_of_the_message() {
    let channel = Channel::open();
    let (from, to) = (channel.exchange("direct"), channel.exchange("direct"));
    let q = channel.queue_with(dlx(&to).with("x-dead-letter-routing-key", "other"));
    channel.call(&bind(&q, &from, "key"));
    let (dead, copy) = (channel.queue(), channel.queue());
    channel.call(&bind(&dead, &to, "other"));
    channel.call(&bind(&copy, &to, "copy"));
    let headers = Table::new().with("CC", vec![Value::from("copy")]);
    channel.publish(&publish(&from, "key", "m").headers(headers));
    refuse(&channel, &q);
    let letter = arrival(&channel, &dead);
    assert_eq!(letter.headers().get("CC"), Some(&Value::Array(vec!["copy".into()])));
    assert_eq!(channel.get(&copy), None);
}

// BA-230
#[test]
fn messages_refused_together_arrive_in_their_order() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel.queue_with(letters.args());
    channel.fill(&q, ["a", "b", "c", "d"]);
    for body in ["a", "b", "c"] {
        channel.take(&q, body);
    }
    channel.send(&nack(0, false).multiple());
    assert_eq!(letters.bodies(3), ["a", "b", "c"]);
    assert_eq!(channel.drain(&q), ["d"]);
}

// BA-230, QU-083, QU-088
#[test]
fn only_what_dies_is_a_dead_letter() {
    let connection = Connection::open();
    let (channel, letters) = (connection.channel(1), DeadLetters::open());
    let q = channel.queue_with(letters.args());
    channel.fill(&q, ["acked", "put back", "purged"]);
    channel.send(&ack(channel.take(&q, "acked")));
    let other = connection.channel(2);
    other.take(&q, "put back");
    other.close();
    assert_eq!(channel.take(&q, "put back"), 2);
    channel.send(&nack(2, true));
    assert_eq!(channel.count(&purge(&q)), 2);
    channel.fill(&q, ["deleted"]);
    assert_eq!(channel.count(&delete(&q)), 1);
    let last = channel.queue_with(letters.args());
    channel.fill(&last, ["rejected"]);
    refuse(&channel, &last);
    assert_eq!(letters.next().text(), "rejected");
    letters.expect_none();
}

// BA-230
#[test]
fn message_rejected_in_a_transaction_dies_with_its_commit() {
    let (channel, letters) = (Channel::open(), DeadLetters::open());
    let q = channel.queue_with(letters.args());
    channel.fill(&q, ["m"]);
    channel.call(&tx_select());
    refuse(&channel, &q);
    channel.call(&tx_rollback());
    letters.expect_none();
    channel.send(&reject(1, false));
    channel.call(&tx_commit());
    assert_eq!(letters.next().text(), "m");
}

// BA-232, BA-241
#[test]
fn story_goes_on_after_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("work").durable().args(letters_to("wait")));
    channel.declare(&queue("wait").durable().args(letters_to("work").with("x-message-ttl", 50)));
    channel.confirm_select();
    channel.fill_persistent("work", ["m"]);
    channel.expect_acked(1);
    refuse(&channel, "work");
    channel.expect_settled();
    for count in 1..=3 {
        private.restart();
        let channel = private.open().channel(1);
        channel.subscribe("work", "t");
        let letter = channel.delivery();
        let expected = history([("wait", "expired", count), ("work", "rejected", count)]);
        assert_eq!(letter.history(), expected);
        channel.send(&reject(letter.delivery_tag, false));
        channel.expect_settled();
    }
}

// BA-237
#[test]
fn circles_are_seen_after_a_restart() {
    let Some(mut private) = private_broker("") else { return };
    let channel = private.open().channel(1);
    channel.declare(&queue("one").durable().args(letters_to("two").with("x-message-ttl", 10)));
    channel.declare(&queue("two").durable().args(dlx("amq.fanout").with("x-message-ttl", 1500)));
    channel.declare(&queue("copy").durable());
    channel.call(&bind("one", "amq.fanout", ""));
    channel.call(&bind("copy", "amq.fanout", ""));
    channel.confirm_select();
    channel.fill_persistent("one", ["m"]);
    channel.expect_acked(1);
    channel.expect_ready("two", 1);
    private.restart();

    let connection = private.open();
    let channel = connection.channel(1);
    let letter = arrival(&channel, "copy");
    assert_eq!(letter.history(), history([("two", "expired", 1), ("one", "expired", 1)]));
    // Had it gone to the first queue again, it would be in the second by now.
    outlive(&connection, 100);
    for q in ["one", "two"] {
        assert_eq!(channel.get(q), None, "{q}");
    }
}
