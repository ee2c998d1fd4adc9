import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.ShutdownSignalException;
import com.rabbitmq.http.client.Client;
import com.rabbitmq.http.client.ClientParameters;
import com.rabbitmq.http.client.domain.BindingInfo;
import com.rabbitmq.http.client.domain.ConnectionInfo;
import com.rabbitmq.http.client.domain.Definitions;
import com.rabbitmq.http.client.domain.ExchangeInfo;
import com.rabbitmq.http.client.domain.InboundMessage;
import com.rabbitmq.http.client.domain.OutboundMessage;
import com.rabbitmq.http.client.domain.PolicyInfo;
import com.rabbitmq.http.client.domain.QueueInfo;
import com.rabbitmq.http.client.domain.TopicPermissions;
import com.rabbitmq.http.client.domain.UserPermissions;
import com.rabbitmq.http.client.domain.VhostInfo;
import java.net.URI;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** The management API by Hop, the Java client for it. */
final class Managed extends Scenario {
  static void run() throws Exception {
    URI api = URI.create(management);
    String[] login = api.getUserInfo().split(":");
    Client client = new Client(new ClientParameters().url("http://" + api.getHost() + ":" + api.getPort() + "/api/")
        .username(login[0]).password(login[1]));
    switch (scenario) {
      case "api-objects": objects(client); break;
      case "api-messages": messages(client); break;
      case "api-clients": clients(client); break;
      case "api-definitions": definitions(client); break;
      default: throw new Failure("no such scenario");
    }
  }

  /** Makes a vhost with a queue that is bound to an exchange, and gives the vhost's name. */
  private static String furnish(Client client) {
    String vhost = name("vhost/x");
    client.createVhost(vhost, "of a test", "a", "b");
    client.updatePermissions(vhost, "guest", new UserPermissions(".*", ".*", ".*"));
    client.declareExchange(vhost, "x", new ExchangeInfo("topic", true, false));
    client.declareQueue(vhost, "q", new QueueInfo(true, false, false, table("x-max-priority", 3)));
    client.bindQueue(vhost, "q", "x", "a.#", table("one", "two"));
    return vhost;
  }

  private static Connection connectTo(String vhost) throws Exception {
    ConnectionFactory factory = factory();
    factory.setVirtualHost(vhost);
    return factory.newConnection();
  }

  /** Publishes to the exchange of a furnished vhost, where it must be routed, and gets it back. */
  private static void publishIn(String vhost) throws Exception {
    try (Connection connection = connectTo(vhost)) {
      Channel channel = confirming(connection);
      publish(channel, "x", "a.b", "hello");
      expect(drain(channel, "q"), List.of("hello"), "what was routed");
    }
  }

  private static void objects(Client client) throws Exception {
    String vhost = furnish(client);
    VhostInfo found = client.getVhost(vhost);
    expect(List.of(found.getName(), found.getDescription(), found.getTags()),
        List.of(vhost, "of a test", List.of("a", "b")), "the vhost");
    publishIn(vhost);
    QueueInfo queue = client.getQueue(vhost, "q");
    expect(List.of(queue.getName(), queue.getVhost(), queue.isDurable(), queue.isAutoDelete(), queue.isExclusive(),
        queue.getArguments().get("x-max-priority")), List.of("q", vhost, true, false, false, 3), "the queue");
    expect(client.getExchange(vhost, "x").getType(), "topic", "the exchange's type");
    List<BindingInfo> bindings = client.getQueueBindingsBetween(vhost, "x", "q");
    expect(bindings.size(), 1, "bindings");
    BindingInfo binding = bindings.get(0);
    expect(List.of(binding.getRoutingKey(), binding.getArguments()), List.of("a.#", Map.of("one", "two")), "the binding");
    client.unbindQueue(vhost, "q", "x", binding.getPropertiesKey());
    expect(client.getQueueBindingsBetween(vhost, "x", "q"), List.of(), "bindings after the last was undone");

    client.declarePolicy(vhost, "short", new PolicyInfo("^q$", 7, "queues", Map.of("max-length", 1)));
    client.declareOperatorPolicy(vhost, "shorter", new PolicyInfo("^q$", 7, "queues", Map.of("max-length-bytes", 9)));
    Map<String, Object> both = Map.of("max-length", 1, "max-length-bytes", 9);
    until(() -> both.equals(client.getQueue(vhost, "q").getEffectivePolicyDefinition()), "both policies apply");
    expect(client.getPolicies(vhost).get(0).getDefinition(), Map.of("max-length", 1), "the policy");
    client.deletePolicy(vhost, "short");

    String user = name("user");
    client.createUser(user, user.toCharArray(), List.of("monitoring"));
    client.updatePermissions(vhost, user, new UserPermissions("q", "", ""));
    client.updateTopicPermissions(vhost, user, new TopicPermissions("x", "a", "b"));
    UserPermissions permissions = client.getPermissionsOf(user).get(0);
    expect(List.of(permissions.getVhost(), permissions.getConfigure(), permissions.getRead()), List.of(vhost, "", "q"),
        "the permissions");
    expect(client.getTopicPermissions(vhost, user).get(0).getExchange(), "x", "the topic permissions");
    client.limitMaxNumberOfQueues(vhost, 1);
    client.limitMaxNumberOfConnections(vhost, 100);
    expect(client.getVhostLimits(vhost).getMaxQueues(), 1, "the limit");
    client.deleteUser(user);
    expect(client.getUser(user), null, "a user that was deleted");
    client.deleteQueue(vhost, "q");
    expect(client.getQueue(vhost, "q"), null, "a queue that was deleted");
    client.deleteVhost(vhost);
    expect(client.getVhost(vhost), null, "a vhost that was deleted");
  }

  private static void messages(Client client) throws Exception {
    String vhost = furnish(client);
    OutboundMessage message = new OutboundMessage().payload("hello").utf8Encoded()
        .properties(table("delivery_mode", 2, "headers", Map.of("h", 1)));
    expect(client.publish(vhost, "x", "a.b", message), true, "a message with a route");
    expect(client.publish(vhost, "x", "b", message), false, "a message without a route");
    InboundMessage got = client.get(vhost, "q");
    expect(List.of(got.getPayload(), got.getPayloadBytes(), got.getRoutingKey(), got.isRedelivered(),
        got.getProperties().get("headers")), List.of("hello", 5, "a.b", false, Map.of("h", 1)), "the message");
    client.purgeQueue(vhost, "q");
    expect(client.get(vhost, "q"), null, "a message of an empty queue");
    client.deleteVhost(vhost);
  }

  private static void clients(Client client) throws Exception {
    ConnectionFactory factory = factory();
    Connection line = factory.newConnection(name("line"));
    Channel channel = line.createChannel();
    consume(channel, temporary(channel), false);
    ConnectionInfo[] found = new ConnectionInfo[1];
    until(() -> {
      for (ConnectionInfo one : client.getConnections()) {
        if (name("line").equals(one.getClientProperties().getConnectionName())) {
          found[0] = one;
        }
      }
      return found[0] != null;
    }, "the connection is listed");
    String name = found[0].getName();
    expect(List.of(found[0].getUser(), found[0].getVhost(), found[0].isUsesTLS()), List.of("guest", "/", false),
        "the connection");
    until(() -> client.getChannels(name).size() == 1, "the channel is listed");
    until(() -> client.getConsumers("/").stream()
        .anyMatch(one -> name.equals(one.getChannelDetails().getConnectionName())), "the consumer is listed");
    CompletableFuture<ShutdownSignalException> closed = new CompletableFuture<>();
    line.addShutdownListener(closed::complete);
    client.closeConnection(name, "because");
    AMQP.Connection.Close close = (AMQP.Connection.Close) closed.get(DEADLINE, TimeUnit.SECONDS).getReason();
    expect(List.of(close.getReplyCode(), close.getReplyText()), List.of(320, "CONNECTION_FORCED - because"), "the close");
    expect(client.getNodes().get(0).getName(), client.getOverview().getNode(), "the node");
    expect(client.alivenessTest("/"), true, "the broker is alive");
  }

  private static void definitions(Client client) throws Exception {
    String vhost = furnish(client);
    Definitions all = client.getDefinitions();
    QueueInfo queue = all.getQueues().stream().filter(one -> vhost.equals(one.getVhost())).findFirst().orElseThrow();
    expect(List.of(queue.getName(), queue.isDurable(), queue.getArguments().get("x-max-priority")),
        List.of("q", true, 3), "the queue among all definitions");
    expect(all.getBindings().stream().filter(one -> vhost.equals(one.getVhost())).map(BindingInfo::getRoutingKey)
        .collect(Collectors.toList()), List.of("a.#"), "its binding among all definitions");
    client.deleteVhost(vhost);
  }
}
