// Command client drives a broker with amqp091-go, the Go client, through the interop scenarios:
// client --uri URI [--id ID] [--clean] SCENARIO.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	deadline = 30 * time.Second
	limit    = 110 * time.Second
	large    = 10 * 1024 * 1024
)

// Body sizes around the largest payload of one frame (frame-max 131072 less 8).
var frameEdges = []int{0, 1, 131063, 131064, 131065, 262128}

var (
	uri        = flag.String("uri", "", "the broker; without it AMQP_URI")
	id         = flag.String("id", strconv.Itoa(os.Getpid()), "part of every name; both persistence phases share it")
	clean      = flag.Bool("clean", false, "persistence-after: the broker was stopped, not killed")
	management = flag.String("management", "", "the management API, with an administrator's login")
	_          = flag.Int("broker-pid", 0, "not used by this client")
	scenario   string
)

var scenarios = map[string]func(){
	"work-queue":         workQueue,
	"pubsub":             pubsub,
	"routing":            routing,
	"topics":             topics,
	"headers":            headers,
	"rpc":                rpc,
	"confirms":           confirms,
	"nack-requeue":       nackRequeue,
	"persistence-before": persistenceBefore,
	"persistence-after":  persistenceAfter,
	"large-bodies":       largeBodies,
	"many-channels":      manyChannels,
	"heartbeat-idle":     heartbeatIdle,
	"error-codes":        errorCodes,
	"tls":                overTLS,

	"ttl":                    extension(ttl),
	"dead-letters":           extension(deadLetters),
	"max-length":             extension(maxLength),
	"queue-expires":          extension(queueExpires),
	"priorities":             extension(priorities),
	"single-active-consumer": extension(singleActiveConsumer),
	"consumer-priority":      extension(consumerPriority),
	"delivery-limit":         extension(deliveryLimit),
	"consumer-timeout":       extension(consumerTimeout),
	"quorum-refusals":        extension(quorumRefusals),
	"direct-reply-to":        extension(directReplyTo),
	"cc-bcc":                 extension(ccBcc),
	"user-id":                extension(userID),
	"alternate-exchange":     extension(alternateExchange),
	"consistent-hash":        extension(consistentHash),
	"modulus-hash":           extension(modulusHash),
	"random":                 extension(random),
	"recent-history":         extension(recentHistory),
	"delayed-message":        extension(delayedMessage),
	"deduplication":          extension(deduplication),
	"retry-delay":            extension(retryDelay),

	"permissions": extension(permissions),
	"vhosts":      extension(vhosts),
	"limits":      extension(limits),
	"policies":    extension(policies),

	"api-objects":     apiObjects,
	"api-clients":     apiClients,
	"api-definitions": apiDefinitions,
}

func main() {
	flag.Parse()
	scenario = flag.Arg(0)
	run, known := scenarios[scenario]
	if !known {
		fmt.Fprintln(os.Stderr, "usage: client --uri URI SCENARIO")
		os.Exit(2)
	}
	if *uri == "" {
		*uri = os.Getenv("AMQP_URI")
	}
	time.AfterFunc(limit, func() { fail("still running after %v", limit) })
	run()
}

// fail ends the program with a message that says what differed.
func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "go %s: %s\n", scenario, fmt.Sprintf(format, args...))
	os.Exit(1)
}

// ok fails if there is an error.
func ok(err error, what string) {
	if err != nil {
		fail("%s: %v", what, err)
	}
}

// expect fails unless what was seen is what RabbitMQ shows.
func expect(seen, wanted any, what string) {
	if !reflect.DeepEqual(seen, wanted) {
		fail("%s: expected %.400q, got %.400q", what, fmt.Sprint(wanted), fmt.Sprint(seen))
	}
}

// name gives each thing of this run a name of its own.
func name(what string) string {
	family := strings.TrimSuffix(strings.TrimSuffix(scenario, "-before"), "-after")
	return "interop.go." + family + "." + *id + "." + what
}

func connect() *amqp.Connection {
	connection, err := amqp.Dial(*uri)
	ok(err, "connect")
	return connection
}

func open(connection *amqp.Connection) *amqp.Channel {
	channel, err := connection.Channel()
	ok(err, "open a channel")
	return channel
}

// confirming opens a channel that confirms.
func confirming(connection *amqp.Connection) *amqp.Channel {
	channel := open(connection)
	ok(channel.Confirm(false), "confirm.select")
	return channel
}

func declare(channel *amqp.Channel, queue string) {
	_, err := channel.QueueDeclare(queue, true, false, false, false, nil)
	ok(err, "declare "+queue)
}

// temporary declares an exclusive queue that the server names.
func temporary(channel *amqp.Channel) string {
	queue, err := channel.QueueDeclare("", false, false, true, false, nil)
	ok(err, "declare a server-named queue")
	return queue.Name
}

// publish publishes on a confirming channel, and waits for the ack.
func publish(channel *amqp.Channel, exchange, key string, message amqp.Publishing) {
	confirmation, err := channel.PublishWithDeferredConfirm(exchange, key, false, false, message)
	ok(err, "publish")
	select {
	case <-confirmation.Done():
		expect(confirmation.Acked(), true, "acked")
	case <-time.After(deadline):
		fail("waited %v for a confirm", deadline)
	}
}

func text(body string) amqp.Publishing {
	return amqp.Publishing{Body: []byte(body)}
}

func persistent(body []byte) amqp.Publishing {
	return amqp.Publishing{Body: body, DeliveryMode: amqp.Persistent}
}

// consume starts a consumer.
func consume(channel *amqp.Channel, queue string, autoAck bool) <-chan amqp.Delivery {
	deliveries, err := channel.Consume(queue, "", autoAck, false, false, false, nil)
	ok(err, "consume from "+queue)
	return deliveries
}

// next waits for a delivery.
func next(deliveries <-chan amqp.Delivery) amqp.Delivery {
	select {
	case delivery, open := <-deliveries:
		if !open {
			fail("the consumer ended early")
		}
		return delivery
	case <-time.After(deadline):
		fail("waited %v for a message", deadline)
	}
	panic("unreachable")
}

// take gives the next count deliveries of a queue.
func take(channel *amqp.Channel, queue string, count int) []amqp.Delivery {
	deliveries, err := channel.Consume(queue, "taker", true, false, false, false, nil)
	ok(err, "consume")
	taken := make([]amqp.Delivery, count)
	for n := range taken {
		taken[n] = next(deliveries)
	}
	ok(channel.Cancel("taker", false), "cancel")
	return taken
}

// drain gives the bodies of all ready messages of a queue, got one by one.
func drain(channel *amqp.Channel, queue string) []string {
	bodies := []string{}
	for {
		message, some, err := channel.Get(queue, true)
		ok(err, "get")
		if !some {
			return bodies
		}
		bodies = append(bodies, string(message.Body))
	}
}

// ready tells how many messages are ready in a queue.
func ready(channel *amqp.Channel, queue string) int {
	state, err := channel.QueueDeclarePassive(queue, false, false, false, false, nil)
	ok(err, "inspect "+queue)
	return state.Messages
}

func removeQueue(channel *amqp.Channel, queue string) {
	_, err := channel.QueueDelete(queue, false, false, false)
	ok(err, "delete "+queue)
}

func removeExchange(channel *amqp.Channel, exchange string) {
	ok(channel.ExchangeDelete(exchange, false, false), "delete "+exchange)
}

// finish closes a connection.
func finish(connection *amqp.Connection) {
	ok(connection.Close(), "close the connection")
}

// pattern makes a body in which no two pages are alike, so that a lost or swapped frame shows.
func pattern(size int) []byte {
	var body bytes.Buffer
	for n := 0; body.Len() < size; n++ {
		fmt.Fprintf(&body, "%07d\n", n)
	}
	return body.Bytes()[:size:size]
}

func series(format string, from, to int) []string {
	items := []string{}
	for n := from; n < to; n++ {
		items = append(items, fmt.Sprintf(format, n))
	}
	return items
}

func workQueue() {
	const tasks = 20
	queue, connection := name("tasks"), connect()
	channel := confirming(connection)
	declare(channel, queue)
	for _, task := range series("task %d", 0, tasks) {
		publish(channel, "", queue, persistent([]byte(task)))
	}
	type worker struct {
		connection *amqp.Connection
		deliveries <-chan amqp.Delivery
		hand       amqp.Delivery
		seen       []string
	}
	workers := []*worker{{}, {}}
	receive := func(w *worker, delivery amqp.Delivery) {
		expect(delivery.Redelivered, false, "redelivered of a fresh message")
		w.hand, w.seen = delivery, append(w.seen, string(delivery.Body))
	}
	for _, w := range workers {
		w.connection = connect()
		work := open(w.connection)
		ok(work.Qos(1, 0, false), "qos")
		w.deliveries = consume(work, queue, false)
		receive(w, next(w.deliveries))
	}
	expect(ready(channel, queue), tasks-2, "ready messages while each worker holds one")
	for _, w := range workers {
		expect(len(w.deliveries), 0, "more messages in hand with a prefetch of 1")
		ok(w.hand.Ack(false), "ack")
	}
	for done := 2; done < tasks; done++ {
		w := workers[0]
		select {
		case delivery := <-workers[0].deliveries:
			receive(w, delivery)
		case delivery := <-workers[1].deliveries:
			w = workers[1]
			receive(w, delivery)
		case <-time.After(deadline):
			fail("waited %v for a task", deadline)
		}
		ok(w.hand.Ack(false), "ack")
	}
	seen := append([]string{}, workers[0].seen...)
	seen = append(seen, workers[1].seen...)
	wanted := series("task %d", 0, tasks)
	sort.Strings(seen)
	sort.Strings(wanted)
	expect(seen, wanted, "tasks done")
	for _, w := range workers {
		if len(w.seen) < 2 {
			fail("one worker did nearly everything")
		}
		finish(w.connection)
	}
	expect(ready(channel, queue), 0, "messages left")
	removeQueue(channel, queue)
	finish(connection)
}

func pubsub() {
	exchange, connection := name("logs"), connect()
	channel := confirming(connection)
	ok(channel.ExchangeDeclare(exchange, "fanout", false, false, false, false, nil), "declare")
	queues := []string{temporary(channel), temporary(channel), temporary(channel)}
	for _, queue := range queues {
		expect(strings.HasPrefix(queue, "amq.gen-"), true, queue+" is a server-named queue")
	}
	bind := func(queue string) { ok(channel.QueueBind(queue, "", exchange, false, nil), "bind") }
	bind(queues[0])
	bind(queues[1])
	logs := series("log %d", 0, 10)
	for _, line := range logs {
		publish(channel, exchange, "ignored", text(line))
	}
	bind(queues[2])
	ok(channel.QueueUnbind(queues[1], "", exchange, nil), "unbind")
	publish(channel, exchange, "", text("late"))
	seen := []string{}
	for _, delivery := range take(channel, queues[0], 11) {
		seen = append(seen, string(delivery.Body))
	}
	expect(drain(channel, queues[1]), logs, "the subscriber that left")
	expect(drain(channel, queues[2]), []string{"late"}, "the subscriber that came late")
	expect(seen, append(logs, "late"), "the first subscriber")
	removeExchange(channel, exchange)
	finish(connection)
}

func routing() {
	exchange, connection := name("direct"), connect()
	channel := confirming(connection)
	ok(channel.ExchangeDeclare(exchange, "direct", false, false, false, false, nil), "declare")
	failures, everything := temporary(channel), temporary(channel)
	ok(channel.QueueBind(failures, "error", exchange, false, nil), "bind")
	for _, key := range []string{"info", "warning", "error"} {
		ok(channel.QueueBind(everything, key, exchange, false, nil), "bind")
	}
	for _, key := range []string{"info", "error", "warning", "Error"} {
		publish(channel, exchange, key, text(key))
	}
	expect(drain(channel, failures), []string{"error"}, "messages by the key error")
	expect(drain(channel, everything), []string{"info", "error", "warning"}, "messages by three keys")
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	ok(channel.Publish(exchange, "debug", true, false, text("nobody listens")), "publish")
	select {
	case back := <-returns:
		expect([]any{back.ReplyCode, back.ReplyText, back.Exchange, back.RoutingKey, string(back.Body)},
			[]any{uint16(312), "NO_ROUTE", exchange, "debug", "nobody listens"}, "the return")
	case <-time.After(deadline):
		fail("a mandatory message without a route was not returned")
	}
	removeExchange(channel, exchange)
	finish(connection)
}

func topics() {
	keys := []string{"", "a", "a.b", "a.b.c", ".", "a.", ".a", "a..b", "quick.orange.rabbit", "lazy.pink.rabbit", "A", "*"}
	matches := map[string][]string{
		"#":          keys,
		"*":          {"a", "A", "*"},
		"a.*":        {"a.b", "a."},
		"a.#":        {"a", "a.b", "a.b.c", "a.", "a..b"},
		"#.b":        {"a.b", "a..b"},
		"*.*":        {"a.b", ".", "a.", ".a"},
		"a.*.b":      {"a..b"},
		"*.orange.*": {"quick.orange.rabbit"},
		"*.*.rabbit": {"quick.orange.rabbit", "lazy.pink.rabbit"},
		"lazy.#":     {"lazy.pink.rabbit"},
		"a#":         {},
	}
	exchange, connection := name("topic"), connect()
	channel := confirming(connection)
	ok(channel.ExchangeDeclare(exchange, "topic", false, false, false, false, nil), "declare")
	queues := map[string]string{}
	for binding := range matches {
		queues[binding] = temporary(channel)
		ok(channel.QueueBind(queues[binding], binding, exchange, false, nil), "bind")
	}
	for _, key := range keys {
		publish(channel, exchange, key, text(key))
	}
	for binding, wanted := range matches {
		expect(drain(channel, queues[binding]), wanted, "keys that match "+binding)
	}
	removeExchange(channel, exchange)
	finish(connection)
}

func headers() {
	type message struct {
		name  string
		table amqp.Table
	}
	messages := []message{
		{"pdf-report", amqp.Table{"format": "pdf", "type": "report", "pages": int32(5)}},
		{"pdf-log", amqp.Table{"format": "pdf", "type": "log", "pages": int32(6)}},
		{"zip-report", amqp.Table{"format": "zip", "type": "report"}},
		{"text-pages", amqp.Table{"format": "txt", "pages": "5"}},
		{"none", nil},
	}
	type binding struct {
		arguments amqp.Table
		matches   []string
		queue     string
	}
	bindings := []*binding{
		{arguments: amqp.Table{"x-match": "all", "format": "pdf", "type": "report"}, matches: []string{"pdf-report"}},
		{arguments: amqp.Table{"x-match": "any", "format": "pdf", "type": "report"},
			matches: []string{"pdf-report", "pdf-log", "zip-report"}},
		{arguments: amqp.Table{"format": "zip"}, matches: []string{"zip-report"}},
		{arguments: amqp.Table{"x-match": "all", "pages": int64(5)}, matches: []string{"pdf-report"}},
		{arguments: amqp.Table{"x-match": "all", "pages": nil}, matches: []string{"pdf-report", "pdf-log", "text-pages"}},
		{arguments: amqp.Table{"x-match": "all"},
			matches: []string{"pdf-report", "pdf-log", "zip-report", "text-pages", "none"}},
	}
	exchange, connection := name("headers"), connect()
	channel := confirming(connection)
	ok(channel.ExchangeDeclare(exchange, "headers", false, false, false, false, nil), "declare")
	for _, b := range bindings {
		b.queue = temporary(channel)
		ok(channel.QueueBind(b.queue, "", exchange, false, b.arguments), "bind")
	}
	for _, m := range messages {
		publish(channel, exchange, "", amqp.Publishing{Headers: m.table, Body: []byte(m.name)})
	}
	for _, b := range bindings {
		expect(drain(channel, b.queue), b.matches, fmt.Sprint("messages that match ", b.arguments))
	}

	queue := temporary(channel)
	sent := amqp.Publishing{
		ContentType: "text/plain", ContentEncoding: "utf-8", DeliveryMode: amqp.Persistent, Priority: 7,
		CorrelationId: "c-1", ReplyTo: "nobody", Expiration: "600000", MessageId: "m-1",
		Timestamp: time.Unix(1234567890, 0), Type: "t", AppId: "interop",
		Headers: amqp.Table{
			"text": "grüße", "int": int32(-5), "big": int64(1) << 40, "short": int16(-3), "byte": byte(200), "bool": true,
			"none": nil, "list": []any{int32(1), "two", false}, "double": 1.5, "float": float32(2.5),
			"bytes": []byte{0, 255}, "time": time.Unix(1234567890, 0), "decimal": amqp.Decimal{Scale: 2, Value: 314},
			"table": amqp.Table{"inner": amqp.Table{"deep": int32(1)}},
		},
	}
	publish(channel, "", queue, sent)
	got, some, err := channel.Get(queue, true)
	ok(err, "get")
	expect(some, true, "a message with every property arrived")
	expect(got.Headers, sent.Headers, "the header table")
	expect([]any{got.ContentType, got.ContentEncoding, got.DeliveryMode, got.Priority, got.CorrelationId, got.ReplyTo,
		got.Expiration, got.MessageId, got.Timestamp.Unix(), got.Type, got.AppId, got.UserId, len(got.Body)},
		[]any{sent.ContentType, sent.ContentEncoding, sent.DeliveryMode, sent.Priority, sent.CorrelationId, sent.ReplyTo,
			sent.Expiration, sent.MessageId, sent.Timestamp.Unix(), sent.Type, sent.AppId, "", 0}, "the properties")
	removeExchange(channel, exchange)
	finish(connection)
}

func fibonacci(n int) int {
	if n < 2 {
		return n
	}
	return fibonacci(n-1) + fibonacci(n-2)
}

func rpc() {
	const calls = 10
	queue, serving := name("rpc"), connect()
	server := open(serving)
	declare(server, queue)
	ok(server.Qos(1, 0, false), "qos")
	requests := consume(server, queue, false)
	go func() {
		for request := range requests {
			n, _ := strconv.Atoi(string(request.Body))
			answer := amqp.Publishing{CorrelationId: request.CorrelationId, Body: []byte(strconv.Itoa(fibonacci(n)))}
			ok(server.Publish("", request.ReplyTo, false, false, answer), "answer")
			ok(request.Ack(false), "ack")
		}
	}()
	wanted := map[string]string{}
	for n := 0; n < calls; n++ {
		wanted[strconv.Itoa(n)] = strconv.Itoa(fibonacci(n))
	}
	connection := connect()
	for _, direct := range []bool{false, true} {
		channel := open(connection)
		replyTo := "amq.rabbitmq.reply-to"
		if !direct {
			replyTo = temporary(channel)
		}
		replies := consume(channel, replyTo, true)
		for n := range wanted {
			request := amqp.Publishing{ReplyTo: replyTo, CorrelationId: n, Body: []byte(n)}
			ok(channel.Publish("", queue, false, false, request), "call")
		}
		answers := map[string]string{}
		for len(answers) < calls {
			reply := next(replies)
			answers[reply.CorrelationId] = string(reply.Body)
		}
		expect(answers, wanted, "answers")
		ok(channel.Close(), "close the channel")
	}
	channel := open(connection)
	removeQueue(channel, queue)
	finish(connection)
	finish(serving)
}

func confirms() {
	const count = 500
	queue, connection := name("confirms"), connect()
	channel := confirming(connection)
	declare(channel, queue)
	// Unbuffered, so that what the client hears first is seen first.
	returns := channel.NotifyReturn(make(chan amqp.Return))
	acks := channel.NotifyPublish(make(chan amqp.Confirmation))
	published := make(chan struct{})
	go func() {
		for n := 1; n <= count; n++ {
			ok(channel.Publish("", queue, false, false, persistent([]byte(strconv.Itoa(n)))), "publish")
		}
		ok(channel.Publish("", queue+".missing", true, false, text("lost")), "publish")
		close(published)
	}()
	returned, acked := false, uint64(0)
	for acked < count+1 {
		select {
		case back := <-returns:
			expect(string(back.Body), "lost", "the returned message")
			returned = true
		case confirmation := <-acks:
			acked++
			expect(confirmation, amqp.Confirmation{DeliveryTag: acked, Ack: true}, "confirmation")
		case <-time.After(deadline):
			fail("waited %v for a confirm; %d came", deadline, acked)
		}
		if acked == count+1 {
			expect(returned, true, "the return comes before the ack")
		}
	}
	<-published
	expect(ready(channel, queue), count, "messages in the queue once all are confirmed")
	removeQueue(channel, queue)
	finish(connection)
}

func nackRequeue() {
	queue, connection := name("queue"), connect()
	publisher := confirming(connection)
	declare(publisher, queue)
	for _, body := range series("m%d", 1, 5) {
		publish(publisher, "", queue, text(body))
	}
	channel := open(connection)
	var last amqp.Delivery
	got := func(count int) string {
		seen := []string{}
		for n := 0; n < count; n++ {
			message, some, err := channel.Get(queue, false)
			ok(err, "get")
			expect(some, true, "the queue has a message")
			body := string(message.Body)
			if message.Redelivered {
				body += "*"
			}
			last, seen = message, append(seen, body)
		}
		return strings.Join(seen, " ")
	}
	expect(got(1), "m1", "first get")
	ok(last.Nack(false, true), "nack")
	expect(got(3), "m1* m2 m3", "after a nack with requeue")
	ok(last.Nack(true, true), "nack")
	expect(got(4), "m1* m2* m3* m4", "after a nack of three with requeue")
	ok(last.Reject(false), "reject")
	ok(channel.Recover(true), "recover")
	expect(got(3), "m1* m2* m3*", "after a reject without requeue and a recover")
	ok(channel.Close(), "close the channel")
	channel = open(connection)
	expect(got(3), "m1* m2* m3*", "after the channel was closed with three in hand")
	ok(last.Ack(true), "ack")
	expect(ready(channel, queue), 0, "messages left")
	removeQueue(channel, queue)
	finish(connection)
}

// Arguments of the durable queue; both phases declare it.
var kept = amqp.Table{"x-max-length": int32(100000)}

func persistenceBefore() {
	exchange, queue, connection := name("exchange"), name("queue"), connect()
	channel := confirming(connection)
	ok(channel.ExchangeDeclare(exchange, "topic", true, false, false, false, nil), "declare")
	_, err := channel.QueueDeclare(queue, true, false, false, false, kept)
	ok(err, "declare")
	ok(channel.QueueBind(queue, "kept.#", exchange, false, nil), "bind")
	for n := 0; n < 100; n++ {
		message := persistent(pattern(n * 100))
		message.MessageId, message.Headers = strconv.Itoa(n), amqp.Table{"n": int32(n)}
		publish(channel, exchange, fmt.Sprint("kept.", n), message)
	}
	publish(channel, exchange, "kept.not", amqp.Publishing{DeliveryMode: amqp.Transient, Body: []byte("transient")})
	for n := 0; n < 10; n++ {
		message, some, err := channel.Get(queue, false)
		ok(err, "get")
		expect(some, true, "the queue has a message")
		ok(message.Ack(false), "ack")
	}
	ok(channel.Close(), "close the channel")
	finish(connection)
}

func persistenceAfter() {
	exchange, queue, connection := name("exchange"), name("queue"), connect()
	channel := confirming(connection)
	ok(channel.ExchangeDeclarePassive(exchange, "topic", true, false, false, false, nil), "find the exchange")
	_, err := channel.QueueDeclare(queue, true, false, false, false, kept)
	ok(err, "find the queue")
	publish(channel, exchange, "kept.new", amqp.Publishing{MessageId: "new"})
	seen := take(channel, queue, ready(channel, queue))
	ids := []string{}
	for _, message := range seen {
		ids = append(ids, message.MessageId)
	}
	// What was acked may come back after a kill, never after a clean stop.
	start := 10
	if first, err := strconv.Atoi(ids[0]); err == nil && first < 10 && !*clean {
		start = first
	}
	expect(ids, append(series("%d", start, 100), "new"), "messages after the restart")
	for n, message := range seen[:len(seen)-1] {
		n += start
		expect(bytes.Equal(message.Body, pattern(n*100)), true, fmt.Sprint("body of ", n, " unchanged"))
		expect([]any{message.DeliveryMode, message.Headers, message.Exchange, message.RoutingKey},
			[]any{amqp.Persistent, amqp.Table{"n": int32(n)}, exchange, fmt.Sprint("kept.", n)}, "properties")
	}
	removeQueue(channel, queue)
	removeExchange(channel, exchange)
	finish(connection)
}

func largeBodies() {
	queue, connection := name("queue"), connect()
	channel := confirming(connection)
	declare(channel, queue)
	sizes := append(frameEdges, large)
	for _, size := range sizes {
		publish(channel, "", queue, persistent(pattern(size)))
	}
	for n, message := range take(channel, queue, len(sizes)) {
		expect(len(message.Body), sizes[n], "length")
		expect(bytes.Equal(message.Body, pattern(sizes[n])), true, fmt.Sprint(sizes[n], " octets arrive unchanged"))
	}
	removeQueue(channel, queue)
	finish(connection)
}

func manyChannels() {
	connection := connect()
	channels := make([]*amqp.Channel, 200)
	for n := range channels {
		channels[n] = open(connection)
	}
	queue := temporary(channels[0])
	for n, channel := range channels {
		ok(channel.Publish("", queue, false, false, text(strconv.Itoa(n))), "publish")
		message := take(channel, queue, 1)[0]
		expect([]any{message.DeliveryTag, string(message.Body)}, []any{uint64(1), strconv.Itoa(n)}, "message")
	}
	for _, channel := range channels {
		ok(channel.Close(), "close a channel")
	}
	for n := 0; n < 500; n++ {
		ok(open(connection).Close(), "close a channel")
	}
	finish(connection)
}

func heartbeatIdle() {
	connection, err := amqp.DialConfig(*uri, amqp.Config{Heartbeat: 2 * time.Second})
	ok(err, "connect")
	channel := open(connection)
	queue := temporary(channel)
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	select {
	case reason := <-closed:
		fail("the connection ended while idle: %v", reason)
	case <-time.After(6 * time.Second):
	}
	ok(channel.Publish("", queue, false, false, text("still here")), "publish")
	expect(string(take(channel, queue, 1)[0].Body), "still here", "message after the idle time")
	finish(connection)
}

// An errorCase is something that the broker refuses, and how.
type errorCase struct {
	act  func(ch *amqp.Channel) error
	code int
	text string
}

func errorCodes() {
	queue, exchange, locked := name("queue"), name("exchange"), name("locked")
	connection := connect()
	channel := confirming(connection)
	_, err := channel.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-max-length": int32(1000)})
	ok(err, "declare")
	ok(channel.ExchangeDeclare(exchange, "direct", true, false, false, false, nil), "declare")
	_, err = channel.QueueDeclare(locked, false, false, true, false, nil)
	ok(err, "declare")
	publish(channel, "", queue, text("one"))

	noQueue, noExchange := "NOT_FOUND - no queue 'nope' in vhost '/'", "NOT_FOUND - no exchange 'nope' in vhost '/'"
	channelErrors := []errorCase{
		{func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclarePassive("nope", false, false, false, false, nil)
			return err
		}, 404, noQueue},
		{func(ch *amqp.Channel) error {
			return ch.ExchangeDeclarePassive("nope", "direct", false, false, false, false, nil)
		}, 404, noExchange},
		{func(ch *amqp.Channel) error { _, _, err := ch.Get("nope", true); return err }, 404, noQueue},
		{func(ch *amqp.Channel) error { return ch.QueueBind(queue, "k", "nope", false, nil) }, 404, noExchange},
		{func(ch *amqp.Channel) error { return ch.Publish("nope", "k", false, false, text("")) }, 404, noExchange},
		{func(ch *amqp.Channel) error { return ch.Ack(99, false) }, 406, "PRECONDITION_FAILED - unknown delivery tag 99"},
		{func(ch *amqp.Channel) error {
			_, err := ch.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-max-length": int32(2000)})
			return err
		}, 406, "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '" + queue +
			"' in vhost '/': received '2000' but current is '1000'"},
		{func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare(exchange, "fanout", true, false, false, false, nil)
		}, 406, "PRECONDITION_FAILED - inequivalent arg 'type' for exchange '" + exchange +
			"' in vhost '/': received 'fanout' but current is 'direct'"},
		{func(ch *amqp.Channel) error { _, err := ch.QueueDelete(queue, false, true, false); return err },
			406, "PRECONDITION_FAILED - queue '" + queue + "' in vhost '/' not empty"},
		{func(ch *amqp.Channel) error { return ch.TxCommit() }, 406, "PRECONDITION_FAILED - channel is not transactional"},
		{func(ch *amqp.Channel) error {
			return ch.ExchangeDeclare("amq.nope", "direct", true, false, false, false, nil)
		}, 403, "ACCESS_REFUSED - exchange name 'amq.nope' contains reserved prefix 'amq.*'"},
		{func(ch *amqp.Channel) error {
			if _, err := ch.Consume(queue, "", false, true, false, false, nil); err != nil {
				return err
			}
			_, err := ch.Consume(queue, "", false, false, false, false, nil)
			return err
		}, 403, "ACCESS_REFUSED - queue '" + queue + "' in vhost '/' in exclusive use"},
	}
	onChannel := func(connection *amqp.Connection, c errorCase) {
		failing := open(connection)
		closed := failing.NotifyClose(make(chan *amqp.Error, 1))
		result := make(chan error, 1)
		go func() { result <- c.act(failing) }()
		expectError(closed, c)
		<-result
	}
	for _, c := range channelErrors {
		onChannel(connection, c)
	}
	stranger := connect()
	onChannel(stranger, errorCase{func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(locked, false, false, true, false, nil)
		return err
	}, 405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '" + locked + "' in vhost '/'. It could " +
		"be originally declared on another connection or the exclusive property value does not match that of the " +
		"original declaration."})
	finish(stranger)
	expect(ready(channel, queue), 1, "messages, seen by a channel that did nothing wrong")

	connectionErrors := []errorCase{
		{func(ch *amqp.Channel) error { return ch.Qos(1, 5, false) }, 540, "NOT_IMPLEMENTED - prefetch_size!=0 (5)"},
		{func(ch *amqp.Channel) error { return ch.Recover(false) }, 540, "NOT_IMPLEMENTED - requeue=false"},
		{func(ch *amqp.Channel) error { return ch.Flow(false) }, 540, "NOT_IMPLEMENTED - active=false"},
		{func(ch *amqp.Channel) error { return ch.Publish("", queue, false, true, text("")) },
			540, "NOT_IMPLEMENTED - immediate=true"},
		{func(ch *amqp.Channel) error {
			for n := 0; n < 2; n++ {
				if _, err := ch.Consume(queue, "t", false, false, false, false, nil); err != nil {
					return err
				}
			}
			return nil
		}, 530, "NOT_ALLOWED - attempt to reuse consumer tag 't'"},
	}
	for _, c := range connectionErrors {
		other := connect()
		closed := other.NotifyClose(make(chan *amqp.Error, 1))
		failing := open(other)
		go func() { _ = c.act(failing) }()
		expectError(closed, c)
	}

	// The client does not ask for a close of a failed login, so the broker just hangs up.
	parsed, err := amqp.ParseURI(*uri)
	ok(err, "parse the URI")
	parsed.Password = "wrong"
	_, err = amqp.Dial(parsed.String())
	expect(errors.Is(err, amqp.ErrCredentials), true, fmt.Sprintf("login with a wrong password: %v; credentials error", err))
	_, err = amqp.DialConfig(*uri, amqp.Config{Vhost: "nope"})
	var refused *amqp.Error
	expect(errors.As(err, &refused), true, fmt.Sprintf("a missing vhost: %v; AMQP error", err))
	expect([]any{refused.Code, refused.Reason}, []any{530, "NOT_ALLOWED - vhost nope not found"}, "a missing vhost")
	removeQueue(channel, queue)
	removeExchange(channel, exchange)
	finish(connection)
}

// expectError waits for the close that a case leads to.
func expectError(closed chan *amqp.Error, c errorCase) {
	select {
	case err := <-closed:
		if err == nil {
			fail("closed without a reason where %d %s is due", c.code, c.text)
		}
		wanted := c.text
		if len(wanted) > 255 { // a reply text is cut to that
			wanted = wanted[:252] + "..."
		}
		expect([]any{err.Code, err.Reason}, []any{c.code, wanted}, "error")
	case <-time.After(deadline):
		fail("no error where %d %s is due", c.code, c.text)
	}
}
