package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What RabbitMQ added to AMQP; the last scenarios are what Lepus has and RabbitMQ 4.3 has not.

const replyTo = "amq.rabbitmq.reply-to"

// A table is a table of arguments or headers.
type table = amqp.Table

// extension makes a scenario of a function that wants a connection and a confirming channel.
func extension(run func(*amqp.Connection, *amqp.Channel)) func() {
	return func() {
		connection := connect()
		run(connection, confirming(connection))
		finish(connection)
	}
}

// exclusive declares an exclusive queue that the server names.
func exclusive(channel *amqp.Channel, arguments table) string {
	queue, err := channel.QueueDeclare("", false, false, true, false, arguments)
	ok(err, "declare a server-named queue")
	return queue.Name
}

// durable declares a durable queue with arguments.
func durable(channel *amqp.Channel, queue string, arguments table) error {
	_, err := channel.QueueDeclare(queue, true, false, false, false, arguments)
	return err
}

// exchange declares a transient exchange with arguments.
func exchange(channel *amqp.Channel, exchange, kind string, arguments table) error {
	return channel.ExchangeDeclare(exchange, kind, false, false, false, false, arguments)
}

func bind(channel *amqp.Channel, queue, key, exchange string) error {
	return channel.QueueBind(queue, key, exchange, false, nil)
}

// subscribe starts a consumer with manual acks.
func subscribe(channel *amqp.Channel, queue, tag string, arguments table) <-chan amqp.Delivery {
	deliveries, err := channel.Consume(queue, tag, false, false, false, false, arguments)
	ok(err, "consume from "+queue)
	return deliveries
}

// lettersTo gives arguments of a queue whose dead letters go to another queue.
func lettersTo(letters string, more table) table {
	arguments := table{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": letters}
	for key, value := range more {
		arguments[key] = value
	}
	return arguments
}

// attempt publishes on a confirming channel, and tells whether the broker took the message.
func attempt(channel *amqp.Channel, key string, message amqp.Publishing) bool {
	confirmation, err := channel.PublishWithDeferredConfirm("", key, false, false, message)
	ok(err, "publish")
	return confirmation.Wait()
}

// A returner publishes with the mandatory flag and tells whether the message came back.
func returner(channel *amqp.Channel) func(exchange, key string, message amqp.Publishing) bool {
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	return func(exchange, key string, message amqp.Publishing) bool {
		confirmation, err := channel.PublishWithDeferredConfirm(exchange, key, true, false, message)
		ok(err, "publish")
		confirmation.Wait()
		select {
		case <-returns: // it comes before the ack
			return true
		default:
			return false
		}
	}
}

// deaths gives the x-death header of a letter without the times, which must be times.
func deaths(letter amqp.Delivery) []any {
	entries, _ := letter.Headers["x-death"].([]any)
	for _, entry := range entries {
		_, isTime := entry.(table)["time"].(time.Time)
		expect(isTime, true, "the time of a death is a time")
		delete(entry.(table), "time")
	}
	return entries
}

func death(count int, reason, queue, exchange, key string) table {
	return table{"count": int64(count), "reason": reason, "queue": queue, "exchange": exchange, "routing-keys": []any{key}}
}

// bodies gives the bodies of deliveries, each with a star if it is redelivered.
func bodies(deliveries ...amqp.Delivery) string {
	seen := []string{}
	for _, delivery := range deliveries {
		seen = append(seen, string(delivery.Body)+map[bool]string{true: "*"}[delivery.Redelivered])
	}
	return strings.Join(seen, " ")
}

func origin(delivery amqp.Delivery) []string {
	return []string{delivery.Exchange, delivery.RoutingKey, string(delivery.Body)}
}

// refused does something with a channel that must be closed for it, with this reply.
func refused(connection *amqp.Connection, code int, text string, act func(ch *amqp.Channel) error) {
	replies := map[int]string{403: "ACCESS_REFUSED", 404: "NOT_FOUND", 406: "PRECONDITION_FAILED"}
	channel := open(connection)
	closed := channel.NotifyClose(make(chan *amqp.Error, 1))
	go func() { _ = act(channel) }()
	expectError(closed, errorCase{code: code, text: replies[code] + " - " + text})
}

// badArgument declares a queue with one argument, which the broker must refuse for its reason.
func badArgument(connection *amqp.Connection, argument string, value any, reason string) {
	queue := name("bad")
	refused(connection, 406, fmt.Sprintf("invalid arg '%s' for queue '%s' in vhost '/'%s", argument, queue, reason),
		func(ch *amqp.Channel) error { return durable(ch, queue, table{argument: value}) })
}

// Time to live and dead letters

func ttl(connection *amqp.Connection, channel *amqp.Channel) {
	letters := exclusive(channel, nil)
	for _, life := range []struct {
		ofQueue             any
		ofMessage, original string // of the message, and what the letter says that it was
	}{{50, "", ""}, {60000, "50", "50"}, {50, "60000", "60000"}, {nil, "50", "50"}} {
		arguments := lettersTo(letters, nil)
		if life.ofQueue != nil {
			arguments["x-message-ttl"] = life.ofQueue
		}
		queue := exclusive(channel, arguments)
		publish(channel, "", queue, amqp.Publishing{Body: []byte("late"), DeliveryMode: amqp.Persistent,
			Expiration: life.ofMessage, Headers: table{"own": int32(1)}})
		letter := take(channel, letters, 1)[0]
		expect(origin(letter), []string{"", letters, "late"}, "the letter")
		expect([]any{letter.Expiration, letter.DeliveryMode}, []any{"", amqp.Persistent}, "its properties")
		wanted := death(1, "expired", queue, "", queue)
		if life.original != "" {
			wanted["original-expiration"] = life.original
		}
		expect(deaths(letter), []any{wanted}, "its x-death")
		delete(letter.Headers, "x-death")
		expect(letter.Headers, table{"own": int32(1),
			"x-first-death-reason": "expired", "x-first-death-queue": queue, "x-first-death-exchange": "",
			"x-last-death-reason": "expired", "x-last-death-queue": queue, "x-last-death-exchange": ""}, "its other headers")
	}
	badArgument(connection, "x-message-ttl", -1, ": {value_negative,-1}")
	badArgument(connection, "x-message-ttl", "60000", `: "expected integer, got longstr"`)
	badArgument(connection, "x-dead-letter-routing-key", "k", ": routing_key_but_no_dlx_defined")
	refused(connection, 406, "invalid expiration 'soon': no_integer", func(ch *amqp.Channel) error {
		return ch.Publish("", letters, false, false, amqp.Publishing{Expiration: "soon"})
	})
}

func deadLetters(_ *amqp.Connection, channel *amqp.Channel) {
	retry := name("retry")
	ok(exchange(channel, retry, "direct", nil), "declare")
	work := exclusive(channel, table{"x-dead-letter-exchange": retry})
	wait := exclusive(channel, table{"x-message-ttl": 50, "x-dead-letter-exchange": ""})
	ok(bind(channel, wait, work, retry), "bind")
	publish(channel, "", work, text("fails twice"))
	tasks := subscribe(channel, work, "", nil)
	for failures := 0; failures < 3; failures++ {
		task := next(tasks)
		expect(origin(task), []string{"", work, "fails twice"}, "the message")
		if failures == 0 {
			expect(len(task.Headers), 0, "headers of a message that has not failed yet")
		} else {
			expect(deaths(task), []any{death(failures, "expired", wait, retry, work),
				death(failures, "rejected", work, "", work)}, "x-death of a message that failed")
			expect([]any{task.Headers["x-first-death-reason"], task.Headers["x-first-death-queue"],
				task.Headers["x-first-death-exchange"]}, []any{"rejected", work, ""}, "its first death")
		}
		if failures < 2 {
			ok(task.Reject(false), "reject")
		} else {
			ok(task.Ack(false), "ack")
		}
	}
	expect([]int{ready(channel, work), ready(channel, wait)}, []int{0, 0}, "messages left")
	removeExchange(channel, retry)
}

// Limits

func maxLength(connection *amqp.Connection, channel *amqp.Channel) {
	for _, limit := range []struct {
		argument           string
		value              int
		overflow           string
		nacked, kept, lost string // of m1 to m5: what is refused, what stays, and what becomes a letter
	}{
		{"x-max-length", 3, "drop-head", "", "m3 m4 m5", "m1 m2"},
		{"x-max-length", 3, "reject-publish", "m4 m5", "m1 m2 m3", ""},
		{"x-max-length", 3, "reject-publish-dlx", "m4 m5", "m1 m2 m3", "m4 m5"},
		{"x-max-length-bytes", 8, "drop-head", "", "m2 m3 m4 m5", "m1"},
		{"x-max-length", 0, "drop-head", "", "", "m1 m2 m3 m4 m5"},
	} {
		letters := exclusive(channel, nil)
		queue := exclusive(channel, lettersTo(letters, table{limit.argument: limit.value, "x-overflow": limit.overflow}))
		nacked := []string{}
		for _, body := range series("m%d", 1, 6) {
			if !attempt(channel, queue, text(body)) {
				nacked = append(nacked, body)
			}
		}
		lost := take(channel, letters, len(strings.Fields(limit.lost)))
		expect([]string{strings.Join(nacked, " "), strings.Join(drain(channel, queue), " "), bodies(lost...)},
			[]string{limit.nacked, limit.kept, limit.lost}, fmt.Sprint(limit, " what is refused, stays and is lost"))
		for _, letter := range lost {
			expect(deaths(letter)[0].(table)["reason"], "maxlen", "the reason")
		}
	}
	badArgument(connection, "x-max-length", -1, ": {value_negative,-1}")
	badArgument(connection, "x-max-length-bytes", "many", `: "expected integer, got longstr"`)
	badArgument(connection, "x-overflow", "drop-tail", ": invalid_overflow")
}

func queueExpires(connection *amqp.Connection, channel *amqp.Channel) {
	idle, used, isReturned := name("idle"), name("used"), returner(channel)
	untilGone := func(queue string) {
		until("the end of "+queue, func() bool { return isReturned("", queue, text("")) }) // this is no use of the queue
	}
	for _, queue := range []string{idle, used} {
		ok(durable(channel, queue, table{"x-expires": 1000}), "declare")
	}
	go func() {
		for range subscribe(channel, used, "c", nil) {
		}
	}()
	untilGone(idle)
	expect(isReturned("", used, text("")), false, "a queue with a consumer is gone")
	ok(channel.Cancel("c", false), "cancel")
	untilGone(used)
	badArgument(connection, "x-expires", 0, ": {value_zero,0}")
	badArgument(connection, "x-expires", -5, ": {value_negative,-5}")
}

// Who gets what, and when

func priorities(connection *amqp.Connection, channel *amqp.Channel) {
	quorum := name("quorum")
	ok(durable(channel, quorum, table{"x-queue-type": "quorum"}), "declare")
	for _, order := range []struct {
		queue  string
		wanted []uint8
	}{
		// What is above the maximum counts as that; this client sends no priority of 0, which counts as 4 in the last one.
		{exclusive(channel, table{"x-max-priority": 5}), []uint8{9, 5, 3, 1, 0, 0}},
		{exclusive(channel, nil), []uint8{0, 1, 9, 5, 0, 3}},
		{quorum, []uint8{9, 5, 0, 0, 3, 1}},
	} {
		for _, priority := range []uint8{0, 1, 9, 5, 0, 3} {
			publish(channel, "", order.queue, amqp.Publishing{Priority: priority})
		}
		seen := []uint8{}
		for _, delivery := range take(channel, order.queue, 6) {
			seen = append(seen, delivery.Priority)
		}
		expect(seen, order.wanted, "priorities as they come")
	}
	removeQueue(channel, quorum)
	badArgument(connection, "x-max-priority", 256, ": {max_value_exceeded,256}")
	badArgument(connection, "x-max-priority", -1, ": {value_negative,-1}")
}

func singleActiveConsumer(connection *amqp.Connection, publisher *amqp.Channel) {
	queue := name("queue")
	ok(durable(publisher, queue, table{"x-single-active-consumer": true}), "declare")
	first, second, third := open(connection), open(connection), open(connection)
	toFirst := subscribe(first, queue, "c", nil)
	toSecond, toThird := subscribe(second, queue, "", nil), subscribe(third, queue, "", nil)
	publish(publisher, "", queue, text("m1"))
	publish(publisher, "", queue, text("m2"))
	expect(bodies(next(toFirst), next(toFirst)), "m1 m2", "deliveries to the first consumer")
	ok(first.Cancel("c", false), "cancel")
	publish(publisher, "", queue, text("m3"))
	expect(bodies(next(toSecond)), "m3", "deliveries after the first one cancelled")
	ok(first.Ack(2, true), "ack") // its messages stayed its own
	ok(second.Close(), "close")
	again := next(toThird)
	expect(bodies(again), "m3*", "deliveries after the second one went with a message in hand")
	ok(again.Ack(false), "ack")
	state, err := publisher.QueueDeclarePassive(queue, true, false, false, false, nil)
	ok(err, "inspect")
	expect(state.Consumers, 1, "consumers left")
	refused(connection, 403, "queue '"+queue+"' in vhost '/' in exclusive use", func(ch *amqp.Channel) error {
		_, err := ch.Consume(queue, "", false, true, false, false, nil)
		return err
	})
	removeQueue(publisher, queue)
	badArgument(connection, "x-single-active-consumer", "yes", ": {unacceptable_type,longstr}")
}

func consumerPriority(connection *amqp.Connection, publisher *amqp.Channel) {
	queue, channel := exclusive(publisher, nil), open(connection)
	ok(channel.Qos(2, 0, false), "qos")
	low := subscribe(channel, queue, "", nil)
	high := subscribe(channel, queue, "", table{"x-priority": 10})
	for _, body := range series("m%d", 1, 6) {
		publish(publisher, "", queue, text(body))
	}
	one := next(high)
	expect(bodies(one, next(high)), "m1 m2", "what the high one has room for")
	expect(bodies(next(low), next(low)), "m3 m4", "what goes on to the low one")
	ok(one.Ack(false), "ack")
	expect(bodies(next(high)), "m5", "the high one has room again")
	refused(connection, 406, "invalid arg 'x-priority' for queue '"+queue+"' in vhost '/': "+
		`"expected integer, got longstr"`, func(ch *amqp.Channel) error {
		_, err := ch.Consume(queue, "", false, false, false, false, table{"x-priority": "high"})
		return err
	})
}

// Quorum queues

func deliveryLimit(connection *amqp.Connection, channel *amqp.Channel) {
	queue, letters := name("queue"), exclusive(channel, nil)
	quorum := lettersTo(letters, table{"x-queue-type": "quorum", "x-delivery-limit": 2})
	ok(durable(channel, queue, quorum), "declare")
	counts := func(delivery amqp.Delivery) []any {
		return []any{delivery.Redelivered, delivery.Headers["x-delivery-count"], delivery.Headers["x-acquired-count"]}
	}
	publish(channel, "", queue, text("poison"))
	worker := open(connection)
	tasks := subscribe(worker, queue, "", nil)
	for _, wanted := range [][]any{{false, nil, nil}, {true, int64(1), int64(1)}, {true, int64(2), int64(2)}} {
		task := next(tasks)
		expect(counts(task), wanted, "redelivered, x-delivery-count and x-acquired-count of a rejected message")
		ok(task.Reject(true), "reject")
	}
	letter := take(channel, letters, 1)[0]
	expect(string(letter.Body), "poison", "the letter")
	expect(deaths(letter), []any{death(1, "delivery_limit", queue, "", queue)}, "its x-death")

	// A nack is no failure, the loss of the channel is one.
	publish(channel, "", queue, text("unlucky"))
	for _, wanted := range [][]any{{false, nil, nil}, {true, nil, int64(1)}, {true, nil, int64(2)}} {
		task := next(tasks)
		expect(counts(task), wanted, "counts of a nacked message")
		ok(task.Nack(false, true), "nack")
	}
	next(tasks)
	ok(worker.Close(), "close")
	task := next(subscribe(channel, queue, "", nil))
	expect(counts(task), []any{true, int64(1), int64(4)}, "counts of a message whose channel went")
	ok(task.Ack(false), "ack")
	removeQueue(channel, queue)
}

// consumerTimeout: a consumer of a quorum queue that holds a message too long is cancelled, and the message is ready
// again.
func consumerTimeout(_ *amqp.Connection, channel *amqp.Channel) {
	queue, other := name("queue"), connect()
	ok(durable(channel, queue, table{"x-queue-type": "quorum"}), "declare")
	publish(channel, "", queue, text("held"))
	slow := open(other)
	cancelled := slow.NotifyCancel(make(chan string, 1))
	expect(bodies(next(subscribe(slow, queue, "slow", table{"x-consumer-timeout": 1000}))), "held", "the message")
	select {
	case tag := <-cancelled:
		expect(tag, "slow", "the consumer that was cancelled")
	case <-time.After(deadline):
		fail("a consumer that holds a message too long was not cancelled")
	}
	until("the message", func() bool { return ready(channel, queue) == 1 })
	got, _, err := channel.Get(queue, true)
	ok(err, "get")
	expect(bodies(got), "held*", "the message that it held")
	finish(other)
	removeQueue(channel, queue)
}

func quorumRefusals(connection *amqp.Connection, channel *amqp.Channel) {
	queue, quorum := name("queue"), table{"x-queue-type": "quorum"}
	for _, flags := range []struct {
		durable, autoDelete, exclusive bool
		property                       string
	}{{false, false, false, "non-durable"}, {true, false, true, "exclusive-owner"}, {true, true, false, "auto-delete"}} {
		refused(connection, 406, fmt.Sprintf("invalid property '%s' for queue '%s' in vhost '/'", flags.property, queue),
			func(ch *amqp.Channel) error {
				_, err := ch.QueueDeclare(queue, flags.durable, flags.autoDelete, flags.exclusive, false, quorum)
				return err
			})
	}
	refused(connection, 406, "Cannot declare a server-named queue for type rabbit_quorum_queue",
		func(ch *amqp.Channel) error { return durable(ch, "", quorum) })
	for argument, value := range (table{"x-max-priority": 5, "x-queue-mode": "lazy", "x-max-age": "1D"}) {
		refused(connection, 406, fmt.Sprintf("invalid arg '%s' for queue '%s' in vhost '/' of queue type "+
			"rabbit_quorum_queue", argument, queue), func(ch *amqp.Channel) error {
			return durable(ch, queue, table{"x-queue-type": "quorum", argument: value})
		})
	}
	badArgument(connection, "x-queue-type", "foo", `: "unsupported queue type 'foo'"`)
	badArgument(connection, "x-max-age", "1D", " of queue type rabbit_classic_queue")
	ok(durable(channel, queue, quorum), "declare")
	refused(connection, 406, "inequivalent arg 'x-queue-type' for queue '"+queue+"' in vhost '/': "+
		"received 'classic' but current is 'quorum'", func(ch *amqp.Channel) error { return durable(ch, queue, nil) })
	removeQueue(channel, queue)
}

// Publishing

func directReplyTo(connection *amqp.Connection, responder *amqp.Channel) {
	queue, requester, isReturned := exclusive(responder, nil), open(connection), returner(responder)
	replies, err := requester.Consume(replyTo, "r", true, false, false, false, nil)
	ok(err, "consume")
	request := amqp.Publishing{ReplyTo: replyTo}
	for n := 0; n < 2; n++ {
		ok(requester.Publish("", queue, false, false, request), "publish")
	}
	requests := take(responder, queue, 2)
	to := requests[0].ReplyTo
	expect(strings.HasPrefix(to, replyTo+"."), true, to+" is a name for the replies")
	expect(requests[1].ReplyTo, to, "the name, which stays")
	state, err := responder.QueueDeclarePassive(to, false, false, false, false, nil)
	ok(err, "inspect")
	expect(state.Consumers, 1, "a passive declare: it waits")
	expect(isReturned("", to, text("answer")), false, "the reply is returned")
	expect(origin(next(replies)), []string{"", to, "answer"}, "the reply")
	ok(requester.Cancel("r", false), "cancel")
	refused(connection, 404, "no queue '"+to+"' in vhost '/'", func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(to, false, false, false, false, nil)
		return err
	})
	expect(isReturned("", to, text("too late")), false, "a reply that comes too late is returned")
	listen := func(ch *amqp.Channel, autoAck bool) error {
		_, err := ch.Consume(replyTo, "", autoAck, false, false, false, nil)
		return err
	}
	refused(connection, 406, "fast reply consumer does not exist", func(ch *amqp.Channel) error {
		return ch.Publish("", queue, false, false, request)
	})
	refused(connection, 406, "reply consumer already set", func(ch *amqp.Channel) error {
		if err := listen(ch, true); err != nil {
			return err
		}
		return listen(ch, true)
	})
	refused(connection, 406, "reply consumer cannot acknowledge",
		func(ch *amqp.Channel) error { return listen(ch, false) })
}

func ccBcc(connection *amqp.Connection, channel *amqp.Channel) {
	to, cc, bcc := exclusive(channel, nil), exclusive(channel, nil), exclusive(channel, nil)
	copies := []any{cc, to, "nowhere"}
	publish(channel, "", to, amqp.Publishing{Headers: table{"CC": copies, "BCC": []any{bcc, cc}, "own": int32(1)}})
	for _, queue := range []string{to, cc, bcc} {
		got, some, err := channel.Get(queue, true)
		ok(err, "get")
		expect([]any{some, got.Exchange, got.RoutingKey, got.MessageCount}, []any{true, "", to, uint32(0)}, "one copy")
		expect(got.Headers, table{"CC": copies, "own": int32(1)}, "its headers")
	}
	routed := amqp.Publishing{Headers: table{"CC": []any{cc}}}
	expect(returner(channel)("", "nowhere", routed), false, "a message whose CC has a route is returned")
	for _, header := range []string{"CC", "BCC"} {
		refused(connection, 406, `invalid message: {unacceptable_type_in_header,"`+header+`",longstr}`,
			func(ch *amqp.Channel) error {
				return ch.Publish("", to, false, false, amqp.Publishing{Headers: table{header: cc}})
			})
	}
}

func userID(connection *amqp.Connection, channel *amqp.Channel) {
	parsed, err := amqp.ParseURI(*uri)
	ok(err, "parse the URI")
	queue, user := exclusive(channel, nil), parsed.Username
	publish(channel, "", queue, amqp.Publishing{UserId: user})
	expect(take(channel, queue, 1)[0].UserId, user, "the user that published")
	refused(connection, 406, "user_id property set to 'bob' but authenticated user was '"+user+"'",
		func(ch *amqp.Channel) error {
			return ch.Publish("", queue, false, false, amqp.Publishing{UserId: "bob"})
		})
}

func alternateExchange(connection *amqp.Connection, channel *amqp.Channel) {
	main, spare, isReturned := name("main"), name("spare"), returner(channel)
	known, unknown := exclusive(channel, nil), exclusive(channel, nil)
	ok(exchange(channel, main, "direct", table{"alternate-exchange": spare}), "declare")
	ok(bind(channel, known, "known", main), "bind")
	returned := func() []bool {
		return []bool{isReturned(main, "known", text("known")), isReturned(main, "unknown", text("unknown"))}
	}
	expect(returned(), []bool{false, true}, "returns while the alternate exchange is missing")
	ok(exchange(channel, spare, "fanout", nil), "declare")
	ok(bind(channel, unknown, "", spare), "bind")
	expect(returned(), []bool{false, false}, "returns once it is there")
	expect(drain(channel, known), []string{"known", "known"}, "what has a route")
	expect(origin(take(channel, unknown, 1)[0]), []string{main, "unknown", "unknown"}, "what has none")
	expect(drain(channel, unknown), []string{}, "nothing else")
	refused(connection, 406, "inequivalent arg 'alternate-exchange' for exchange '"+main+"' in vhost '/': "+
		"received 'other' but current is '"+spare+"'", func(ch *amqp.Channel) error {
		return exchange(ch, main, "direct", table{"alternate-exchange": "other"})
	})
	removeExchange(channel, main)
	removeExchange(channel, spare)
}

// Exchange types

// threeQueues declares three queues and binds them by these keys.
func threeQueues(channel *amqp.Channel, exchange string, keys ...string) []string {
	queues := []string{}
	for _, key := range keys {
		queue := exclusive(channel, nil)
		ok(bind(channel, queue, key, exchange), "bind")
		queues = append(queues, queue)
	}
	return queues
}

// spread publishes by these keys; it tells which of the queues got each, once each went to one queue.
func spread(channel *amqp.Channel, exchange string, queues, keys []string, headers table) (map[string]int, [3]int) {
	for _, key := range keys {
		publish(channel, exchange, key, amqp.Publishing{Body: []byte(key), Headers: headers})
	}
	places, shares := map[string]int{}, [3]int{}
	for place, queue := range queues {
		for _, key := range drain(channel, queue) {
			_, twice := places[key]
			expect(twice, false, key+" went to two queues")
			places[key], shares[place] = place, shares[place]+1
		}
	}
	expect(len(places), len(keys), "messages that went to a queue")
	return places, shares
}

// each fails unless every queue got something.
func each(shares [3]int) {
	expect(shares[0] > 0 && shares[1] > 0 && shares[2] > 0, true, fmt.Sprint("shares ", shares, " of all queues"))
}

func modulusHash(_ *amqp.Connection, channel *amqp.Channel) {
	hash, keys := name("exchange"), series("key %d", 0, 60)
	ok(exchange(channel, hash, "x-modulus-hash", nil), "declare")
	queues := threeQueues(channel, hash, "ignored", "ignored", "")
	places, shares := spread(channel, hash, queues, keys, nil)
	each(shares)
	again, _ := spread(channel, hash, queues, keys, nil)
	expect(again, places, "where the same keys go again")
	removeExchange(channel, hash)
}

func consistentHash(connection *amqp.Connection, channel *amqp.Channel) {
	hash, byHeader, keys := name("by-key"), name("by-header"), series("key %d", 0, 300)
	ok(exchange(channel, hash, "x-consistent-hash", nil), "declare")
	queues := threeQueues(channel, hash, "1", "1", "4")
	places, shares := spread(channel, hash, queues, keys, nil)
	each(shares)
	expect(shares[2] > 150 && shares[2] < 270, true, fmt.Sprint(shares[2], " of 300 is the share of 4 in 6"))
	again, _ := spread(channel, hash, queues, keys, nil)
	expect(again, places, "where the same keys go again")
	ok(channel.QueueUnbind(queues[0], "1", hash, nil), "unbind")
	_, shares = spread(channel, hash, queues, keys, nil)
	expect(shares[0], 0, "messages for a queue that was unbound")

	ok(exchange(channel, byHeader, "x-consistent-hash", table{"hash-header": "h"}), "declare")
	queues = threeQueues(channel, byHeader, "1", "1", "1")
	_, shares = spread(channel, byHeader, queues, keys[:50], table{"h": "same"})
	expect(shares[0] == 50 || shares[1] == 50 || shares[2] == 50, true, "one value of the header goes to one queue")
	refused(connection, 406, `The binding key must be an integer: <<"abc">>`,
		func(ch *amqp.Channel) error { return bind(ch, queues[0], "abc", hash) })
	refused(connection, 406, "The binding key must be greater than 0",
		func(ch *amqp.Channel) error { return bind(ch, queues[0], "0", hash) })
	removeExchange(channel, hash)
	removeExchange(channel, byHeader)
}

func random(_ *amqp.Connection, channel *amqp.Channel) {
	for _, kind := range []string{"x-random", "x-local-random"} {
		ok(exchange(channel, name(kind), kind, nil), "declare")
		queues := threeQueues(channel, name(kind), "", "", "")
		_, shares := spread(channel, name(kind), queues, series("%d", 0, 90), nil)
		each(shares)
		removeExchange(channel, name(kind))
	}
}

func recentHistory(connection *amqp.Connection, channel *amqp.Channel) {
	history, length := name("history"), "x-recent-history-length"
	ok(exchange(channel, history, "x-recent-history", table{length: 3}), "declare")
	for _, body := range series("m%d", 0, 5) {
		publish(channel, history, "k", text(body))
	}
	publish(channel, history, "k", amqp.Publishing{Headers: table{"x-recent-history-no-store": true}})
	late := exclusive(channel, nil)
	ok(bind(channel, late, "", history), "bind")
	expect(bodies(take(channel, late, 3)...), "m2 m3 m4", "what a queue that comes late gets")
	publish(channel, history, "k", text("live"))
	expect(drain(channel, late), []string{"live"}, "what it gets then")
	refused(connection, 406, "Invalid argument 0, '"+length+"' must be a positive integer", func(ch *amqp.Channel) error {
		return exchange(ch, name("bad"), "x-recent-history", table{length: 0})
	})
	removeExchange(channel, history)
}

// What RabbitMQ 4.3 has not

func delayedMessage(connection *amqp.Connection, channel *amqp.Channel) {
	delayed, queue := name("delayed"), exclusive(channel, nil)
	kind := table{"x-delayed-type": "topic"}
	ok(channel.ExchangeDeclare(delayed, "x-delayed-message", true, false, false, false, kind), "declare")
	ok(bind(channel, queue, "a.*", delayed), "bind")
	after := func(key string, delay int32) {
		publish(channel, delayed, key, amqp.Publishing{Headers: table{"x-delay": delay}, DeliveryMode: amqp.Persistent,
			Body: []byte(strconv.Itoa(int(delay)))})
	}
	started := time.Now()
	after("a.b", 600)
	after("a.b", 300)
	after("a.b", 0)
	after("other", 100)
	expect(drain(channel, queue), []string{"0"}, "what does not wait")
	for _, delay := range []int32{300, 600} {
		got := take(channel, queue, 1)[0]
		expect(time.Since(started) >= time.Duration(delay)*time.Millisecond, true, "it came in time, not early")
		expect(origin(got), []string{delayed, "a.b", strconv.Itoa(int(delay))}, "what waited")
		expect(got.Headers, table{"x-delay": -delay}, "its headers")
	}
	refused(connection, 406, "Invalid argument, 'x-delayed-type' must be an existing exchange type",
		func(ch *amqp.Channel) error { return exchange(ch, name("bad"), "x-delayed-message", nil) })
	removeExchange(channel, delayed)
}

func deduplication(_ *amqp.Connection, channel *amqp.Channel) {
	once := name("once")
	ok(exchange(channel, once, "x-message-deduplication", table{"x-cache-size": 10}), "declare")
	behind, alone := exclusive(channel, nil), exclusive(channel, table{"x-message-deduplication": true})
	ok(bind(channel, behind, "", once), "bind")
	both := func(body, value string) {
		message := text(body)
		if value != "" {
			message.Headers = table{"x-deduplication-header": value}
		}
		publish(channel, once, "", message)
		publish(channel, "", alone, message)
	}
	for n, value := range []string{"a", "b", "a", "", ""} {
		both(fmt.Sprint("m", n), value)
	}
	for _, queue := range []string{behind, alone} {
		expect(drain(channel, queue), []string{"m0", "m1", "m3", "m4"}, "what passed")
	}
	both("again", "a")
	expect(drain(channel, behind), []string{}, "what the exchange passes on of a value that it has seen")
	expect(drain(channel, alone), []string{"again"}, "what the queue takes of a value that it no longer holds")
	removeExchange(channel, once)
}

func retryDelay(_ *amqp.Connection, channel *amqp.Channel) {
	queue := exclusive(channel, table{"x-retry-delay": 200, "x-retry-delay-max": 300})
	publish(channel, "", queue, text("fails"))
	publish(channel, "", queue, text("next"))
	ok(channel.Qos(1, 0, false), "qos")
	deliveries, failed := subscribe(channel, queue, "", nil), time.Now()
	for _, step := range []struct {
		wanted string
		delay  time.Duration
	}{{"fails", 0}, {"next", 0}, {"fails*", 200}, {"fails*", 300}} {
		got := next(deliveries)
		expect(bodies(got), step.wanted, "the message")
		expect(time.Since(failed) >= step.delay*time.Millisecond, true, "it waited for its delay")
		if step.wanted == "next" {
			ok(got.Ack(false), "ack")
		} else {
			failed = time.Now()
			ok(got.Nack(false, true), "nack")
		}
	}
}
