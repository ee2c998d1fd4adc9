import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** Users, vhosts, limits and policies: what an operator sets through the management API, as the Java client sees it. */
final class Operated extends Scenario {
  private static final HttpClient HTTP = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

  static void run(Connection connection, Channel channel) throws Exception {
    switch (scenario) {
      case "permissions": permissions(channel); break;
      case "vhosts": vhosts(channel); break;
      case "limits": limits(); break;
      case "policies": policies(channel); break;
      default: throw new Failure("no such scenario");
    }
  }

  /** Calls a method of the management API; the segments of the path are split by spaces. */
  private static void manage(String method, String path, String json) throws Exception {
    URI api = URI.create(management);
    StringBuilder target = new StringBuilder("http://" + api.getHost() + ":" + api.getPort() + "/api");
    for (String segment : path.split(" ")) {
      target.append('/').append(URLEncoder.encode(segment, StandardCharsets.UTF_8));
    }
    HttpRequest request = HttpRequest.newBuilder(URI.create(target.toString()))
        .header("authorization", "Basic " + Base64.getEncoder().encodeToString(bytes(api.getUserInfo())))
        .header("content-type", "application/json")
        .method(method, HttpRequest.BodyPublishers.ofString(json)).build();
    HttpResponse<String> answer = HTTP.send(request, HttpResponse.BodyHandlers.ofString());
    expect(answer.statusCode() / 100, 2, method + " " + target + ": " + answer.statusCode() + " " + answer.body());
  }

  /** Makes a user whose password is its name. */
  private static void addUser(String user) throws Exception {
    manage("PUT", "users " + user, "{\"password\": \"" + user + "\", \"tags\": \"\"}");
  }

  private static void allow(String user, String vhost, String pattern) throws Exception {
    manage("PUT", "permissions " + vhost + " " + user,
        "{\"configure\": \"P\", \"write\": \"P\", \"read\": \"P\"}".replace("P", pattern));
  }

  private static Connection connectAs(String user, String vhost) throws Exception {
    ConnectionFactory factory = factory();
    factory.setUsername(user);
    factory.setPassword(user);
    factory.setVirtualHost(vhost);
    return factory.newConnection();
  }

  /** A login that must end in a connection closed with this reply. */
  private static void noLogin(int code, String text, String user, String vhost) throws Exception {
    try {
      connectAs(user, vhost);
      throw new Failure("a connection where " + code + " " + text + " is due");
    } catch (IOException refused) {
      expectClose(((ShutdownSignalException) refused.getCause()).getReason(), code, 10, 40, "NOT_ALLOWED - " + text);
    }
  }

  private static String exactly(String name) {
    return "^" + name.replace(".", "[.]");
  }

  /** Something that a user may not do. */
  private record Refusal(String permission, String resource, Step act) { }

  private static void permissions(Channel guest) throws Exception {
    String user = name("user");
    String mine = name("mine");
    String other = name("other");
    String others = name("others");
    declare(guest, other);
    guest.exchangeDeclare(others, "topic", true);
    addUser(user);
    noLogin(530, "access to vhost '/' refused for user '" + user + "'", user, "/");

    allow(user, "/", exactly(mine));
    Connection limited = connectAs(user, "/");
    Channel channel = confirming(limited);
    declare(channel, mine);
    channel.exchangeDeclare(mine, "topic", true);
    channel.queueBind(mine, mine, "#");
    publish(channel, mine, "bills.new", "mine");
    expect(drain(channel, mine), List.of("mine"), "what the user may do");
    List<Refusal> refusals = List.of(
        new Refusal("configure", "queue 'new'", ch -> declare(ch, "new")),
        new Refusal("configure", "queue '" + other + "'", ch -> ch.queueDelete(other)),
        new Refusal("configure", "exchange 'new'", ch -> ch.exchangeDeclare("new", "fanout")),
        new Refusal("write", "queue '" + other + "'", ch -> ch.queueBind(other, mine, "k")),
        new Refusal("read", "exchange '" + others + "'", ch -> ch.queueBind(mine, others, "k")),
        new Refusal("write", "exchange '" + others + "'", ch -> ch.basicPublish(others, "k", null, bytes(""))),
        new Refusal("write", "exchange 'amq.default'", ch -> ch.basicPublish("", mine, null, bytes(""))),
        new Refusal("read", "queue '" + other + "'", ch -> ch.basicGet(other, true)),
        new Refusal("read", "queue '" + other + "'", ch -> consume(ch, other, true)),
        new Refusal("read", "queue '" + other + "'", ch -> ch.queuePurge(other)),
        new Refusal("read", "queue 'missing'", ch -> ch.basicGet("missing", true)));
    for (Refusal refusal : refusals) {
      refused(limited, 403, refusal.permission + " access to " + refusal.resource + " in vhost '/' refused for user '"
          + user + "'", refusal.act);
    }

    manage("PUT", "topic-permissions / " + user,
        "{\"exchange\": \"" + mine + "\", \"write\": \"^orders[.]\", \"read\": \"^orders[.]\"}");
    limited.close();
    limited = connectAs(user, "/");
    channel = confirming(limited);
    publish(channel, mine, "orders.new", "orders");
    expect(drain(channel, mine), List.of("orders"), "what the user may publish");
    Map<String, Step> topics = Map.of("write", ch -> ch.basicPublish(mine, "bills.new", null, bytes("")),
        "read", ch -> ch.queueBind(mine, mine, "bills.new"));
    for (Map.Entry<String, Step> topic : topics.entrySet()) {
      refused(limited, 403, topic.getKey() + " access to topic 'bills.new' in exchange '" + mine
          + "' in vhost '/' refused for user '" + user + "'", topic.getValue());
    }
    limited.close();

    manage("PUT", "users " + user, "{\"password\": \"changed\", \"tags\": \"\"}");
    try {
      connectAs(user, "/");
      throw new Failure("the old password was accepted");
    } catch (AuthenticationFailureException refused) {
      expect(refused.getMessage().startsWith("ACCESS_REFUSED - Login was refused"), true, refused.getMessage());
    }
    guest.queueDelete(mine);
    guest.queueDelete(other);
    guest.exchangeDelete(mine);
    guest.exchangeDelete(others);
    manage("DELETE", "users " + user, "");
  }

  /** A vhost has queues of its own; with it go its connections. */
  private static void vhosts(Channel channel) throws Exception {
    String queue = name("queue");
    String vhost = name("vhost");
    String user = name("user");
    declare(channel, queue);
    manage("PUT", "vhosts " + vhost, "{}");
    addUser(user);
    allow(user, vhost, ".*");
    Connection inside = connectAs(user, vhost);
    Channel other = confirming(inside);
    other.queueDeclare(queue, true, false, false, table("x-max-length", 5)); // another queue of this name
    publish(other, "", queue, "inside");
    expect(List.of(ready(channel, queue), ready(other, queue)), List.of(0, 1), "messages outside and inside");
    refused(inside, 404, "no queue 'missing' in vhost '" + vhost + "'", ch -> ch.basicGet("missing", true));
    CompletableFuture<ShutdownSignalException> closed = new CompletableFuture<>();
    inside.addShutdownListener(closed::complete);
    manage("DELETE", "vhosts " + vhost, "");
    String why = closed.get(DEADLINE, TimeUnit.SECONDS).getMessage();
    // RabbitMQ says that it is deleted or, sometimes, that it is down.
    expect(why.contains("reply-code=320, reply-text=CONNECTION_FORCED - vhost '" + vhost + "' is d"), true, why);
    noLogin(530, "vhost " + vhost + " not found", user, vhost);
    manage("DELETE", "users " + user, "");
    channel.queueDelete(queue);
  }

  private static void limits() throws Exception {
    String vhost = name("vhost");
    String user = name("user");
    manage("PUT", "vhosts " + vhost, "{}");
    addUser(user);
    allow(user, vhost, ".*");
    manage("PUT", "vhost-limits " + vhost + " max-queues", "{\"value\": 1}");
    manage("PUT", "vhost-limits " + vhost + " max-connections", "{\"value\": 1}");
    manage("PUT", "user-limits " + user + " max-channels", "{\"value\": 2}");
    Connection connection = connectAs(user, vhost);
    Channel channel = connection.createChannel();
    declare(channel, "one");
    declare(channel, "one");
    refused(connection, 406, "cannot declare queue 'two': queue limit in vhost '" + vhost + "' (1) is reached",
        ch -> declare(ch, "two"));
    noLogin(530, "access to vhost '" + vhost + "' refused for user '" + user + "': connection limit (1) is reached",
        user, vhost);
    manage("DELETE", "vhost-limits " + vhost + " max-connections", "");
    manage("PUT", "user-limits " + user + " max-connections", "{\"value\": 1}");
    noLogin(530, "connection refused for user '" + user + "': user connection limit (1) is reached", user, vhost);
    connection.createChannel();
    CompletableFuture<ShutdownSignalException> closed = new CompletableFuture<>();
    connection.addShutdownListener(closed::complete);
    try {
      connection.createChannel();
      throw new Failure("a third channel of two");
    } catch (IOException | ShutdownSignalException refused) {
      expectClose(closed.get(DEADLINE, TimeUnit.SECONDS).getReason(), 530, 0, 0, "NOT_ALLOWED - number of channels "
          + "opened for user '" + user + "' has reached the maximum allowed user limit of 2");
    }
    manage("DELETE", "users " + user, "");
    manage("DELETE", "vhosts " + vhost, "");
  }

  private static void setPolicy(String kind, String name, String applyTo, String definition) throws Exception {
    manage("PUT", kind + " / " + name, "{\"pattern\": \"" + exactly(name) + "$\", \"apply-to\": \"" + applyTo
        + "\", \"definition\": {" + definition + "}}");
  }

  /** Policies change what is there at once, and their end undoes them. */
  private static void policies(Channel channel) throws Exception {
    String queue = name("queue");
    String main = name("main");
    String spare = name("spare");
    String letters = temporary(channel);
    String unknown = temporary(channel);
    declare(channel, queue);
    for (String body : series("m", 1, 5)) {
      publish(channel, "", queue, body);
    }
    setPolicy("policies", queue, "queues", "\"max-length\": 3, \"dead-letter-exchange\": \"\", "
        + "\"dead-letter-routing-key\": \"" + letters + "\"");
    until(() -> ready(channel, queue) == 3, "the end of messages beyond the policy's limit");
    setPolicy("operator-policies", queue, "queues", "\"max-length\": 1");
    until(() -> ready(channel, queue) == 1, "the end of those beyond the operator's");
    publish(channel, "", queue, "m5");
    expect(drain(channel, queue), List.of("m5"), "what stays");
    List<String> lost = new ArrayList<>();
    for (Delivery letter : take(channel, letters, 4)) {
      lost.add(text(letter.getBody()));
      expect(letter.getProperties().getHeaders().get("x-last-death-reason").toString(), "maxlen", "the reason");
    }
    expect(lost, series("m", 1, 5), "what became letters");
    manage("DELETE", "operator-policies / " + queue, "");
    manage("DELETE", "policies / " + queue, "");
    for (String body : series("m", 6, 10)) {
      publish(channel, "", queue, body);
    }
    expect(ready(channel, queue), 4, "messages without a limit");

    channel.exchangeDeclare(main, "direct", true);
    channel.exchangeDeclare(spare, "fanout", true);
    channel.queueBind(unknown, spare, "");
    setPolicy("policies", main, "exchanges", "\"alternate-exchange\": \"" + spare + "\"");
    until(() -> !isReturned(channel, main, "unknown"), "the alternate exchange");
    manage("DELETE", "policies / " + main, "");
    until(() -> isReturned(channel, main, "unknown"), "its end");
    channel.queueDelete(queue);
    channel.exchangeDelete(main);
    channel.exchangeDelete(spare);
  }
}
