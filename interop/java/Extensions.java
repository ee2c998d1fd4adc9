import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.Delivery;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.LongString;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** What RabbitMQ added to AMQP; the last scenarios are what Lepus has and RabbitMQ 4.3 has not. */
final class Extensions extends Scenario {
  private static final String REPLY_TO = "amq.rabbitmq.reply-to";

  static void run() throws Exception {
    try (Connection connection = connect()) {
      Channel channel = confirming(connection);
      switch (scenario) {
        case "ttl": ttl(connection, channel); break;
        case "dead-letters": deadLetters(channel); break;
        case "max-length": maxLength(connection, channel); break;
        case "queue-expires": queueExpires(connection, channel); break;
        case "priorities": priorities(connection, channel); break;
        case "single-active-consumer": singleActiveConsumer(connection, channel); break;
        case "consumer-priority": consumerPriority(connection, channel); break;
        case "delivery-limit": deliveryLimit(connection, channel); break;
        case "consumer-timeout": consumerTimeout(channel); break;
        case "quorum-refusals": quorumRefusals(connection, channel); break;
        case "direct-reply-to": directReplyTo(connection, channel); break;
        case "cc-bcc": ccBcc(connection, channel); break;
        case "user-id": userId(connection, channel); break;
        case "alternate-exchange": alternateExchange(connection, channel); break;
        case "modulus-hash": modulusHash(channel); break;
        case "consistent-hash": consistentHash(connection, channel); break;
        case "random": random(channel); break;
        case "recent-history": recentHistory(connection, channel); break;
        case "delayed-message": delayedMessage(connection, channel); break;
        case "deduplication": deduplication(channel); break;
        case "retry-delay": retryDelay(channel); break;
        default: Operated.run(connection, channel);
      }
    }
  }

  private static AMQP.BasicProperties.Builder with(Object... headers) {
    return new AMQP.BasicProperties.Builder().headers(headers.length == 0 ? null : table(headers));
  }

  /** A header with the client's long strings as strings. */
  private static Object plain(Object value) {
    if (value instanceof Map<?, ?> map) {
      Map<Object, Object> table = new HashMap<>();
      map.forEach((key, item) -> table.put(key, plain(item)));
      return table;
    }
    if (value instanceof List<?> list) {
      return list.stream().map(Extensions::plain).collect(Collectors.toList());
    }
    return value instanceof LongString ? value.toString() : value;
  }

  /** The headers of a message, empty if it has none. */
  private static Map<String, Object> headers(AMQP.BasicProperties properties) {
    Map<String, Object> table = new HashMap<>();
    if (properties.getHeaders() != null) {
      properties.getHeaders().forEach((key, value) -> table.put(key, plain(value)));
    }
    return table;
  }

  /** The x-death header of a letter without the times, which must be times. */
  private static List<Map<?, ?>> deaths(Delivery letter) {
    List<Map<?, ?>> entries = new ArrayList<>();
    for (Object entry : (List<?>) headers(letter.getProperties()).get("x-death")) {
      expect(((Map<?, ?>) entry).remove("time") instanceof Date, true, "the time of a death is a time");
      entries.add((Map<?, ?>) entry);
    }
    return entries;
  }

  private static Map<String, Object> death(long count, String reason, String queue, String exchange, String key) {
    return table("count", count, "reason", reason, "queue", queue, "exchange", exchange, "routing-keys", List.of(key));
  }

  /** The bodies of deliveries, each with a star if it is redelivered. */
  private static String bodies(Iterable<Delivery> deliveries) {
    List<String> seen = new ArrayList<>();
    for (Delivery delivery : deliveries) {
      seen.add(text(delivery.getBody()) + (delivery.getEnvelope().isRedeliver() ? "*" : ""));
    }
    return String.join(" ", seen);
  }

  private static List<Object> origin(Delivery delivery) {
    return List.of(
        delivery.getEnvelope().getExchange(), delivery.getEnvelope().getRoutingKey(), text(delivery.getBody()));
  }

  private static long tag(Delivery delivery) {
    return delivery.getEnvelope().getDeliveryTag();
  }

  /** Declares a queue with one argument, which the broker must refuse for its reason. */
  private static void badArgument(Connection connection, String argument, Object value, String reason)
      throws Exception {
    String queue = name("bad");
    refused(connection, 406, "invalid arg '" + argument + "' for queue '" + queue + "' in vhost '/'" + reason,
        ch -> ch.queueDeclare(queue, true, false, false, table(argument, value)));
  }

  // Time to live and dead letters

  /** The time to live of a queue, that of a message, and what the letter says that it was. */
  private record Life(Integer ofQueue, String ofMessage, String original) { }

  private static void ttl(Connection connection, Channel channel) throws Exception {
    String letters = temporary(channel);
    List<Life> lives = List.of(new Life(50, null, null), new Life(60_000, "50", "50"), new Life(50, "60000", "60000"),
        new Life(null, "50", "50"));
    for (Life life : lives) {
      Map<String, Object> arguments = table("x-dead-letter-exchange", "", "x-dead-letter-routing-key", letters);
      if (life.ofQueue != null) {
        arguments.put("x-message-ttl", life.ofQueue);
      }
      String queue = channel.queueDeclare("", false, true, false, arguments).getQueue();
      publish(channel, "", queue, with("own", 1).expiration(life.ofMessage).deliveryMode(2).build(), bytes("late"));
      Delivery letter = take(channel, letters, 1).get(0);
      expect(origin(letter), List.of("", letters, "late"), "the letter");
      expect(letter.getProperties().getExpiration(), null, "its expiration");
      expect(letter.getProperties().getDeliveryMode(), 2, "its delivery mode");
      Map<String, Object> death = death(1, "expired", queue, "", queue);
      if (life.original != null) {
        death.put("original-expiration", life.original);
      }
      expect(deaths(letter), List.of(death), "its x-death");
      Map<String, Object> others = headers(letter.getProperties());
      others.remove("x-death");
      expect(others, table("own", 1, "x-first-death-reason", "expired", "x-first-death-queue", queue,
          "x-first-death-exchange", "", "x-last-death-reason", "expired", "x-last-death-queue", queue,
          "x-last-death-exchange", ""), "its other headers");
    }
    badArgument(connection, "x-message-ttl", -1, ": {value_negative,-1}");
    badArgument(connection, "x-message-ttl", "60000", ": \"expected integer, got longstr\"");
    badArgument(connection, "x-dead-letter-routing-key", "k", ": routing_key_but_no_dlx_defined");
    refused(connection, 406, "invalid expiration 'soon': no_integer",
        ch -> ch.basicPublish("", letters, with().expiration("soon").build(), new byte[0]));
  }

  private static void deadLetters(Channel channel) throws Exception {
    String retry = name("retry");
    channel.exchangeDeclare(retry, "direct");
    String work = temporary(channel, "x-dead-letter-exchange", retry);
    String wait = temporary(channel, "x-message-ttl", 50, "x-dead-letter-exchange", "");
    channel.queueBind(wait, retry, work);
    publish(channel, "", work, "fails twice");
    BlockingQueue<Delivery> tasks = consume(channel, work, false);
    for (int failures = 0; failures < 3; failures++) {
      Delivery task = next(tasks, "the message");
      expect(origin(task), List.of("", work, "fails twice"), "the message");
      Map<String, Object> headers = headers(task.getProperties());
      if (failures == 0) {
        expect(headers, table(), "headers of a message that has not failed yet");
      } else {
        expect(deaths(task), List.of(death(failures, "expired", wait, retry, work),
            death(failures, "rejected", work, "", work)), "x-death after " + failures + " failures");
        expect(List.of(headers.get("x-first-death-reason"), headers.get("x-first-death-queue"),
            headers.get("x-first-death-exchange")), List.of("rejected", work, ""), "its first death");
      }
      if (failures < 2) {
        channel.basicReject(tag(task), false);
      } else {
        channel.basicAck(tag(task), false);
      }
    }
    expect(List.of(ready(channel, work), ready(channel, wait)), List.of(0, 0), "messages left");
    channel.exchangeDelete(retry);
  }

  // Limits

  /** A limit, its overflow, what is refused of m1 to m5, what stays, and what becomes a letter. */
  private record Limit(String argument, int value, String overflow, String nacked, String kept, String lost) { }

  private static void maxLength(Connection connection, Channel channel) throws Exception {
    List<Limit> limits = List.of(
        new Limit("x-max-length", 3, "drop-head", "", "m3 m4 m5", "m1 m2"),
        new Limit("x-max-length", 3, "reject-publish", "m4 m5", "m1 m2 m3", ""),
        new Limit("x-max-length", 3, "reject-publish-dlx", "m4 m5", "m1 m2 m3", "m4 m5"),
        new Limit("x-max-length-bytes", 8, "drop-head", "", "m2 m3 m4 m5", "m1"),
        new Limit("x-max-length", 0, "drop-head", "", "", "m1 m2 m3 m4 m5"));
    for (Limit limit : limits) {
      String letters = temporary(channel);
      String queue = temporary(channel, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", letters,
          limit.argument, limit.value, "x-overflow", limit.overflow);
      List<String> nacked = new ArrayList<>();
      for (String body : series("m", 1, 6)) {
        channel.basicPublish("", queue, null, bytes(body));
        if (!channel.waitForConfirms(TimeUnit.SECONDS.toMillis(DEADLINE))) {
          nacked.add(body);
        }
      }
      List<Delivery> lost = take(channel, letters, limit.lost.isEmpty() ? 0 : limit.lost.split(" ").length);
      expect(String.join(" ", nacked), limit.nacked, limit + ": publishes that were refused");
      expect(String.join(" ", drain(channel, queue)), limit.kept, limit + ": messages that stay");
      expect(bodies(lost), limit.lost, limit + ": dead letters");
      for (Delivery letter : lost) {
        expect(deaths(letter).get(0).get("reason"), "maxlen", limit + ": the reason");
      }
    }
    badArgument(connection, "x-max-length", -1, ": {value_negative,-1}");
    badArgument(connection, "x-max-length-bytes", "many", ": \"expected integer, got longstr\"");
    badArgument(connection, "x-overflow", "drop-tail", ": invalid_overflow");
  }

  private static void queueExpires(Connection connection, Channel channel) throws Exception {
    String idle = name("idle");
    String used = name("used");
    for (String queue : List.of(idle, used)) {
      channel.queueDeclare(queue, true, false, false, table("x-expires", 1000));
    }
    channel.basicConsume(used, true, "c", (tag, delivery) -> { }, tag -> { });
    until(() -> isReturned(channel, "", idle), "the end of a queue that nobody uses"); // a publish is no use of it
    expect(isReturned(channel, "", used), false, "a queue with a consumer is gone");
    channel.basicCancel("c");
    until(() -> isReturned(channel, "", used), "the end of a queue that its consumer left");
    badArgument(connection, "x-expires", 0, ": {value_zero,0}");
    badArgument(connection, "x-expires", -5, ": {value_negative,-5}");
  }

  // Who gets what, and when

  private static void priorities(Connection connection, Channel channel) throws Exception {
    String quorum = name("quorum");
    channel.queueDeclare(quorum, true, false, false, table("x-queue-type", "quorum"));
    // What has no priority counts as 0, and what is above the maximum as that; in a quorum queue it counts as 4.
    Map<String, List<Integer>> orders = new LinkedHashMap<>();
    orders.put(temporary(channel, "x-max-priority", 5), Arrays.asList(9, 5, 3, 1, null, 0));
    orders.put(temporary(channel), Arrays.asList(null, 1, 9, 5, 0, 3));
    orders.put(quorum, Arrays.asList(9, 5, null, 3, 1, 0));
    for (Map.Entry<String, List<Integer>> order : orders.entrySet()) {
      for (Integer priority : Arrays.asList(null, 1, 9, 5, 0, 3)) {
        publish(channel, "", order.getKey(), with().priority(priority).build(), new byte[0]);
      }
      List<Integer> seen = new ArrayList<>();
      take(channel, order.getKey(), 6).forEach(delivery -> seen.add(delivery.getProperties().getPriority()));
      expect(seen, order.getValue(), "priorities as they come");
    }
    channel.queueDelete(quorum);
    badArgument(connection, "x-max-priority", 256, ": {max_value_exceeded,256}");
    badArgument(connection, "x-max-priority", -1, ": {value_negative,-1}");
  }

  private static void singleActiveConsumer(Connection connection, Channel publisher) throws Exception {
    String queue = name("queue");
    publisher.queueDeclare(queue, true, false, false, table("x-single-active-consumer", true));
    Channel first = connection.createChannel();
    BlockingQueue<Delivery> toFirst = new LinkedBlockingQueue<>();
    first.basicConsume(queue, false, "c", (tag, delivery) -> toFirst.add(delivery), tag -> { });
    Channel second = connection.createChannel();
    BlockingQueue<Delivery> toSecond = consume(second, queue, false);
    Channel third = connection.createChannel();
    BlockingQueue<Delivery> toThird = consume(third, queue, false);
    publish(publisher, "", queue, "m1");
    publish(publisher, "", queue, "m2");
    expect(bodies(List.of(next(toFirst, "m1"), next(toFirst, "m2"))), "m1 m2", "deliveries to the first consumer");
    first.basicCancel("c");
    publish(publisher, "", queue, "m3");
    expect(bodies(List.of(next(toSecond, "m3"))), "m3", "deliveries after the first one cancelled");
    first.basicAck(2, true); // its messages stayed its own
    second.close();
    Delivery again = next(toThird, "m3 again");
    expect(bodies(List.of(again)), "m3*", "deliveries after the second one went with a message in hand");
    third.basicAck(tag(again), false);
    expect(publisher.consumerCount(queue), 1L, "consumers left");
    expect(toFirst.size() + toSecond.size() + toThird.size(), 0, "deliveries to others");
    refused(connection, 403, "queue '" + queue + "' in vhost '/' in exclusive use",
        ch -> ch.basicConsume(queue, false, "", false, true, null, (tag, delivery) -> { }, tag -> { }));
    publisher.queueDelete(queue);
    badArgument(connection, "x-single-active-consumer", "yes", ": {unacceptable_type,longstr}");
  }

  private static void consumerPriority(Connection connection, Channel publisher) throws Exception {
    String queue = temporary(publisher);
    Channel channel = connection.createChannel();
    channel.basicQos(2);
    BlockingQueue<Delivery> low = consume(channel, queue, false);
    BlockingQueue<Delivery> high = consume(channel, queue, false, "x-priority", 10);
    for (String body : series("m", 1, 6)) {
      publish(publisher, "", queue, body);
    }
    Delivery one = next(high, "m1");
    expect(bodies(List.of(one, next(high, "m2"))), "m1 m2", "what the high one has room for");
    expect(bodies(List.of(next(low, "m3"), next(low, "m4"))), "m3 m4", "what goes on to the low one");
    channel.basicAck(tag(one), false);
    expect(bodies(List.of(next(high, "m5"))), "m5", "the high one has room again");
    refused(connection, 406, "invalid arg 'x-priority' for queue '" + queue
        + "' in vhost '/': \"expected integer, got longstr\"", ch -> consume(ch, queue, false, "x-priority", "high"));
  }

  // Quorum queues

  /** Redelivered, x-delivery-count and x-acquired-count of a message. */
  private static List<Object> counts(Delivery delivery) {
    Map<String, Object> headers = headers(delivery.getProperties());
    return Arrays.asList(
        delivery.getEnvelope().isRedeliver(), headers.get("x-delivery-count"), headers.get("x-acquired-count"));
  }

  private static void deliveryLimit(Connection connection, Channel channel) throws Exception {
    String queue = name("queue");
    String letters = temporary(channel);
    channel.queueDeclare(queue, true, false, false, table("x-queue-type", "quorum", "x-delivery-limit", 2,
        "x-dead-letter-exchange", "", "x-dead-letter-routing-key", letters));
    publish(channel, "", queue, "poison");
    Channel worker = connection.createChannel();
    BlockingQueue<Delivery> tasks = consume(worker, queue, false);
    for (Long failures : Arrays.asList(null, 1L, 2L)) {
      Delivery task = next(tasks, "the message");
      expect(counts(task), Arrays.asList(failures != null, failures, failures), "counts of a rejected message");
      worker.basicReject(tag(task), true);
    }
    Delivery letter = take(channel, letters, 1).get(0);
    expect(text(letter.getBody()), "poison", "the letter");
    expect(deaths(letter), List.of(death(1, "delivery_limit", queue, "", queue)), "its x-death");

    // A nack is no failure, the loss of the channel is one.
    publish(channel, "", queue, "unlucky");
    for (long returns = 0; returns < 4; returns++) {
      Delivery task = next(tasks, "the message");
      Long acquired = returns > 0 ? returns : null;
      expect(counts(task), Arrays.asList(returns > 0, null, acquired), "counts of a nacked message");
      worker.basicNack(tag(task), false, true);
    }
    next(tasks, "the message in the hand of a channel that goes");
    worker.close();
    Delivery task = next(consume(channel, queue, false), "the message of the channel that went");
    expect(counts(task), Arrays.asList(true, 1L, 5L), "counts of a message whose channel went");
    channel.basicAck(tag(task), false);
    channel.queueDelete(queue);
  }

  /** A consumer of a quorum queue that holds a message too long is cancelled, and the message is ready again. */
  private static void consumerTimeout(Channel channel) throws Exception {
    String queue = name("queue");
    channel.queueDeclare(queue, true, false, false, table("x-queue-type", "quorum"));
    publish(channel, "", queue, "held");
    BlockingQueue<String> events = new LinkedBlockingQueue<>();
    try (Connection other = connect()) {
      other.createChannel().basicConsume(queue, false, "slow", false, false, table("x-consumer-timeout", 1000),
          (tag, delivery) -> events.add("got " + text(delivery.getBody())), tag -> events.add("cancelled " + tag));
      expect(next(events, "the message"), "got held", "the message");
      expect(next(events, "the cancellation"), "cancelled slow", "what comes of holding a message too long");
      until(() -> ready(channel, queue) == 1, "the message");
      expect(channel.basicGet(queue, true).getEnvelope().isRedeliver(), true, "redelivered");
    }
    channel.queueDelete(queue);
  }

  /** Flags of a queue, and what a quorum queue calls them. */
  private record Flags(boolean durable, boolean exclusive, boolean autoDelete, String property) { }

  private static void quorumRefusals(Connection connection, Channel channel) throws Exception {
    String queue = name("queue");
    Map<String, Object> quorum = table("x-queue-type", "quorum");
    List<Flags> wrong = List.of(new Flags(false, false, false, "non-durable"),
        new Flags(true, true, false, "exclusive-owner"), new Flags(true, false, true, "auto-delete"));
    for (Flags flags : wrong) {
      refused(connection, 406, "invalid property '" + flags.property + "' for queue '" + queue + "' in vhost '/'",
          ch -> ch.queueDeclare(queue, flags.durable, flags.exclusive, flags.autoDelete, quorum));
    }
    refused(connection, 406, "Cannot declare a server-named queue for type rabbit_quorum_queue",
        ch -> ch.queueDeclare("", true, false, false, quorum));
    Map<String, Object> others = table("x-max-priority", 5, "x-queue-mode", "lazy", "x-max-age", "1D");
    for (String argument : others.keySet()) {
      refused(connection, 406,
          "invalid arg '" + argument + "' for queue '" + queue + "' in vhost '/' of queue type rabbit_quorum_queue",
          ch -> ch.queueDeclare(queue, true, false, false,
              table("x-queue-type", "quorum", argument, others.get(argument))));
    }
    badArgument(connection, "x-queue-type", "foo", ": \"unsupported queue type 'foo'\"");
    badArgument(connection, "x-max-age", "1D", " of queue type rabbit_classic_queue");
    channel.queueDeclare(queue, true, false, false, quorum);
    refused(connection, 406, "inequivalent arg 'x-queue-type' for queue '" + queue + "' in vhost '/': "
        + "received 'classic' but current is 'quorum'", ch -> declare(ch, queue));
    channel.queueDelete(queue);
  }

  // Publishing

  private static void directReplyTo(Connection connection, Channel responder) throws Exception {
    Channel requester = connection.createChannel();
    String queue = temporary(responder);
    BlockingQueue<Delivery> replies = new LinkedBlockingQueue<>();
    requester.basicConsume(REPLY_TO, true, "r", (tag, delivery) -> replies.add(delivery), tag -> { });
    for (int n = 0; n < 2; n++) {
      requester.basicPublish("", queue, with().replyTo(REPLY_TO).build(), new byte[0]);
    }
    List<Delivery> requests = take(responder, queue, 2);
    String name = requests.get(0).getProperties().getReplyTo();
    expect(name.startsWith(REPLY_TO + "."), true, name + " is a name for the replies");
    expect(requests.get(1).getProperties().getReplyTo(), name, "the name, which stays");
    expect(responder.consumerCount(name), 1L, "a passive declare: it waits");
    expect(isReturned(responder, "", name), false, "the reply is returned");
    expect(origin(next(replies, "the reply")), List.of("", name, name), "the reply");
    requester.basicCancel("r");
    refused(connection, 404, "no queue '" + name + "' in vhost '/'", ch -> ch.queueDeclarePassive(name));
    expect(isReturned(responder, "", name), false, "a reply that comes too late is returned");
    refused(connection, 406, "fast reply consumer does not exist",
        ch -> ch.basicPublish("", queue, with().replyTo(REPLY_TO).build(), new byte[0]));
    refused(connection, 406, "reply consumer already set", ch -> {
      consume(ch, REPLY_TO, true);
      consume(ch, REPLY_TO, true);
    });
    refused(connection, 406, "reply consumer cannot acknowledge", ch -> consume(ch, REPLY_TO, false));
  }

  private static void ccBcc(Connection connection, Channel channel) throws Exception {
    String to = temporary(channel);
    String cc = temporary(channel);
    String bcc = temporary(channel);
    List<String> copies = List.of(cc, to, "nowhere");
    publish(channel, "", to, with("CC", copies, "BCC", List.of(bcc, cc), "own", 1).build(), bytes("news"));
    for (String queue : List.of(to, cc, bcc)) {
      GetResponse got = channel.basicGet(queue, true);
      expect(List.of(got.getEnvelope().getExchange(), got.getEnvelope().getRoutingKey(), got.getMessageCount()),
          List.of("", to, 0), "one copy with the first key");
      expect(headers(got.getProps()), table("CC", copies, "own", 1), "its headers");
    }
    List<String> returned = new ArrayList<>();
    channel.addReturnListener(back -> returned.add(back.getRoutingKey()));
    channel.basicPublish("", "nowhere", true, with("CC", List.of(cc)).build(), new byte[0]);
    channel.waitForConfirmsOrDie(TimeUnit.SECONDS.toMillis(DEADLINE));
    expect(returned, List.of(), "returns of a message whose CC has a route");
    for (String header : List.of("CC", "BCC")) {
      refused(connection, 406, "invalid message: {unacceptable_type_in_header,\"" + header + "\",longstr}",
          ch -> ch.basicPublish("", to, with(header, cc).build(), new byte[0]));
    }
  }

  private static void userId(Connection connection, Channel channel) throws Exception {
    String user = factory().getUsername();
    String queue = temporary(channel);
    publish(channel, "", queue, with().userId(user).build(), new byte[0]);
    expect(channel.basicGet(queue, true).getProps().getUserId(), user, "the user that published");
    refused(connection, 406, "user_id property set to 'bob' but authenticated user was '" + user + "'",
        ch -> ch.basicPublish("", queue, with().userId("bob").build(), new byte[0]));
  }

  private static void alternateExchange(Connection connection, Channel channel) throws Exception {
    String main = name("main");
    String spare = name("spare");
    String known = temporary(channel);
    String unknown = temporary(channel);
    channel.exchangeDeclare(main, "direct", false, false, table("alternate-exchange", spare));
    channel.queueBind(known, main, "known");
    expect(List.of(isReturned(channel, main, "known"), isReturned(channel, main, "unknown")), List.of(false, true),
        "returns while the alternate exchange is missing");
    channel.exchangeDeclare(spare, "fanout");
    channel.queueBind(unknown, spare, "");
    expect(List.of(isReturned(channel, main, "known"), isReturned(channel, main, "unknown")), List.of(false, false),
        "returns once it is there");
    expect(drain(channel, known), List.of("known", "known"), "what has a route");
    expect(origin(take(channel, unknown, 1).get(0)), List.of(main, "unknown", "unknown"), "what has none");
    expect(drain(channel, unknown), List.of(), "nothing else");
    refused(connection, 406, "inequivalent arg 'alternate-exchange' for exchange '" + main
            + "' in vhost '/': received 'other' but current is '" + spare + "'",
        ch -> ch.exchangeDeclare(main, "direct", false, false, table("alternate-exchange", "other")));
    channel.exchangeDelete(main);
    channel.exchangeDelete(spare);
  }

  // Exchange types

  private static List<String> threeQueues(Channel channel) throws Exception {
    return List.of(temporary(channel), temporary(channel), temporary(channel));
  }

  /** Publishes by these keys; returns which of the queues got each, once each went to one queue. */
  private static List<Integer> spread(Channel channel, String exchange, List<String> queues, List<String> keys,
      AMQP.BasicProperties properties) throws Exception {
    for (String key : keys) {
      channel.basicPublish(exchange, key, properties, bytes(key));
    }
    channel.waitForConfirmsOrDie(TimeUnit.SECONDS.toMillis(DEADLINE));
    Map<String, Integer> places = new HashMap<>();
    for (int place = 0; place < queues.size(); place++) {
      for (String key : drain(channel, queues.get(place))) {
        expect(places.put(key, place), null, "the first queue of " + key);
      }
    }
    expect(places.size(), keys.size(), "messages that went to a queue");
    return keys.stream().map(places::get).collect(Collectors.toList());
  }

  private static void modulusHash(Channel channel) throws Exception {
    String exchange = name("exchange");
    List<String> queues = threeQueues(channel);
    List<String> keys = series("key ", 0, 60);
    channel.exchangeDeclare(exchange, "x-modulus-hash");
    for (String queue : queues) {
      channel.queueBind(queue, exchange, "ignored");
    }
    List<Integer> places = spread(channel, exchange, queues, keys, null);
    expect(new HashSet<>(places), Set.of(0, 1, 2), "queues that get something");
    expect(spread(channel, exchange, queues, keys, null), places, "where the same keys go again");
    channel.exchangeDelete(exchange);
  }

  private static void consistentHash(Connection connection, Channel channel) throws Exception {
    String exchange = name("by-key");
    String byHeader = name("by-header");
    List<String> queues = threeQueues(channel);
    List<String> keys = series("key ", 0, 300);
    List<String> weights = List.of("1", "1", "4");
    channel.exchangeDeclare(exchange, "x-consistent-hash");
    channel.exchangeDeclare(byHeader, "x-consistent-hash", false, false, table("hash-header", "h"));
    for (int n = 0; n < 3; n++) {
      channel.queueBind(queues.get(n), exchange, weights.get(n));
      channel.queueBind(queues.get(n), byHeader, "1");
    }
    List<Integer> places = spread(channel, exchange, queues, keys, null);
    expect(spread(channel, exchange, queues, keys, null), places, "where the same keys go again");
    long heavy = places.stream().filter(place -> place == 2).count();
    expect(heavy > 150 && heavy < 270, true, heavy + " of 300 is the share of 4 in 6");
    channel.queueUnbind(queues.get(0), exchange, "1");
    places = spread(channel, exchange, queues, keys, null);
    expect(new HashSet<>(places), Set.of(1, 2), "queues that get something once one was unbound");
    places = spread(channel, byHeader, queues, keys.subList(0, 50), with("h", "same").build());
    expect(new HashSet<>(places).size(), 1, "queues for one value of the header");
    refused(connection, 406, "The binding key must be an integer: <<\"abc\">>",
        ch -> ch.queueBind(queues.get(0), exchange, "abc"));
    refused(connection, 406, "The binding key must be greater than 0",
        ch -> ch.queueBind(queues.get(0), exchange, "0"));
    channel.exchangeDelete(exchange);
    channel.exchangeDelete(byHeader);
  }

  private static void random(Channel channel) throws Exception {
    for (String type : List.of("x-random", "x-local-random")) {
      List<String> queues = threeQueues(channel);
      channel.exchangeDeclare(name(type), type);
      for (String queue : queues) {
        channel.queueBind(queue, name(type), "");
      }
      List<Integer> places = spread(channel, name(type), queues, series("", 0, 90), null);
      expect(new HashSet<>(places), Set.of(0, 1, 2), "queues that get something");
      channel.exchangeDelete(name(type));
    }
  }

  private static void recentHistory(Connection connection, Channel channel) throws Exception {
    String exchange = name("history");
    String length = "x-recent-history-length";
    channel.exchangeDeclare(exchange, "x-recent-history", false, false, table(length, 3));
    for (String body : series("m", 0, 5)) {
      publish(channel, exchange, "k", body);
    }
    publish(channel, exchange, "k", with("x-recent-history-no-store", true).build(), bytes("secret"));
    String late = temporary(channel);
    channel.queueBind(late, exchange, "");
    expect(bodies(take(channel, late, 3)), "m2 m3 m4", "what a queue that comes late gets");
    publish(channel, exchange, "k", "live");
    expect(drain(channel, late), List.of("live"), "what it gets then");
    refused(connection, 406, "Invalid argument 0, '" + length + "' must be a positive integer",
        ch -> ch.exchangeDeclare(name("bad"), "x-recent-history", false, false, table(length, 0)));
    channel.exchangeDelete(exchange);
  }

  // What RabbitMQ 4.3 has not

  private static void delayedMessage(Connection connection, Channel channel) throws Exception {
    String exchange = name("delayed");
    channel.exchangeDeclare(exchange, "x-delayed-message", true, false, table("x-delayed-type", "topic"));
    String queue = temporary(channel);
    channel.queueBind(queue, exchange, "a.*");
    long started = System.nanoTime();
    for (int delay : new int[] {600, 300, 0}) {
      publish(channel, exchange, "a.b", with("x-delay", delay).deliveryMode(2).build(), bytes("after " + delay));
    }
    publish(channel, exchange, "other", with("x-delay", 100).build(), bytes("no route"));
    expect(drain(channel, queue), List.of("after 0"), "what does not wait");
    for (int delay : new int[] {300, 600}) {
      Delivery got = take(channel, queue, 1).get(0);
      expect(System.nanoTime() - started >= TimeUnit.MILLISECONDS.toNanos(delay), true, "it came in time, not early");
      expect(origin(got), List.of(exchange, "a.b", "after " + delay), "what waited");
      expect(headers(got.getProperties()), table("x-delay", -delay), "its headers");
    }
    refused(connection, 406, "Invalid argument, 'x-delayed-type' must be an existing exchange type",
        ch -> ch.exchangeDeclare(name("bad"), "x-delayed-message"));
    channel.exchangeDelete(exchange);
  }

  private static void deduplication(Channel channel) throws Exception {
    String exchange = name("once");
    channel.exchangeDeclare(exchange, "x-message-deduplication", false, false, table("x-cache-size", 10));
    String behind = temporary(channel);
    String alone = temporary(channel, "x-message-deduplication", true);
    channel.queueBind(behind, exchange, "");
    int n = 0;
    for (String value : Arrays.asList("a", "b", "a", null, null)) {
      AMQP.BasicProperties properties = value == null ? null : with("x-deduplication-header", value).build();
      byte[] body = bytes("m" + ++n);
      publish(channel, exchange, "", properties, body);
      publish(channel, "", alone, properties, body);
    }
    for (String queue : List.of(behind, alone)) {
      expect(drain(channel, queue), List.of("m1", "m2", "m4", "m5"), "what passed");
    }
    AMQP.BasicProperties again = with("x-deduplication-header", "a").build();
    publish(channel, exchange, "", again, bytes("again"));
    publish(channel, "", alone, again, bytes("again"));
    expect(drain(channel, behind), List.of(), "what the exchange passes on of a value that it has seen");
    expect(drain(channel, alone), List.of("again"), "what the queue takes of a value that it no longer holds");
    channel.exchangeDelete(exchange);
  }

  private static void retryDelay(Channel channel) throws Exception {
    String queue = temporary(channel, "x-retry-delay", 200, "x-retry-delay-max", 300);
    publish(channel, "", queue, "fails");
    publish(channel, "", queue, "next");
    channel.basicQos(1);
    BlockingQueue<Delivery> deliveries = consume(channel, queue, false);
    long failed = System.nanoTime();
    for (int delay : new int[] {0, -1, 200, 300}) {
      Delivery got = next(deliveries, "a message");
      expect(bodies(List.of(got)), delay < 0 ? "next" : delay == 0 ? "fails" : "fails*", "the message");
      expect(System.nanoTime() - failed >= TimeUnit.MILLISECONDS.toNanos(delay), true, "it waited " + delay + " ms");
      if (delay < 0) {
        channel.basicAck(tag(got), false);
      } else {
        failed = System.nanoTime();
        channel.basicNack(tag(got), false, true);
      }
    }
  }
}
