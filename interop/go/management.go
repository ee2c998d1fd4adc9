package main

import (
	"errors"
	"net/url"

	rabbithole "github.com/michaelklishin/rabbit-hole/v2"
	amqp "github.com/rabbitmq/amqp091-go"
)

// The management API by rabbit-hole, the Go client for it.

// holeClient calls the management API.
func holeClient() *rabbithole.Client {
	api, err := url.Parse(*management)
	ok(err, "parse the URL of the management API")
	password, _ := api.User.Password()
	client, err := rabbithole.NewClient(api.Scheme+"://"+api.Host, api.User.Username(), password)
	ok(err, "make a client")
	return client
}

// did fails if a call ended with an error.
func did(_ any, err error) {
	ok(err, "call the management API")
}

// missing fails unless a call ended with a 404.
func missing(err error, what string) {
	var response rabbithole.ErrorResponse
	expect(errors.As(err, &response), true, what)
	expect(response, rabbithole.ErrorResponse{StatusCode: 404, Message: "Object Not Found", Reason: "Not Found"}, what)
}

// furnish makes a vhost with a queue that is bound to an exchange, and gives the vhost's name.
func furnish(client *rabbithole.Client) string {
	vhost := name("vhost/x")
	did(client.PutVhost(vhost, rabbithole.VhostSettings{Description: "of a test", Tags: rabbithole.VhostTags{"a", "b"}}))
	did(client.UpdatePermissionsIn(vhost, "guest", rabbithole.Permissions{Configure: ".*", Write: ".*", Read: ".*"}))
	did(client.DeclareExchange(vhost, "x", rabbithole.ExchangeSettings{Type: "topic", Durable: true}))
	did(client.DeclareQueue(vhost, "q", rabbithole.QueueSettings{Type: "classic", Durable: true,
		Arguments: map[string]any{"x-max-priority": 3}}))
	did(client.DeclareBinding(vhost, rabbithole.BindingInfo{Source: "x", Destination: "q", DestinationType: "queue",
		RoutingKey: "a.#", Arguments: map[string]any{"one": "two"}}))
	return vhost
}

// publishIn publishes to the exchange of a furnished vhost, where it must be routed, and gets it back.
func publishIn(vhost string) {
	connection, err := amqp.DialConfig(*uri, amqp.Config{Vhost: vhost})
	ok(err, "connect")
	channel := confirming(connection)
	publish(channel, "x", "a.b", persistent([]byte("hello")))
	expect(drain(channel, "q"), []string{"hello"}, "what was routed")
	finish(connection)
}

func apiObjects() {
	client := holeClient()
	vhost := furnish(client)
	found, err := client.GetVhost(vhost)
	ok(err, "look at the vhost")
	expect([]any{found.Name, found.Description, found.Tags},
		[]any{vhost, "of a test", rabbithole.VhostTags{"a", "b"}}, "the vhost")
	publishIn(vhost)

	queue, err := client.GetQueue(vhost, "q")
	ok(err, "look at the queue")
	expect([]any{queue.Name, queue.Vhost, queue.Durable, bool(queue.AutoDelete), queue.Type, queue.Arguments},
		[]any{"q", vhost, true, false, "classic",
			map[string]any{"x-max-priority": float64(3), "x-queue-type": "classic"}}, "the queue")
	exchange, err := client.GetExchange(vhost, "x")
	ok(err, "look at the exchange")
	expect([]any{exchange.Type, exchange.Durable, exchange.Internal}, []any{"topic", true, false}, "the exchange")
	bindings, err := client.ListQueueBindingsBetween(vhost, "x", "q")
	ok(err, "list bindings")
	expect(len(bindings), 1, "bindings")
	expect([]any{bindings[0].RoutingKey, bindings[0].Arguments}, []any{"a.#", map[string]any{"one": "two"}}, "the binding")
	did(client.DeleteBinding(vhost, bindings[0]))

	did(client.PutPolicy(vhost, "short", rabbithole.Policy{Pattern: "^q$", ApplyTo: "queues", Priority: 7,
		Definition: rabbithole.PolicyDefinition{"max-length": 1}}))
	policy, err := client.GetPolicy(vhost, "short")
	ok(err, "look at the policy")
	expect([]any{policy.Pattern, policy.ApplyTo, policy.Priority, policy.Definition},
		[]any{"^q$", "queues", 7, rabbithole.PolicyDefinition{"max-length": float64(1)}}, "the policy")
	until("the queue has its policy", func() bool { // RabbitMQ's statistics are late
		queue, err := client.GetQueue(vhost, "q")
		ok(err, "look at the queue")
		return queue.Policy == "short"
	})
	did(client.DeletePolicy(vhost, "short"))

	user := name("user")
	did(client.PutUser(user, rabbithole.UserSettings{
		PasswordHash:     rabbithole.Base64EncodedSaltedPasswordHashSHA256(user),
		HashingAlgorithm: rabbithole.HashingAlgorithmSHA256, Tags: rabbithole.UserTags{"monitoring"}}))
	did(client.UpdatePermissionsIn(vhost, user, rabbithole.Permissions{Configure: "", Write: "", Read: "q"}))
	did(client.UpdateTopicPermissionsIn(vhost, user, rabbithole.TopicPermissions{Exchange: "x", Write: "a", Read: "b"}))
	permissions, err := client.ListPermissionsOf(user)
	ok(err, "list permissions")
	expect(permissions, []rabbithole.PermissionInfo{{User: user, Vhost: vhost, Read: "q"}}, "the permissions")
	did(client.PutUserLimits(user, rabbithole.UserLimitsValues{"max-connections": 1}))
	did(client.PutVhostLimits(vhost, rabbithole.VhostLimitsValues{"max-queues": 1}))
	limits, err := client.GetVhostLimits(vhost)
	ok(err, "list limits")
	expect(limits, []rabbithole.VhostLimitsInfo{{Vhost: vhost,
		Value: rabbithole.VhostLimitsValues{"max-queues": 1}}}, "the limits")
	connection, err := connectAs(user, vhost)
	ok(err, "log in by a hashed password")
	finish(connection)
	did(client.DeleteUser(user))
	_, err = client.GetUser(user)
	missing(err, "a user that was deleted")

	did(client.DeleteQueue(vhost, "q"))
	_, err = client.GetQueue(vhost, "q")
	missing(err, "a queue that was deleted")
	did(client.DeleteVhost(vhost))
	_, err = client.GetVhost(vhost)
	missing(err, "a vhost that was deleted")
}

func apiClients() {
	client := holeClient()
	line, err := amqp.DialConfig(*uri, amqp.Config{Properties: table{"connection_name": name("line")}})
	ok(err, "connect")
	channel := open(line)
	queue := temporary(channel)
	consume(channel, queue, false)
	var found rabbithole.ConnectionInfo
	until("the connection is listed", func() bool {
		connections, err := client.ListConnections()
		ok(err, "list connections")
		for _, one := range connections {
			if one.ClientProperties["connection_name"] == name("line") {
				found = one
			}
		}
		return found.Name != ""
	})
	expect([]any{found.User, found.Vhost, found.Protocol, found.UsesTLS}, []any{"guest", "/", "AMQP 0-9-1", false},
		"the connection")
	until("the consumer is listed", func() bool {
		consumers, err := client.ListConsumersIn("/")
		ok(err, "list consumers")
		for _, one := range consumers {
			if one.Queue.Name == queue {
				expect([]any{one.AcknowledgementMode, one.ChannelDetails.ConnectionName},
					[]any{rabbithole.ManualAcknowledgement, found.Name}, "the consumer")
				return true
			}
		}
		return false
	})
	closed := line.NotifyClose(make(chan *amqp.Error, 1))
	did(client.CloseConnection(found.Name))
	reason := <-closed
	expect([]any{reason.Code, reason.Reason}, []any{320, "CONNECTION_FORCED - Closed via management plugin"}, "the close")

	overview, err := client.Overview()
	ok(err, "look at the overview")
	expect(overview.ObjectTotals.Queues >= 0 && len(overview.ExchangeTypes) >= 4, true, "the overview")
	nodes, err := client.ListNodes()
	ok(err, "list nodes")
	expect([]any{len(nodes), nodes[0].IsRunning, nodes[0].Name}, []any{1, true, overview.Node}, "the nodes")
	alarms, err := client.HealthCheckAlarms()
	ok(err, "check alarms")
	expect(alarms.Ok(), true, "that there are no alarms")
	protocols, err := client.HealthCheckProtocolListener(rabbithole.AMQP091)
	ok(err, "check the listeners")
	expect(protocols.Ok(), true, "that AMQP is spoken")
}

func apiDefinitions() {
	client := holeClient()
	from, to := furnish(client), name("copy")
	all, err := client.ListDefinitions()
	ok(err, "export")
	own, err := client.ListVhostDefinitions(from)
	ok(err, "export from the vhost")
	found := 0
	for _, queue := range *all.Queues {
		if queue.Vhost == from && queue.Name == "q" {
			found++
		}
	}
	expect(found, 1, "the queue among all definitions")

	// What belongs to the vhost, as if it belonged to another.
	for at := range *own.Queues {
		(*own.Queues)[at].Vhost = to
	}
	for at := range *own.Exchanges {
		(*own.Exchanges)[at].Vhost = to
	}
	for at := range *own.Bindings {
		(*own.Bindings)[at].Vhost = to
	}
	did(client.PutVhost(to, rabbithole.VhostSettings{}))
	did(client.UpdatePermissionsIn(to, "guest", rabbithole.Permissions{Configure: ".*", Write: ".*", Read: ".*"}))
	did(client.UploadDefinitions(own))
	publishIn(to)
	did(client.DeleteVhost(from))
	did(client.DeleteVhost(to))
}
