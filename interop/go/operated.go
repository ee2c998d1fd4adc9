package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Users, vhosts, limits and policies: what an operator sets through the management API, as this client sees it.

// body is the body of a request to the management API.
type body = map[string]any

// manage calls a method of the management API at a path of these segments.
func manage(method string, content body, path ...string) {
	api, err := url.Parse(*management)
	ok(err, "parse the URL of the management API")
	target := api.Scheme + "://" + api.Host + "/api"
	for _, segment := range path {
		target += "/" + url.PathEscape(segment)
	}
	encoded, err := json.Marshal(content)
	ok(err, "encode")
	request, err := http.NewRequest(method, target, bytes.NewReader(encoded))
	ok(err, "make a request")
	password, _ := api.User.Password()
	request.SetBasicAuth(api.User.Username(), password)
	request.Header.Set("content-type", "application/json")
	answer, err := http.DefaultClient.Do(request)
	ok(err, "call the management API")
	text, _ := io.ReadAll(answer.Body)
	if answer.StatusCode/100 != 2 {
		fail("%s %s: %d %s", method, target, answer.StatusCode, text)
	}
}

// addUser makes a user whose password is its name.
func addUser(user string) {
	manage("PUT", body{"password": user, "tags": ""}, "users", user)
}

// allow gives a user all three permissions for what a pattern matches.
func allow(user, vhost, pattern string) {
	manage("PUT", body{"configure": pattern, "write": pattern, "read": pattern}, "permissions", vhost, user)
}

func exactly(name string) string {
	return "^" + strings.ReplaceAll(name, ".", "[.]")
}

// connectAs connects as a user whose password is its name.
func connectAs(user, vhost string) (*amqp.Connection, error) {
	parsed, err := amqp.ParseURI(*uri)
	ok(err, "parse the URI")
	parsed.Username, parsed.Password = user, user
	return amqp.DialConfig(parsed.String(), amqp.Config{Vhost: vhost})
}

// noLogin fails unless a login ends in this reply.
func noLogin(text, user, vhost string) {
	_, err := connectAs(user, vhost)
	var refused *amqp.Error
	expect(errors.As(err, &refused), true, fmt.Sprintf("a login: %v; AMQP error", err))
	expect([]any{refused.Code, refused.Reason}, []any{530, "NOT_ALLOWED - " + text}, "a login")
}

// until looks again and again until something holds.
func until(what string, done func() bool) {
	for end := time.Now().Add(deadline); !done(); time.Sleep(50 * time.Millisecond) {
		expect(time.Now().Before(end), true, what+" in time")
	}
}

func permissions(_ *amqp.Connection, guest *amqp.Channel) {
	user, mine, other, others := name("user"), name("mine"), name("other"), name("others")
	topic := func(ch *amqp.Channel, exchange string) error {
		return ch.ExchangeDeclare(exchange, "topic", true, false, false, false, nil)
	}
	declare(guest, other)
	ok(topic(guest, others), "declare")
	addUser(user)
	noLogin("access to vhost '/' refused for user '"+user+"'", user, "/")

	allow(user, "/", exactly(mine))
	limited, err := connectAs(user, "/")
	ok(err, "connect")
	channel := confirming(limited)
	declare(channel, mine)
	ok(topic(channel, mine), "declare")
	ok(bind(channel, mine, "#", mine), "bind")
	publish(channel, mine, "bills.new", text("mine"))
	expect(drain(channel, mine), []string{"mine"}, "what the user may do")
	for _, refusal := range []struct {
		permission, resource string
		act                  func(ch *amqp.Channel) error
	}{
		{"configure", "queue 'new'", func(ch *amqp.Channel) error { return durable(ch, "new", nil) }},
		{"configure", "queue '" + other + "'",
			func(ch *amqp.Channel) error { _, err := ch.QueueDelete(other, false, false, false); return err }},
		{"configure", "exchange 'new'", func(ch *amqp.Channel) error { return exchange(ch, "new", "fanout", nil) }},
		{"write", "queue '" + other + "'", func(ch *amqp.Channel) error { return bind(ch, other, "k", mine) }},
		{"read", "exchange '" + others + "'", func(ch *amqp.Channel) error { return bind(ch, mine, "k", others) }},
		{"write", "exchange '" + others + "'",
			func(ch *amqp.Channel) error { return ch.Publish(others, "k", false, false, text("")) }},
		{"write", "exchange 'amq.default'",
			func(ch *amqp.Channel) error { return ch.Publish("", mine, false, false, text("")) }},
		{"read", "queue '" + other + "'", func(ch *amqp.Channel) error { _, _, err := ch.Get(other, true); return err }},
		{"read", "queue '" + other + "'",
			func(ch *amqp.Channel) error { _, err := ch.QueuePurge(other, false); return err }},
		{"read", "queue 'missing'", func(ch *amqp.Channel) error { _, _, err := ch.Get("missing", true); return err }},
	} {
		refused(limited, 403, fmt.Sprintf("%s access to %s in vhost '/' refused for user '%s'", refusal.permission,
			refusal.resource, user), refusal.act)
	}

	topics := body{"exchange": mine, "write": "^orders[.]", "read": "^orders[.]"}
	manage("PUT", topics, "topic-permissions", "/", user)
	finish(limited)
	limited, err = connectAs(user, "/")
	ok(err, "connect")
	channel = confirming(limited)
	publish(channel, mine, "orders.new", text("orders"))
	expect(drain(channel, mine), []string{"orders"}, "what the user may publish")
	for permission, act := range map[string]func(ch *amqp.Channel) error{
		"write": func(ch *amqp.Channel) error { return ch.Publish(mine, "bills.new", false, false, text("")) },
		"read":  func(ch *amqp.Channel) error { return bind(ch, mine, "bills.new", mine) },
	} {
		refused(limited, 403, fmt.Sprintf("%s access to topic 'bills.new' in exchange '%s' in vhost '/' refused for user "+
			"'%s'", permission, mine, user), act)
	}
	finish(limited)

	manage("PUT", body{"password": "changed", "tags": ""}, "users", user)
	_, err = connectAs(user, "/")
	expect(errors.Is(err, amqp.ErrCredentials), true, fmt.Sprintf("a login with the old password: %v; refused", err))
	removeQueue(guest, mine)
	removeQueue(guest, other)
	removeExchange(guest, mine)
	removeExchange(guest, others)
	manage("DELETE", nil, "users", user)
}

// vhosts: a vhost has queues of its own; with it go its connections.
func vhosts(_ *amqp.Connection, channel *amqp.Channel) {
	queue, vhost, user := name("queue"), name("vhost"), name("user")
	declare(channel, queue)
	manage("PUT", body{}, "vhosts", vhost)
	addUser(user)
	allow(user, vhost, ".*")
	inside, err := connectAs(user, vhost)
	ok(err, "connect")
	other := confirming(inside)
	ok(durable(other, queue, table{"x-max-length": 5}), "declare another queue of this name")
	publish(other, "", queue, text("inside"))
	expect([]int{ready(channel, queue), ready(other, queue)}, []int{0, 1}, "messages outside and inside")
	refused(inside, 404, "no queue 'missing' in vhost '"+vhost+"'", func(ch *amqp.Channel) error {
		_, _, err := ch.Get("missing", true)
		return err
	})
	closed := inside.NotifyClose(make(chan *amqp.Error, 1))
	manage("DELETE", nil, "vhosts", vhost)
	select {
	case reason := <-closed:
		// RabbitMQ says that it is deleted or, sometimes, that it is down.
		said := strings.HasPrefix(reason.Reason, "CONNECTION_FORCED - vhost '"+vhost+"' is d")
		expect([]any{reason.Code, said}, []any{320, true}, fmt.Sprint("the close: ", reason))
	case <-time.After(deadline):
		fail("the connection outlived its vhost")
	}
	noLogin("vhost "+vhost+" not found", user, vhost)
	manage("DELETE", nil, "users", user)
	removeQueue(channel, queue)
}

func limits(_ *amqp.Connection, _ *amqp.Channel) {
	vhost, user := name("vhost"), name("user")
	manage("PUT", body{}, "vhosts", vhost)
	addUser(user)
	allow(user, vhost, ".*")
	manage("PUT", body{"value": 1}, "vhost-limits", vhost, "max-queues")
	manage("PUT", body{"value": 1}, "vhost-limits", vhost, "max-connections")
	manage("PUT", body{"value": 2}, "user-limits", user, "max-channels")
	connection, err := connectAs(user, vhost)
	ok(err, "connect")
	channel := open(connection)
	declare(channel, "one")
	declare(channel, "one")
	refused(connection, 406, "cannot declare queue 'two': queue limit in vhost '"+vhost+"' (1) is reached",
		func(ch *amqp.Channel) error { return durable(ch, "two", nil) })
	noLogin(fmt.Sprintf("access to vhost '%s' refused for user '%s': connection limit (1) is reached", vhost, user),
		user, vhost)
	manage("DELETE", nil, "vhost-limits", vhost, "max-connections")
	manage("PUT", body{"value": 1}, "user-limits", user, "max-connections")
	noLogin("connection refused for user '"+user+"': user connection limit (1) is reached", user, vhost)
	open(connection)
	closed := connection.NotifyClose(make(chan *amqp.Error, 1))
	go func() { _, _ = connection.Channel() }()
	expectError(closed, errorCase{code: 530, text: "NOT_ALLOWED - number of channels opened for user '" + user +
		"' has reached the maximum allowed user limit of 2"})
	manage("DELETE", nil, "users", user)
	manage("DELETE", nil, "vhosts", vhost)
}

// policies change what is there at once, and their end undoes them.
func policies(_ *amqp.Connection, channel *amqp.Channel) {
	queue, main, spare, isReturned := name("queue"), name("main"), name("spare"), returner(channel)
	letters, unknown := exclusive(channel, nil), exclusive(channel, nil)
	setPolicy := func(kind, name, applyTo string, definition body) {
		policy := body{"pattern": exactly(name) + "$", "apply-to": applyTo, "definition": definition}
		manage("PUT", policy, kind, "/", name)
	}
	declare(channel, queue)
	for _, body := range series("m%d", 1, 5) {
		publish(channel, "", queue, text(body))
	}
	setPolicy("policies", queue, "queues",
		body{"max-length": 3, "dead-letter-exchange": "", "dead-letter-routing-key": letters})
	until("the end of messages beyond the policy's limit", func() bool { return ready(channel, queue) == 3 })
	setPolicy("operator-policies", queue, "queues", body{"max-length": 1})
	until("the end of those beyond the operator's", func() bool { return ready(channel, queue) == 1 })
	publish(channel, "", queue, text("m5"))
	expect(drain(channel, queue), []string{"m5"}, "what stays")
	lost := take(channel, letters, 4)
	expect(bodies(lost...), "m1 m2 m3 m4", "what became letters")
	for _, letter := range lost {
		expect(letter.Headers["x-last-death-reason"], "maxlen", "the reason")
	}
	manage("DELETE", nil, "operator-policies", "/", queue)
	manage("DELETE", nil, "policies", "/", queue)
	for _, body := range series("m%d", 6, 10) {
		publish(channel, "", queue, text(body))
	}
	expect(ready(channel, queue), 4, "messages without a limit")

	ok(channel.ExchangeDeclare(main, "direct", true, false, false, false, nil), "declare")
	ok(channel.ExchangeDeclare(spare, "fanout", true, false, false, false, nil), "declare")
	ok(bind(channel, unknown, "", spare), "bind")
	setPolicy("policies", main, "exchanges", body{"alternate-exchange": spare})
	until("the alternate exchange", func() bool { return !isReturned(main, "unknown", text("")) })
	manage("DELETE", nil, "policies", "/", main)
	until("its end", func() bool { return isReturned(main, "unknown", text("")) })
	removeQueue(channel, queue)
	removeExchange(channel, main)
	removeExchange(channel, spare)
}
