import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.Method;
import com.rabbitmq.client.ShutdownSignalException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** What the scenarios share: names, ways to publish and to take messages, and the words to fail with. */
abstract class Scenario {
  static final int DEADLINE = 30;

  static String uri = System.getenv("AMQP_URI");
  static String id = Long.toString(ProcessHandle.current().pid());
  static String management;
  static String scenario = "";

  /** The broker did not do what RabbitMQ does. */
  static final class Failure extends RuntimeException {
    private static final long serialVersionUID = 1;

    Failure(String message) {
      super(message);
    }
  }

  /** A step that may throw anything. */
  interface Step {
    void run(Channel channel) throws Exception;
  }

  static void expect(Object seen, Object wanted, String what) {
    if (!Objects.equals(seen, wanted)) {
      throw new Failure(what + ": expected " + brief(wanted) + ", got " + brief(seen));
    }
  }

  static String brief(Object value) {
    String text = String.valueOf(value);
    return text.length() <= 400 ? text : text.substring(0, 400) + "...";
  }

  static String name(String what) {
    return "interop.java." + scenario.replaceAll("-(before|after)$", "") + "." + id + "." + what;
  }

  static ConnectionFactory factory() throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    factory.setUri(uri);
    factory.setAutomaticRecoveryEnabled(false);
    return factory;
  }

  static Connection connect() throws Exception {
    return factory().newConnection();
  }

  static Channel confirming(Connection connection) throws Exception {
    Channel channel = connection.createChannel();
    channel.confirmSelect();
    return channel;
  }

  /** Publishes on a confirming channel and waits for the ack. */
  static void publish(Channel channel, String exchange, String key, AMQP.BasicProperties properties, byte[] body)
      throws Exception {
    channel.basicPublish(exchange, key, properties, body);
    channel.waitForConfirmsOrDie(TimeUnit.SECONDS.toMillis(DEADLINE));
  }

  static void publish(Channel channel, String exchange, String key, String body) throws Exception {
    publish(channel, exchange, key, null, bytes(body));
  }

  static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static String text(byte[] body) {
    return new String(body, StandardCharsets.UTF_8);
  }

  static void declare(Channel channel, String queue) throws Exception {
    channel.queueDeclare(queue, true, false, false, null);
  }

  /** Declares an exclusive queue that the server names, with these arguments, key by value. */
  static String temporary(Channel channel, Object... arguments) throws Exception {
    return channel.queueDeclare("", false, true, false, table(arguments)).getQueue();
  }

  static int ready(Channel channel, String queue) throws Exception {
    return channel.queueDeclarePassive(queue).getMessageCount();
  }

  static <T> T next(BlockingQueue<T> events, String what) throws Exception {
    T event = events.poll(DEADLINE, TimeUnit.SECONDS);
    if (event == null) {
      throw new Failure("waited " + DEADLINE + " s for " + what);
    }
    return event;
  }

  /** Starts a consumer whose deliveries go into a queue of this program. */
  static BlockingQueue<Delivery> consume(Channel channel, String queue, boolean autoAck, Object... arguments)
      throws Exception {
    BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
    channel.basicConsume(queue, autoAck, "", false, false, table(arguments),
        (tag, delivery) -> deliveries.add(delivery), tag -> { });
    return deliveries;
  }

  /** The next deliveries of a queue. */
  static List<Delivery> take(Channel channel, String queue, int count) throws Exception {
    BlockingQueue<Delivery> deliveries = new LinkedBlockingQueue<>();
    String consumer = channel.basicConsume(queue, true, (tag, delivery) -> deliveries.add(delivery), tag -> { });
    List<Delivery> taken = new ArrayList<>();
    while (taken.size() < count) {
      taken.add(next(deliveries, "message " + taken.size() + " of " + count));
    }
    channel.basicCancel(consumer);
    return taken;
  }

  /** All ready messages of a queue as text, got one by one. */
  static List<String> drain(Channel channel, String queue) throws Exception {
    List<String> texts = new ArrayList<>();
    for (GetResponse got; (got = channel.basicGet(queue, true)) != null; ) {
      texts.add(text(got.getBody()));
    }
    return texts;
  }

  /** A body in which no two pages are alike, so that a lost or swapped frame shows. */
  static byte[] pattern(int size) {
    StringBuilder body = new StringBuilder(size + 8);
    for (int n = 0; body.length() < size; n++) {
      String digits = Integer.toString(n);
      body.append("0000000", 0, 7 - digits.length()).append(digits).append('\n');
    }
    body.setLength(size);
    return bytes(body.toString());
  }

  static List<String> series(String prefix, int from, int to) {
    return IntStream.range(from, to).mapToObj(n -> prefix + n).collect(Collectors.toList());
  }

  static Map<String, Object> table(Object... pairs) {
    Map<String, Object> table = new HashMap<>();
    for (int at = 0; at < pairs.length; at += 2) {
      table.put((String) pairs[at], pairs[at + 1]);
    }
    return table;
  }

  /** Does something that must close its channel with this reply. */
  static void refused(Connection connection, int code, String text, Step act) throws Exception {
    String name = Map.of(403, "ACCESS_REFUSED", 404, "NOT_FOUND", 406, "PRECONDITION_FAILED").get(code);
    AMQP.Channel.Close close = (AMQP.Channel.Close) shutdown(connection, act).getReason();
    expect(List.of(close.getReplyCode(), close.getReplyText()), List.of(code, cut(name + " - " + text)), "the close");
  }

  /** Does something that must close its channel, and tells how it was closed. */
  static ShutdownSignalException shutdown(Connection connection, Step act) throws Exception {
    Channel channel = connection.createChannel();
    CompletableFuture<ShutdownSignalException> closed = new CompletableFuture<>();
    channel.addShutdownListener(closed::complete);
    try {
      act.run(channel);
    } catch (java.io.IOException | ShutdownSignalException expected) {
      // The reason comes to the listener.
    }
    ShutdownSignalException signal = closed.get(DEADLINE, TimeUnit.SECONDS);
    expect(signal.isHardError(), false, "a connection error where a channel error is due: " + signal.getReason());
    return signal;
  }

  /** Does something that must close its channel, and only that, with the given reply. */
  static void channelError(Connection connection, int code, int classId, int methodId, String text, Step act)
      throws Exception {
    expectClose(shutdown(connection, act).getReason(), code, classId, methodId, text);
  }

  /** Does something that must close its connection with the given reply. */
  static void connectionError(int code, int classId, int methodId, String text, Step act) throws Exception {
    Connection connection = connect();
    CompletableFuture<ShutdownSignalException> closed = new CompletableFuture<>();
    connection.addShutdownListener(closed::complete);
    try {
      act.run(connection.createChannel());
    } catch (java.io.IOException | ShutdownSignalException expected) {
      // The reason comes to the listener.
    }
    expectClose(closed.get(DEADLINE, TimeUnit.SECONDS).getReason(), code, classId, methodId, text);
  }

  /** Publishes with the mandatory flag; says whether the message came back. */
  static boolean isReturned(Channel channel, String exchange, String key) throws Exception {
    List<String> returned = new ArrayList<>();
    var listener = channel.addReturnListener(back -> returned.add(back.getRoutingKey()));
    channel.basicPublish(exchange, key, true, null, bytes(key));
    channel.waitForConfirms(TimeUnit.SECONDS.toMillis(DEADLINE)); // RabbitMQ refuses for a queue that is about to go
    channel.removeReturnListener(listener);
    return !returned.isEmpty();
  }

  /** Looks again and again until something holds. */
  static void until(java.util.concurrent.Callable<Boolean> done, String what) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE);
    while (!done.call()) {
      expect(System.nanoTime() < end, true, what + " in time");
      TimeUnit.MILLISECONDS.sleep(50);
    }
  }

  /** A reply text as it is sent: 255 octets at most. */
  static String cut(String text) {
    return text.length() <= 255 ? text : text.substring(0, 252) + "...";
  }

  static void expectClose(Method reason, int code, int classId, int methodId, String text) {
    List<Object> seen;
    if (reason instanceof AMQP.Channel.Close) {
      AMQP.Channel.Close close = (AMQP.Channel.Close) reason;
      seen = List.of(close.getReplyCode(), close.getClassId(), close.getMethodId(), close.getReplyText());
    } else if (reason instanceof AMQP.Connection.Close) {
      AMQP.Connection.Close close = (AMQP.Connection.Close) reason;
      seen = List.of(close.getReplyCode(), close.getClassId(), close.getMethodId(), close.getReplyText());
    } else {
      throw new Failure("no close where " + code + " " + text + " is due, but " + reason);
    }
    expect(seen, List.of(code, classId, methodId, cut(text)), "the close");
  }
}
