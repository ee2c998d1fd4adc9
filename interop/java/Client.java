import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.Recoverable;
import com.rabbitmq.client.RecoveryListener;
import com.rabbitmq.client.ShutdownSignalException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

/** RabbitMQ's Java client through the interop scenarios: {@code Client --uri URI [--id ID] [--clean] SCENARIO}. */
public final class Client extends Scenario {
  private static final int LIMIT = 110;
  private static final int LARGE = 10 * 1024 * 1024;

  /** Body sizes around the largest payload of one frame (frame-max 131072 less 8). */
  private static final int[] FRAME_EDGES = {0, 1, 131063, 131064, 131065, 262128};

  private static boolean clean;

  public static void main(String[] args) {
    for (int at = 0; at < args.length; at++) {
      switch (args[at]) {
        case "--uri": uri = args[++at]; break;
        case "--id": id = args[++at]; break;
        case "--management": management = args[++at]; break;
        case "--broker-pid": ++at; break;
        case "--clean": clean = true; break;
        default: scenario = args[at];
      }
    }
    Thread watchdog = new Thread(() -> {
      try {
        TimeUnit.SECONDS.sleep(LIMIT);
      } catch (InterruptedException stopped) {
        return;
      }
      System.err.println("java " + scenario + ": still running after " + LIMIT + " s");
      Runtime.getRuntime().halt(1);
    });
    watchdog.setDaemon(true);
    watchdog.start();
    try {
      run();
    } catch (Failure failure) {
      System.err.println("java " + scenario + ": " + failure.getMessage() + " (at " + failure.getStackTrace()[1] + ")");
      System.exit(1);
    } catch (Throwable error) {
      error.printStackTrace();
      System.exit(1);
    }
    System.exit(0);
  }

  private static void run() throws Exception {
    switch (scenario) {
      case "work-queue": workQueue(); break;
      case "pubsub": pubsub(); break;
      case "routing": routing(); break;
      case "topics": topics(); break;
      case "headers": headers(); break;
      case "rpc": rpc(); break;
      case "confirms": confirms(); break;
      case "nack-requeue": nackRequeue(); break;
      case "persistence-before": persistenceBefore(); break;
      case "persistence-after": persistenceAfter(); break;
      case "large-bodies": largeBodies(); break;
      case "many-channels": manyChannels(); break;
      case "heartbeat-idle": heartbeatIdle(); break;
      case "error-codes": errorCodes(); break;
      case "recovery": recovery(); break;
      case "tls": OverTls.run(); break;
      case "api-objects": case "api-messages": case "api-clients": case "api-definitions": Managed.run(); break;
      default: Extensions.run();
    }
  }

  // The scenarios

  private static final class Worker {
    Connection connection;
    Channel channel;
    BlockingQueue<Delivery> deliveries;
    Delivery hand;
    final List<String> seen = new ArrayList<>();

    boolean receive(Delivery delivery) {
      if (delivery == null) {
        return false;
      }
      expect(delivery.getEnvelope().isRedeliver(), false, "redelivered of a fresh message");
      hand = delivery;
      seen.add(text(delivery.getBody()));
      return true;
    }

    void ack() throws Exception {
      channel.basicAck(hand.getEnvelope().getDeliveryTag(), false);
    }
  }

  private static void workQueue() throws Exception {
    int tasks = 20;
    String queue = name("tasks");
    Connection connection = connect();
    Channel channel = confirming(connection);
    declare(channel, queue);
    for (String task : series("task ", 0, tasks)) {
      publish(channel, "", queue, MessageProperties.PERSISTENT_TEXT_PLAIN, bytes(task));
    }
    List<Worker> workers = Arrays.asList(new Worker(), new Worker());
    for (Worker worker : workers) {
      worker.connection = connect();
      worker.channel = worker.connection.createChannel();
      worker.channel.basicQos(1);
      worker.deliveries = consume(worker.channel, queue, false);
      worker.receive(next(worker.deliveries, "the first task of a worker"));
    }
    expect(ready(channel, queue), tasks - 2, "ready messages while each worker holds one");
    for (Worker worker : workers) {
      expect(worker.deliveries.size(), 0, "more messages in hand with a prefetch of 1");
      worker.ack();
    }
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE);
    for (int done = 2; done < tasks; ) {
      for (Worker worker : workers) {
        if (worker.receive(worker.deliveries.poll(10, TimeUnit.MILLISECONDS))) {
          worker.ack();
          done++;
        }
      }
      expect(System.nanoTime() < end, true, "all tasks in time");
    }
    List<String> seen = new ArrayList<>();
    for (Worker worker : workers) {
      expect(worker.seen.size() > 1, true, "each worker has its share");
      seen.addAll(worker.seen);
      worker.channel.close();
      worker.connection.close();
    }
    List<String> wanted = series("task ", 0, tasks);
    Collections.sort(seen);
    Collections.sort(wanted);
    expect(seen, wanted, "tasks done");
    expect(ready(channel, queue), 0, "messages left");
    channel.queueDelete(queue);
    connection.close();
  }

  private static void pubsub() throws Exception {
    String exchange = name("logs");
    Connection connection = connect();
    Channel channel = confirming(connection);
    channel.exchangeDeclare(exchange, "fanout");
    String left = temporary(channel);
    String stayed = temporary(channel);
    String late = temporary(channel);
    expect(left.matches("amq\\.gen-.{22}"), true, left + " is a server-named queue");
    channel.queueBind(left, exchange, "");
    channel.queueBind(stayed, exchange, "");
    List<String> logs = series("log ", 0, 10);
    for (String line : logs) {
      publish(channel, exchange, "ignored", line);
    }
    channel.queueBind(late, exchange, "");
    channel.queueUnbind(left, exchange, "");
    publish(channel, exchange, "", "late");
    expect(drain(channel, left), logs, "the subscriber that left");
    expect(drain(channel, late), List.of("late"), "the subscriber that came late");
    logs.add("late");
    List<String> seen =
        take(channel, stayed, 11).stream().map(d -> text(d.getBody())).collect(Collectors.toList());
    expect(seen, logs, "the subscriber that stayed");
    channel.exchangeDelete(exchange);
    connection.close();
  }

  private static void routing() throws Exception {
    String exchange = name("direct");
    Connection connection = connect();
    Channel channel = confirming(connection);
    channel.exchangeDeclare(exchange, "direct");
    String errors = temporary(channel);
    String everything = temporary(channel);
    channel.queueBind(errors, exchange, "error");
    for (String key : List.of("info", "warning", "error")) {
      channel.queueBind(everything, exchange, key);
    }
    for (String key : List.of("info", "error", "warning", "Error")) {
      publish(channel, exchange, key, key);
    }
    expect(drain(channel, errors), List.of("error"), "messages by the key error");
    expect(drain(channel, everything), List.of("info", "error", "warning"), "messages by three keys");
    BlockingQueue<List<Object>> returns = new LinkedBlockingQueue<>();
    channel.addReturnListener((code, reason, from, key, properties, body) ->
        returns.add(List.of(code, reason, from, key, text(body))));
    channel.basicPublish(exchange, "debug", true, null, bytes("nobody listens"));
    expect(next(returns, "the return"), List.of(312, "NO_ROUTE", exchange, "debug", "nobody listens"), "the return");
    channel.exchangeDelete(exchange);
    connection.close();
  }

  private static void topics() throws Exception {
    List<String> keys = List.of(
        "", "a", "a.b", "a.b.c", ".", "a.", ".a", "a..b", "quick.orange.rabbit", "lazy.pink.rabbit", "A", "*");
    Map<String, List<String>> matches = new LinkedHashMap<>();
    matches.put("#", keys);
    matches.put("*", List.of("a", "A", "*"));
    matches.put("a.*", List.of("a.b", "a."));
    matches.put("a.#", List.of("a", "a.b", "a.b.c", "a.", "a..b"));
    matches.put("#.b", List.of("a.b", "a..b"));
    matches.put("*.*", List.of("a.b", ".", "a.", ".a"));
    matches.put("a.*.b", List.of("a..b"));
    matches.put("*.orange.*", List.of("quick.orange.rabbit"));
    matches.put("*.*.rabbit", List.of("quick.orange.rabbit", "lazy.pink.rabbit"));
    matches.put("lazy.#", List.of("lazy.pink.rabbit"));
    matches.put("a#", List.of());
    String exchange = name("topic");
    Connection connection = connect();
    Channel channel = confirming(connection);
    channel.exchangeDeclare(exchange, "topic");
    Map<String, String> queues = new HashMap<>();
    for (String binding : matches.keySet()) {
      queues.put(binding, temporary(channel));
      channel.queueBind(queues.get(binding), exchange, binding);
    }
    for (String key : keys) {
      publish(channel, exchange, key, key);
    }
    for (Map.Entry<String, List<String>> entry : matches.entrySet()) {
      expect(drain(channel, queues.get(entry.getKey())), entry.getValue(), "keys that match " + entry.getKey());
    }
    channel.exchangeDelete(exchange);
    connection.close();
  }

  private static void headers() throws Exception {
    Map<String, Map<String, Object>> messages = new LinkedHashMap<>();
    messages.put("pdf-report", table("format", "pdf", "type", "report", "pages", 5));
    messages.put("pdf-log", table("format", "pdf", "type", "log", "pages", 6));
    messages.put("zip-report", table("format", "zip", "type", "report"));
    messages.put("text-pages", table("format", "txt", "pages", "5"));
    messages.put("none", table());
    Map<Map<String, Object>, List<String>> matches = new LinkedHashMap<>();
    matches.put(table("x-match", "all", "format", "pdf", "type", "report"), List.of("pdf-report"));
    matches.put(table("x-match", "any", "format", "pdf", "type", "report"),
        List.of("pdf-report", "pdf-log", "zip-report"));
    matches.put(table("format", "zip"), List.of("zip-report"));
    matches.put(table("x-match", "all", "pages", 5L), List.of("pdf-report"));
    matches.put(table("x-match", "all", "pages", null), List.of("pdf-report", "pdf-log", "text-pages"));
    matches.put(table("x-match", "all"), new ArrayList<>(messages.keySet()));
    String exchange = name("headers");
    Connection connection = connect();
    Channel channel = confirming(connection);
    channel.exchangeDeclare(exchange, "headers");
    Map<Map<String, Object>, String> queues = new HashMap<>();
    for (Map<String, Object> arguments : matches.keySet()) {
      queues.put(arguments, temporary(channel));
      channel.queueBind(queues.get(arguments), exchange, "", arguments);
    }
    for (Map.Entry<String, Map<String, Object>> message : messages.entrySet()) {
      AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder().headers(message.getValue()).build();
      publish(channel, exchange, "", properties, bytes(message.getKey()));
    }
    for (Map.Entry<Map<String, Object>, List<String>> entry : matches.entrySet()) {
      expect(drain(channel, queues.get(entry.getKey())), entry.getValue(), "messages that match " + entry.getKey());
    }

    String queue = temporary(channel);
    Map<String, Object> headers = table("int", -5, "big", 1L << 40, "short", (short) -3, "byte", (byte) -7,
        "bool", true, "none", null, "double", 1.5, "float", 2.5f, "time", new Date(1234567890000L),
        "list", List.of(1, 2L, false), "table", table("inner", table("deep", 1)));
    AMQP.BasicProperties sent = new AMQP.BasicProperties.Builder()
        .contentType("text/plain").contentEncoding("utf-8").deliveryMode(2).priority(7).correlationId("c-1")
        .replyTo("nobody").expiration("600000").messageId("m-1").timestamp(new Date(1234567890000L)).type("t")
        .appId("interop").clusterId("cluster").headers(headers).build();
    publish(channel, "", queue, sent, new byte[0]);
    GetResponse got = channel.basicGet(queue, true);
    expect(got != null, true, "a message with every property arrived");
    expect(got.getProps(), sent, "the properties");
    expect(got.getBody().length, 0, "length of the empty body");
    channel.exchangeDelete(exchange);
    connection.close();
  }

  private static int fibonacci(int n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
  }

  private static void rpc() throws Exception {
    int calls = 10;
    String queue = name("rpc");
    Connection serving = connect();
    Channel server = serving.createChannel();
    declare(server, queue);
    server.basicQos(1);
    server.basicConsume(queue, false, (tag, request) -> {
      AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
          .correlationId(request.getProperties().getCorrelationId()).build();
      String answer = Integer.toString(fibonacci(Integer.parseInt(text(request.getBody()))));
      server.basicPublish("", request.getProperties().getReplyTo(), properties, bytes(answer));
      server.basicAck(request.getEnvelope().getDeliveryTag(), false);
    }, tag -> { });

    Map<String, String> wanted = new HashMap<>();
    for (int n = 0; n < calls; n++) {
      wanted.put("call " + n, Integer.toString(fibonacci(n)));
    }
    Connection connection = connect();
    for (boolean direct : new boolean[] {false, true}) {
      Channel channel = connection.createChannel();
      String replyTo = direct ? "amq.rabbitmq.reply-to" : temporary(channel);
      BlockingQueue<Delivery> replies = consume(channel, replyTo, true);
      for (int n = 0; n < calls; n++) {
        AMQP.BasicProperties properties =
            new AMQP.BasicProperties.Builder().replyTo(replyTo).correlationId("call " + n).build();
        channel.basicPublish("", queue, properties, bytes(Integer.toString(n)));
      }
      Map<String, String> answers = new HashMap<>();
      while (answers.size() < calls) {
        Delivery reply = next(replies, "an answer");
        answers.put(reply.getProperties().getCorrelationId(), text(reply.getBody()));
      }
      expect(answers, wanted, "answers, direct reply-to: " + direct);
      channel.close();
    }
    server.queueDelete(queue);
    serving.close();
    connection.close();
  }

  private static void confirms() throws Exception {
    int count = 500;
    String queue = name("confirms");
    Connection connection = connect();
    Channel channel = connection.createChannel();
    declare(channel, queue);
    channel.confirmSelect();
    BlockingQueue<String> events = new LinkedBlockingQueue<>();
    channel.addReturnListener((code, reason, from, key, properties, body) -> events.add("return " + text(body)));
    channel.addConfirmListener(
        (tag, multiple) -> events.add("ack " + tag + " " + multiple),
        (tag, multiple) -> events.add("nack " + tag + " " + multiple));
    for (int n = 1; n <= count; n++) {
      channel.basicPublish("", queue, MessageProperties.PERSISTENT_BASIC, bytes(Integer.toString(n)));
    }
    channel.basicPublish("", queue + ".missing", true, null, bytes("lost"));
    List<Integer> open = IntStream.rangeClosed(1, count + 1).boxed().collect(Collectors.toList());
    boolean returned = false;
    while (!open.isEmpty()) {
      String[] event = next(events, "the confirms of " + brief(open)).split(" ");
      if (event[0].equals("return")) {
        expect(event[1], "lost", "the returned message");
        returned = true;
        continue;
      }
      expect(event[0], "ack", "the confirm of " + event[1]);
      int tag = Integer.parseInt(event[1]);
      expect(open.contains(tag), true, "tag " + tag + " was open when its ack came");
      boolean multiple = Boolean.parseBoolean(event[2]);
      open.removeIf(n -> n == tag || multiple && n < tag);
      expect(returned || open.contains(count + 1), true, "the return comes before the ack");
    }
    expect(ready(channel, queue), count, "messages in the queue once all are confirmed");
    channel.queueDelete(queue);
    connection.close();
  }

  /** Gets messages and keeps them in hand. */
  private static final class Getter {
    long last;

    String get(Channel channel, String queue, int count) throws Exception {
      List<String> seen = new ArrayList<>();
      for (int n = 0; n < count; n++) {
        GetResponse got = channel.basicGet(queue, false);
        expect(got != null, true, "the queue has a message");
        last = got.getEnvelope().getDeliveryTag();
        seen.add(text(got.getBody()) + (got.getEnvelope().isRedeliver() ? "*" : ""));
      }
      return String.join(" ", seen);
    }
  }

  private static void nackRequeue() throws Exception {
    String queue = name("queue");
    Connection connection = connect();
    Channel publisher = confirming(connection);
    declare(publisher, queue);
    for (String body : series("m", 1, 5)) {
      publish(publisher, "", queue, body);
    }
    Channel channel = connection.createChannel();
    Getter hand = new Getter();
    expect(hand.get(channel, queue, 1), "m1", "first get");
    channel.basicNack(hand.last, false, true);
    expect(hand.get(channel, queue, 3), "m1* m2 m3", "after a nack with requeue");
    channel.basicNack(hand.last, true, true);
    expect(hand.get(channel, queue, 4), "m1* m2* m3* m4", "after a nack of three with requeue");
    channel.basicReject(hand.last, false);
    channel.basicRecover(true);
    expect(hand.get(channel, queue, 3), "m1* m2* m3*", "after a reject without requeue and a recover");
    channel.close();
    channel = connection.createChannel();
    expect(hand.get(channel, queue, 3), "m1* m2* m3*", "after the channel was closed with three in hand");
    channel.basicAck(hand.last, true);
    expect(ready(channel, queue), 0, "messages left");
    channel.queueDelete(queue);
    connection.close();
  }

  private static void persistenceBefore() throws Exception {
    String exchange = name("exchange");
    String queue = name("queue");
    Connection connection = connect();
    Channel channel = confirming(connection);
    channel.exchangeDeclare(exchange, "topic", true);
    channel.queueDeclare(queue, true, false, false, table("x-max-length", 100000));
    channel.queueBind(queue, exchange, "kept.#");
    for (int n = 0; n < 100; n++) {
      AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
          .deliveryMode(2).messageId(Integer.toString(n)).headers(table("n", n)).build();
      channel.basicPublish(exchange, "kept." + n, properties, pattern(n * 100));
    }
    AMQP.BasicProperties passing = new AMQP.BasicProperties.Builder().deliveryMode(1).build();
    publish(channel, exchange, "kept.not", passing, bytes("transient"));
    for (int n = 0; n < 10; n++) {
      channel.basicAck(channel.basicGet(queue, false).getEnvelope().getDeliveryTag(), false);
    }
    channel.close();
    connection.close();
  }

  private static void persistenceAfter() throws Exception {
    String exchange = name("exchange");
    String queue = name("queue");
    Connection connection = connect();
    Channel channel = confirming(connection);
    channel.exchangeDeclarePassive(exchange);
    channel.queueDeclare(queue, true, false, false, table("x-max-length", 100000));
    publish(channel, exchange, "kept.new", new AMQP.BasicProperties.Builder().messageId("new").build(), new byte[0]);
    List<Delivery> seen = take(channel, queue, ready(channel, queue));
    List<String> ids = seen.stream().map(d -> d.getProperties().getMessageId()).collect(Collectors.toList());
    // What was acked may come back after a kill, never after a clean stop.
    int start = clean || !ids.get(0).matches("[0-9]") ? 10 : Integer.parseInt(ids.get(0));
    List<String> wanted = series("", start, 100);
    wanted.add("new");
    expect(ids, wanted, "messages after the restart");
    for (Delivery message : seen.subList(0, seen.size() - 1)) {
      int n = Integer.parseInt(message.getProperties().getMessageId());
      expect(Arrays.equals(message.getBody(), pattern(n * 100)), true, "body " + n + " unchanged");
      expect(message.getProperties().getDeliveryMode(), 2, "delivery mode of " + n);
      expect(message.getProperties().getHeaders(), table("n", n), "headers of " + n);
      expect(message.getEnvelope().getExchange(), exchange, "exchange of " + n);
      expect(message.getEnvelope().getRoutingKey(), "kept." + n, "routing key of " + n);
    }
    channel.queueDelete(queue);
    channel.exchangeDelete(exchange);
    connection.close();
  }

  private static void largeBodies() throws Exception {
    String queue = name("queue");
    Connection connection = connect();
    Channel channel = confirming(connection);
    declare(channel, queue);
    List<byte[]> bodies = new ArrayList<>();
    for (int size : FRAME_EDGES) {
      bodies.add(pattern(size));
    }
    bodies.add(pattern(LARGE));
    for (byte[] body : bodies) {
      publish(channel, "", queue, MessageProperties.PERSISTENT_BASIC, body);
    }
    List<Delivery> got = take(channel, queue, bodies.size());
    for (int n = 0; n < bodies.size(); n++) {
      expect(got.get(n).getBody().length, bodies.get(n).length, "length");
      expect(Arrays.equals(got.get(n).getBody(), bodies.get(n)), true, bodies.get(n).length + " octets unchanged");
    }
    channel.queueDelete(queue);
    connection.close();
  }

  private static void manyChannels() throws Exception {
    Connection connection = connect();
    List<Channel> channels = new ArrayList<>();
    for (int n = 0; n < 200; n++) {
      channels.add(connection.createChannel());
    }
    String queue = temporary(channels.get(0));
    for (int n = 0; n < 200; n++) {
      channels.get(n).basicPublish("", queue, null, bytes(Integer.toString(n)));
      Delivery got = take(channels.get(n), queue, 1).get(0);
      expect(text(got.getBody()), Integer.toString(n), "message of channel " + n);
      expect(got.getEnvelope().getDeliveryTag(), 1L, "its delivery tag");
    }
    for (Channel channel : channels) {
      channel.close();
    }
    for (int n = 0; n < 500; n++) {
      connection.createChannel().close();
    }
    connection.close();
  }

  private static void heartbeatIdle() throws Exception {
    ConnectionFactory factory = factory();
    factory.setRequestedHeartbeat(2);
    Connection connection = factory.newConnection();
    expect(connection.getHeartbeat(), 2, "the heartbeat");
    Channel channel = connection.createChannel();
    String queue = temporary(channel);
    BlockingQueue<String> closed = new LinkedBlockingQueue<>();
    connection.addShutdownListener(cause -> closed.add(cause.getMessage()));
    expect(closed.poll(6, TimeUnit.SECONDS), null, "a close while idle");
    channel.basicPublish("", queue, null, bytes("still here"));
    expect(text(take(channel, queue, 1).get(0).getBody()), "still here", "message after the idle time");
    connection.close();
  }

  /** The recovery that the client has by default: exchange, queues, bindings and consumers come back. */
  private static void recovery() throws Exception {
    String logs = name("logs");
    String tasks = name("tasks");
    Line line = new Line(uri);
    ConnectionFactory factory = factory();
    factory.setUri(line.uri());
    factory.setAutomaticRecoveryEnabled(true);
    factory.setNetworkRecoveryInterval(100);
    Connection connection = factory.newConnection();
    BlockingQueue<Boolean> recovered = new LinkedBlockingQueue<>();
    ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
      @Override
      public void handleRecovery(Recoverable what) {
        recovered.add(true);
      }

      @Override
      public void handleRecoveryStarted(Recoverable what) { }
    });
    Channel channel = confirming(connection);
    channel.exchangeDeclare(logs, "fanout");
    String passing = temporary(channel);
    channel.queueBind(passing, logs, "");
    declare(channel, tasks);
    channel.basicQos(5);
    BlockingQueue<Delivery> lines = consume(channel, passing, true);
    BlockingQueue<Delivery> work = consume(channel, tasks, false);
    for (String when : List.of("before", "after")) {
      publish(channel, logs, "", when);
      publish(channel, "", tasks, MessageProperties.PERSISTENT_BASIC, bytes(when));
      expect(text(next(lines, "a line").getBody()), when, "what the subscriber got");
      Delivery task = next(work, "a task");
      while (!text(task.getBody()).equals(when)) { // the ack of the one before may have been lost with the line
        expect(task.getEnvelope().isRedeliver(), true, "the task before is redelivered");
        channel.basicAck(task.getEnvelope().getDeliveryTag(), false);
        task = next(work, "a task");
      }
      channel.basicAck(task.getEnvelope().getDeliveryTag(), false);
      if (when.equals("before")) {
        expect(line.cut(), 1, "connections");
        next(recovered, "the recovery");
      }
    }
    channel.queueDelete(tasks);
    channel.exchangeDelete(logs);
    connection.close();
  }

  private static void errorCodes() throws Exception {
    String queue = name("queue");
    String exchange = name("exchange");
    String locked = name("locked");
    Connection connection = connect();
    Channel channel = confirming(connection);
    channel.queueDeclare(queue, true, false, false, table("x-max-length", 1000));
    channel.exchangeDeclare(exchange, "direct", true);
    channel.queueDeclare(locked, false, true, false, null);
    publish(channel, "", queue, "one");
    String noQueue = "NOT_FOUND - no queue 'nope' in vhost '/'";
    String noExchange = "NOT_FOUND - no exchange 'nope' in vhost '/'";
    byte[] empty = new byte[0];

    channelError(connection, 404, 50, 10, noQueue, ch -> ch.queueDeclarePassive("nope"));
    channelError(connection, 404, 40, 10, noExchange, ch -> ch.exchangeDeclarePassive("nope"));
    channelError(connection, 404, 60, 70, noQueue, ch -> ch.basicGet("nope", true));
    channelError(connection, 404, 60, 20, noQueue, ch -> consume(ch, "nope", true));
    channelError(connection, 404, 50, 30, noQueue, ch -> ch.queuePurge("nope"));
    channelError(connection, 404, 50, 20, noExchange, ch -> ch.queueBind(queue, "nope", "k"));
    channelError(connection, 404, 40, 30, noExchange, ch -> ch.exchangeBind("nope", exchange, "k"));
    channelError(connection, 404, 60, 40, noExchange, ch -> ch.basicPublish("nope", "k", null, empty));
    String unknownTag = "PRECONDITION_FAILED - unknown delivery tag 99";
    channelError(connection, 406, 60, 80, unknownTag, ch -> ch.basicAck(99, false));
    channelError(connection, 406, 60, 120, unknownTag, ch -> ch.basicNack(99, false, true));
    channelError(connection, 406, 60, 90, unknownTag, ch -> ch.basicReject(99, true));
    channelError(connection, 406, 50, 10,
        "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '" + queue
            + "' in vhost '/': received '2000' but current is '1000'",
        ch -> ch.queueDeclare(queue, true, false, false, table("x-max-length", 2000)));
    channelError(connection, 406, 50, 10,
        "PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue '" + queue
            + "' in vhost '/': received 'true' but current is 'false'",
        ch -> ch.queueDeclare(queue, true, false, true, table("x-max-length", 1000)));
    channelError(connection, 406, 40, 10,
        "PRECONDITION_FAILED - inequivalent arg 'type' for exchange '" + exchange
            + "' in vhost '/': received 'fanout' but current is 'direct'",
        ch -> ch.exchangeDeclare(exchange, "fanout", true));
    channelError(connection, 406, 40, 10,
        "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange '" + exchange
            + "' in vhost '/': received 'false' but current is 'true'",
        ch -> ch.exchangeDeclare(exchange, "direct", false));
    channelError(connection, 406, 50, 40, "PRECONDITION_FAILED - queue '" + queue + "' in vhost '/' not empty",
        ch -> ch.queueDelete(queue, false, true));
    channelError(connection, 406, 90, 20, "PRECONDITION_FAILED - channel is not transactional", Channel::txCommit);
    channelError(connection, 406, 85, 10, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", ch -> {
      ch.txSelect();
      ch.confirmSelect();
    });
    channelError(connection, 403, 40, 10,
        "ACCESS_REFUSED - exchange name 'amq.nope' contains reserved prefix 'amq.*'",
        ch -> ch.exchangeDeclare("amq.nope", "direct"));
    channelError(connection, 403, 40, 20,
        "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed",
        ch -> ch.exchangeDelete("amq.direct"));
    channelError(connection, 403, 60, 20, "ACCESS_REFUSED - queue '" + queue + "' in vhost '/' in exclusive use", ch -> {
      ch.basicConsume(queue, false, "", false, true, null, (tag, delivery) -> { }, tag -> { });
      consume(ch, queue, false);
    });
    Connection stranger = connect();
    channelError(stranger, 405, 50, 10,
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '" + locked + "' in vhost '/'. It could be "
            + "originally declared on another connection or the exclusive property value does not match that of the "
            + "original declaration.",
        ch -> ch.queueDeclare(locked, false, true, false, null));
    stranger.close();
    expect(ready(channel, queue), 1, "messages, seen by a channel that did nothing wrong");

    connectionError(540, 60, 10, "NOT_IMPLEMENTED - prefetch_size!=0 (5)", ch -> ch.basicQos(5, 1, false));
    connectionError(540, 60, 110, "NOT_IMPLEMENTED - requeue=false", ch -> ch.basicRecover(false));
    connectionError(540, 60, 40, "NOT_IMPLEMENTED - immediate=true",
        ch -> ch.basicPublish("", queue, false, true, null, empty));
    connectionError(530, 60, 20, "NOT_ALLOWED - attempt to reuse consumer tag 't'", ch -> {
      ch.basicConsume(queue, false, "t", (tag, delivery) -> { }, tag -> { });
      ch.basicConsume(queue, false, "t", (tag, delivery) -> { }, tag -> { });
    });
    connectionError(503, 50, 11, "COMMAND_INVALID - unimplemented method", // a method that only servers send
        ch -> ch.asyncRpc(new AMQP.Queue.DeclareOk.Builder().queue(queue).messageCount(0).consumerCount(0).build()));

    ConnectionFactory wrong = factory();
    wrong.setPassword("wrong");
    try {
      wrong.newConnection();
      throw new Failure("a wrong password was accepted");
    } catch (AuthenticationFailureException refused) {
      expect(refused.getMessage(), "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For "
          + "details see the broker logfile.", "refused login");
    }
    ConnectionFactory nowhere = factory();
    nowhere.setVirtualHost("nope");
    try {
      nowhere.newConnection();
      throw new Failure("a missing vhost was opened");
    } catch (java.io.IOException refused) {
      expectClose(((ShutdownSignalException) refused.getCause()).getReason(), 530, 10, 40,
          "NOT_ALLOWED - vhost nope not found");
    }
    channel.queueDelete(queue);
    channel.exchangeDelete(exchange);
    connection.close();
  }
}
