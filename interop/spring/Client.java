import com.rabbitmq.client.Channel;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.aopalliance.aop.Advice;
import org.springframework.amqp.AmqpException;
import org.springframework.amqp.AmqpIOException;
import org.springframework.amqp.AmqpRejectAndDontRequeueException;
import org.springframework.amqp.ImmediateRequeueAmqpException;
import org.springframework.amqp.core.Binding;
import org.springframework.amqp.core.BindingBuilder;
import org.springframework.amqp.core.Declarables;
import org.springframework.amqp.core.DirectExchange;
import org.springframework.amqp.core.ExchangeBuilder;
import org.springframework.amqp.core.FanoutExchange;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.core.QueueBuilder;
import org.springframework.amqp.core.TopicExchange;
import org.springframework.amqp.rabbit.AsyncRabbitTemplate;
import org.springframework.amqp.rabbit.annotation.Exchange;
import org.springframework.amqp.rabbit.annotation.QueueBinding;
import org.springframework.amqp.rabbit.annotation.RabbitListener;
import org.springframework.amqp.rabbit.config.RetryInterceptorBuilder;
import org.springframework.amqp.rabbit.config.SimpleRabbitListenerContainerFactory;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;
import org.springframework.amqp.rabbit.connection.CorrelationData;
import org.springframework.amqp.rabbit.core.RabbitAdmin;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.amqp.rabbit.listener.SimpleMessageListenerContainer;
import org.springframework.amqp.rabbit.retry.RejectAndDontRequeueRecoverer;
import org.springframework.amqp.rabbit.retry.RepublishMessageRecoverer;
import org.springframework.context.annotation.AnnotationConfigApplicationContext;

/** Spring AMQP through the interop scenarios: {@code Client --uri URI [--id ID] SCENARIO}. */
public final class Client {
  static final int DEADLINE = 30;
  private static final int LIMIT = 110;

  private static String id = Long.toString(ProcessHandle.current().pid());
  private static String scenario = "";

  /** What the listeners heard. */
  private static final BlockingQueue<Object> HEARD = new LinkedBlockingQueue<>();

  public static void main(String[] args) {
    for (int at = 0; at < args.length; at++) {
      switch (args[at]) {
        case "--uri": Application.uri = args[++at]; break;
        case "--id": id = args[++at]; break;
        case "--broker-pid": ++at; break;
        default: scenario = args[at];
      }
    }
    Thread watchdog = new Thread(() -> {
      try {
        TimeUnit.SECONDS.sleep(LIMIT);
      } catch (InterruptedException stopped) {
        return;
      }
      System.err.println("spring " + scenario + ": still running after " + LIMIT + " s");
      Runtime.getRuntime().halt(1);
    });
    watchdog.setDaemon(true);
    watchdog.start();
    try {
      run();
    } catch (Throwable error) {
      error.printStackTrace();
      Runtime.getRuntime().halt(1);
    }
    Runtime.getRuntime().halt(0);
  }

  private static void run() throws Exception {
    switch (scenario) {
      case "tasks": tasks(); break;
      case "retries": retries(); break;
      case "given-up": givenUp(); break;
      case "fanout": fanout(); break;
      case "request-reply": requestReply(); break;
      case "publisher-confirms": publisherConfirms(); break;
      case "queue-options": queueOptions(); break;
      case "transactions": transactions(); break;
      case "reconnect": reconnect(); break;
      case "delayed-message": delayedMessage(); break;
      default: throw new AssertionError("no such scenario");
    }
  }

  // What the scenarios share

  private static void expect(Object seen, Object wanted, String what) {
    if (!Objects.equals(seen, wanted)) {
      throw new AssertionError(what + ": expected " + wanted + ", got " + seen);
    }
  }

  private static Object hear(String what) throws InterruptedException {
    Object heard = HEARD.poll(DEADLINE, TimeUnit.SECONDS);
    if (heard == null) {
      throw new AssertionError("waited " + DEADLINE + " s for " + what);
    }
    return heard;
  }

  private static List<Object> hear(int count, String what) throws InterruptedException {
    List<Object> heard = new ArrayList<>();
    while (heard.size() < count) {
      heard.add(hear(what));
    }
    return heard;
  }

  /** Gives each thing of this run a name of its own. */
  private static String name(String what) {
    return "interop.spring." + scenario + "." + id + "." + what;
  }

  private static String text(Message message) {
    return new String(message.getBody());
  }

  /** A running application with these queues and exchanges and listeners, all deleted in the end. */
  private static final class Program implements AutoCloseable {
    final AnnotationConfigApplicationContext context = new AnnotationConfigApplicationContext();
    final RabbitTemplate template;
    final RabbitAdmin admin;
    private final Declarables declared;

    Program(Declarables declared, Class<?>... components) {
      this.declared = declared;
      context.register(Application.class);
      context.registerBean(Declarables.class, () -> declared);
      if (components.length > 0) {
        context.register(components);
      }
      context.refresh();
      template = context.getBean(RabbitTemplate.class);
      admin = context.getBean(RabbitAdmin.class);
      admin.initialize();
    }

    /** The next message of a queue. */
    Message receive(String queue) {
      Message message = template.receive(queue, DEADLINE * 1000L);
      expect(message == null, false, "no message in " + queue);
      return message;
    }

    @Override
    public void close() {
      context.stop(); // the listeners
      declared.getDeclarablesByType(Queue.class).forEach(queue -> admin.deleteQueue(queue.getActualName()));
      declared.getDeclarablesByType(org.springframework.amqp.core.Exchange.class)
          .forEach(exchange -> admin.deleteExchange(exchange.getName()));
      context.close();
    }
  }

  /** A durable queue whose name listeners find under a property, with letters to another one. */
  private static QueueBuilder queue(String what) {
    System.setProperty(what, name(what));
    return QueueBuilder.durable(name(what));
  }

  private static Declarables tasksWithLetters() {
    Queue tasks = queue("tasks").deadLetterExchange("").deadLetterRoutingKey(name("letters")).build();
    return new Declarables(tasks, queue("letters").build());
  }

  private static Map<?, ?> death(Message letter) {
    return (Map<?, ?>) ((List<?>) letter.getMessageProperties().getHeader("x-death")).get(0);
  }

  // The scenarios

  /** Says in which thread it ran, and meets another one there. */
  public static class Workers {
    private final Set<String> present = ConcurrentHashMap.newKeySet();
    private final CompletableFuture<Void> both = new CompletableFuture<>();

    @RabbitListener(queues = "${tasks}", concurrency = "2")
    public void work(String task) throws Exception {
      present.add(Thread.currentThread().getName());
      if (present.size() == 2) {
        both.complete(null);
      }
      both.get(DEADLINE, TimeUnit.SECONDS);
      HEARD.add(task);
    }
  }

  private static void tasks() throws Exception {
    try (Program program = new Program(new Declarables(queue("tasks").build()), Workers.class)) {
      Set<Object> wanted = IntStream.range(0, 20).mapToObj(n -> "task " + n).collect(Collectors.toSet());
      wanted.forEach(task -> program.template.convertAndSend(name("tasks"), task));
      expect(new HashSet<>(hear(20, "the tasks")), wanted, "tasks done");
      expect(HEARD.size(), 0, "tasks done twice");
    }
  }

  /** Fails with what is impossible, and with what is hard at first. */
  public static class Stubborn {
    private int failures;

    @RabbitListener(queues = "${tasks}")
    public void work(Message task) {
      HEARD.add(text(task) + (task.getMessageProperties().isRedelivered() ? "*" : ""));
      if (text(task).equals("impossible") || failures++ < 2) {
        throw new IllegalStateException("it did not work");
      }
    }
  }

  /** Retries inside the listener, and by giving messages back to the broker; then a dead letter. */
  private static void retries() throws Exception {
    List<Advice> advices = List.of(
        RetryInterceptorBuilder.stateless().maxRetries(2).backOffOptions(50, 2.0, 1000)
            .recoverer(new RejectAndDontRequeueRecoverer()).build(),
        RetryInterceptorBuilder.stateful().maxRetries(2).backOffOptions(50, 2.0, 1000)
            .recoverer(new RejectAndDontRequeueRecoverer()).build());
    List<String> again = List.of("", "*");
    for (int way = 0; way < 2; way++) {
      String star = again.get(way);
      try (Program program = new Program(tasksWithLetters())) {
        program.context.getBean(SimpleRabbitListenerContainerFactory.class).setAdviceChain(advices.get(way));
        program.context.registerBean(Stubborn.class, Stubborn::new);
        program.context.getBean(Stubborn.class);
        for (String task : List.of("hard", "impossible")) {
          program.template.convertAndSend("", name("tasks"), task, message -> {
            message.getMessageProperties().setMessageId(task); // by which a stateful retry knows its message
            return message;
          });
        }
        expect(hear(6, "the attempts"), List.of("hard", "hard" + star, "hard" + star,
            "impossible", "impossible" + star, "impossible" + star), "attempts");
        Message letter = program.receive(name("letters"));
        expect(text(letter), "impossible", "the letter");
        expect(death(letter).get("reason"), "rejected", "its death");
        expect(program.admin.getQueueInfo(name("tasks")).getMessageCount(), 0L, "messages left");
      }
    }
  }

  /** Gives back what comes first, and refuses what comes again. */
  public static class Refusing {
    @RabbitListener(queues = "${tasks}")
    public void work(Message task) {
      HEARD.add(task.getMessageProperties().isRedelivered());
      if (!task.getMessageProperties().isRedelivered()) {
        throw new ImmediateRequeueAmqpException("once more");
      }
      throw new AmqpRejectAndDontRequeueException("never again");
    }
  }

  private static void givenUp() throws Exception {
    try (Program program = new Program(tasksWithLetters(), Refusing.class)) {
      program.template.convertAndSend(name("tasks"), "refused");
      expect(hear(2, "the deliveries"), List.of(false, true), "redelivered flags");
      Message letter = program.receive(name("letters"));
      expect(List.of(text(letter), death(letter).get("reason"), death(letter).get("queue")),
          List.of("refused", "rejected", name("tasks")), "the letter");
      // Another way: publish it again with the reason in its headers.
      new RepublishMessageRecoverer(program.template, "", name("letters"))
          .recover(letter, new IllegalStateException("it did not work"));
      Message again = program.receive(name("letters"));
      expect(again.getMessageProperties().getHeader("x-exception-message"), "it did not work", "why it came again");
      expect(death(again).get("reason"), "rejected", "the death that it keeps");
    }
  }

  /** Subscribers with queues of their own, declared by annotations. */
  public static class Subscribers {
    @RabbitListener(bindings = @QueueBinding(value = @org.springframework.amqp.rabbit.annotation.Queue,
        exchange = @Exchange(value = "${logs}", type = "fanout")))
    public void all(String line) {
      HEARD.add("all " + line);
    }

    @RabbitListener(bindings = @QueueBinding(value = @org.springframework.amqp.rabbit.annotation.Queue,
        exchange = @Exchange(value = "${topics}", type = "topic"), key = {"*.error", "disk.#"}))
    public void some(String line) {
      HEARD.add("some " + line);
    }
  }

  private static void fanout() throws Exception {
    System.setProperty("logs", name("logs"));
    System.setProperty("topics", name("topics"));
    Declarables exchanges = new Declarables(new FanoutExchange(name("logs")), new TopicExchange(name("topics")));
    try (Program program = new Program(exchanges, Subscribers.class)) {
      program.template.convertAndSend(name("logs"), "", "line");
      expect(hear("the line"), "all line", "what the fanout exchange hands on");
      for (String key : List.of("net.info", "net.error", "disk.info.old", "disk")) {
        program.template.convertAndSend(name("topics"), key, key);
      }
      Set<String> wanted = Set.of("some net.error", "some disk.info.old", "some disk");
      expect(new HashSet<>(hear(3, "the lines")), wanted, "what the topic exchange hands on");
    }
  }

  /** Answers in capitals. */
  public static class Server {
    @RabbitListener(queues = "${calls}")
    public String answer(String question) {
      return question.toUpperCase();
    }
  }

  /** By direct reply-to, by a queue for each call, and with futures. */
  private static void requestReply() throws Exception {
    try (Program program = new Program(new Declarables(queue("calls").build()), Server.class)) {
      for (int n = 0; n < 5; n++) {
        expect(program.template.convertSendAndReceive(name("calls"), "direct " + n), "DIRECT " + n, "answer");
      }
      RabbitTemplate slow = new RabbitTemplate(program.template.getConnectionFactory());
      slow.setUseTemporaryReplyQueues(true);
      slow.setReplyTimeout(DEADLINE * 1000L);
      expect(slow.convertSendAndReceive(name("calls"), "by queue"), "BY QUEUE", "answer by a temporary queue");
      AsyncRabbitTemplate async = new AsyncRabbitTemplate(program.template);
      async.start();
      List<CompletableFuture<Object>> futures = new ArrayList<>();
      for (int n = 0; n < 10; n++) {
        futures.add(async.convertSendAndReceive(name("calls"), "later " + n));
      }
      for (int n = 0; n < 10; n++) {
        expect(futures.get(n).get(DEADLINE, TimeUnit.SECONDS), "LATER " + n, "answer of a future");
      }
      async.stop();
    }
  }

  /** An ack, a return before its ack, and a refusal, as CorrelationData shows them. */
  private static void publisherConfirms() throws Exception {
    Queue full = queue("full").maxLength(1).overflow(QueueBuilder.Overflow.rejectPublish).build();
    try (Program program = new Program(new Declarables(full))) {
      List<String> keys = List.of(name("full"), name("full"), name("missing"));
      List<Boolean> acks = List.of(true, false, true);
      for (int n = 0; n < 3; n++) {
        CorrelationData correlation = new CorrelationData("publish " + n);
        program.template.convertAndSend("", keys.get(n), "text", correlation);
        expect(correlation.getFuture().get(DEADLINE, TimeUnit.SECONDS).ack(), acks.get(n), "ack of publish " + n);
        expect(correlation.getReturned() == null, n < 2, "publish " + n + " came back");
        if (n == 2) {
          expect(List.of(correlation.getReturned().getReplyCode(), correlation.getReturned().getReplyText()),
              List.of(312, "NO_ROUTE"), "the return");
        }
      }
      expect(program.admin.getQueueInfo(name("full")).getMessageCount(), 1L, "messages that were taken");
    }
  }

  /** What the builders declare, seen by its effect; and a redeclare that differs. */
  private static void queueOptions() throws Exception {
    DirectExchange spare = ExchangeBuilder.directExchange(name("spare")).build();
    DirectExchange main = ExchangeBuilder.directExchange(name("main")).alternate(name("spare")).build();
    Queue letters = queue("letters").build();
    Queue brief = queue("brief").ttl(50).deadLetterExchange("").deadLetterRoutingKey(letters.getName()).build();
    Queue ranked = queue("ranked").maxPriority(9).singleActiveConsumer().build();
    Queue poison = queue("poison").quorum().deliveryLimit(1).deadLetterExchange("")
        .deadLetterRoutingKey(letters.getName()).build();
    Binding unknown = BindingBuilder.bind(letters).to(spare).with("unknown");
    Declarables declared = new Declarables(spare, main, letters, brief, ranked, poison, unknown);
    try (Program program = new Program(declared)) {
      program.template.convertAndSend(brief.getName(), "late");
      expect(death(program.receive(letters.getName())).get("reason"), "expired", "the death of what is late");
      for (int priority : new int[] {1, 9, 5}) {
        program.template.convertAndSend("", ranked.getName(), "" + priority, message -> {
          message.getMessageProperties().setPriority(priority);
          return message;
        });
      }
      while (program.admin.getQueueInfo(ranked.getName()).getMessageCount() < 3) {
        TimeUnit.MILLISECONDS.sleep(10); // Spring asks by another channel than it sends by
      }
      String order = text(program.receive(ranked.getName())) + text(program.receive(ranked.getName()));
      expect(order, "95", "messages by priority");
      program.template.convertAndSend(main.getName(), "unknown", "no route");
      expect(text(program.receive(letters.getName())), "no route", "by the alternate exchange");
      program.template.convertAndSend(poison.getName(), "poison");
      for (int n = 0; n < 2; n++) {
        program.template.execute(channel -> {
          channel.basicReject(untilThere(channel, poison.getName()), true);
          return null;
        });
      }
      expect(death(program.receive(letters.getName())).get("reason"), "delivery_limit", "the death of poison");
      expect(program.admin.purgeQueue(ranked.getName()), 1, "messages purged");
      try {
        program.admin.declareQueue(QueueBuilder.durable(ranked.getName()).maxPriority(5).build());
        throw new AssertionError("a queue was declared with another argument");
      } catch (AmqpIOException refused) {
        String reason = refused.getCause().getCause().getMessage();
        expect(reason.contains("inequivalent arg 'x-max-priority'"), true, reason + " tells what differs");
      }
      expect(program.admin.getQueueProperties(name("missing")), null, "properties of a queue that is not there");
    }
  }

  /** The delivery tag of the next message, to be settled. */
  private static long untilThere(Channel channel, String queue) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE);
    while (System.nanoTime() < end) {
      var got = channel.basicGet(queue, false);
      if (got != null) {
        return got.getEnvelope().getDeliveryTag();
      }
    }
    throw new AssertionError("no message in " + queue);
  }

  /** Publishes in the transaction of its delivery, and fails the first time. */
  private static void transactions() throws Exception {
    try (Program program = new Program(new Declarables(queue("in").build(), queue("out").build()))) {
      CachingConnectionFactory confirming = program.context.getBean(CachingConnectionFactory.class);
      CachingConnectionFactory plain = new CachingConnectionFactory(confirming.getRabbitConnectionFactory());
      RabbitTemplate template = new RabbitTemplate(plain);
      template.setChannelTransacted(true);
      SimpleMessageListenerContainer container = new SimpleMessageListenerContainer(plain);
      container.setQueueNames(name("in"));
      container.setChannelTransacted(true);
      container.setReceiveTimeout(100);
      container.setMessageListener(message -> {
        boolean again = message.getMessageProperties().isRedelivered();
        template.convertAndSend(name("out"), again ? "second" : "first");
        HEARD.add(again);
        if (!again) {
          throw new IllegalStateException("after the publish");
        }
      });
      container.start();
      program.template.convertAndSend(name("in"), "work");
      expect(hear(2, "the deliveries"), List.of(false, true), "redelivered flags");
      expect(text(program.receive(name("out"))), "second", "what was published");
      container.stop();
      expect(program.template.receive(name("out")), null, "what was rolled back");
      expect(program.admin.getQueueInfo(name("in")).getMessageCount(), 0L, "messages left");
      plain.destroy();
    }
  }

  /** Repeats what it hears. */
  public static class Listener {
    @RabbitListener(queues = "${passing}")
    public void work(String task) {
      HEARD.add(task);
    }
  }

  /** A listener on an auto-delete queue comes back after its line was cut, and so does the queue. */
  private static void reconnect() throws Exception {
    Line line = new Line(Application.uri);
    Application.uri = line.uri();
    queue("passing");
    Queue passing = QueueBuilder.nonDurable(name("passing")).exclusive().autoDelete().build();
    try (Program program = new Program(new Declarables(passing), Listener.class)) {
      program.template.convertAndSend(name("passing"), "before");
      expect(hear("the first task"), "before", "the task");
      expect(line.cut() >= 1, true, "Spring holds a connection");
      long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(DEADLINE);
      // Until the queue is there again, a message comes back instead.
      for (Object heard = null; !"after".equals(heard); heard = HEARD.poll(100, TimeUnit.MILLISECONDS)) {
        expect(System.nanoTime() < end, true, "the listener came back in time");
        try {
          program.template.convertAndSend(name("passing"), "after");
        } catch (AmqpException stillCut) {
          TimeUnit.MILLISECONDS.sleep(50);
        }
      }
    }
  }

  /** Spring's own support of x-delayed-message, which Lepus has. */
  private static void delayedMessage() throws Exception {
    DirectExchange delayed = ExchangeBuilder.directExchange(name("delayed")).delayed().build();
    Queue queue = queue("tasks").build();
    Binding binding = BindingBuilder.bind(queue).to(delayed).with("k");
    try (Program program = new Program(new Declarables(delayed, queue, binding))) {
      long started = System.nanoTime();
      program.template.setMandatory(false); // what waits has no route yet
      for (long delay : new long[] {600, 300, 0}) {
        program.template.convertAndSend(delayed.getName(), "k", "after " + delay, message -> {
          message.getMessageProperties().setDelayLong(delay);
          return message;
        });
      }
      for (long delay : new long[] {0, 300, 600}) {
        Message message = program.receive(queue.getName());
        expect(text(message), "after " + delay, "the message that is due");
        expect(System.nanoTime() - started >= TimeUnit.MILLISECONDS.toNanos(delay), true, "it did not come early");
        expect(message.getMessageProperties().getReceivedDelayLong() == null
            ? 0 : Math.abs(message.getMessageProperties().getReceivedDelayLong()), delay, "the delay that it tells");
      }
    }
  }
}
