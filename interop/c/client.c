/*
 * rabbitmq-c, the C client (Debian: librabbitmq-dev), through the interop scenarios:
 *     client --uri URI [--id ID] [--clean] SCENARIO
 *
 * The library is blocking and has no threads, and so has this program. What it allocates lives as long as it does.
 */
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DEADLINE = 30, LIMIT = 110, LARGE = 10 * 1024 * 1024 };

/* Body sizes around the largest payload of one frame (frame-max 131072 less 8), and the large body. */
static const size_t SIZES[] = {0, 1, 131063, 131064, 131065, 262128, LARGE};
enum { SIZE_COUNT = sizeof SIZES / sizeof *SIZES };

static const char *uri, *id, *scenario = "";
static bool clean;

typedef amqp_connection_state_t Connection;

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
static char *print(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  fprintf(stderr, "c %s: ", scenario);
  vfprintf(stderr, format, args);
  fputc('\n', stderr);
  exit(1);
}

static char *print(const char *format, ...) {
  char *text;
  va_list args;
  va_start(args, format);
  if (vasprintf(&text, format, args) < 0) abort();
  return text;
}

static void out_of_time(int signal_number) {
  (void)signal_number;
  static const char text[] = "c: still running at the limit\n";
  if (write(2, text, sizeof text - 1) < 0) _exit(2);
  _exit(1);
}

static void expect_number(long seen, long wanted, const char *what) {
  if (seen != wanted) fail("%s: expected %ld, got %ld", what, wanted, seen);
}

static void expect_text(const char *seen, const char *wanted, const char *what) {
  if (strcmp(seen, wanted)) fail("%s: expected '%.400s', got '%.400s'", what, wanted, seen);
}

static char *name(const char *what) {
  const char *phase = strstr(scenario, "-before") ?: strstr(scenario, "-after");
  int length = phase ? (int)(phase - scenario) : (int)strlen(scenario);
  return print("interop.c.%.*s.%s.%s", length, scenario, id, what);
}

static amqp_bytes_t bytes(const char *text) { return amqp_cstring_bytes(text); }

static char *text_of(amqp_bytes_t value) { return print("%.*s", (int)value.len, (char *)value.bytes); }

/* Fails unless a call went well. */
static void check(amqp_rpc_reply_t reply, const char *what) {
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return;
  if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
    fail("%s: %s", what, amqp_error_string2(reply.library_error));
  if (reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
    amqp_channel_close_t *close = reply.reply.decoded;
    fail("%s: channel closed: %d %s", what, close->reply_code, text_of(close->reply_text));
  }
  amqp_connection_close_t *close = reply.reply.decoded;
  fail("%s: connection closed: %d %s", what, close->reply_code, text_of(close->reply_text));
}

/* Logs in with what the URI says, or with another password or vhost. */
static amqp_rpc_reply_t log_in(Connection *connection, const char *password, const char *vhost, int heartbeat) {
  struct amqp_connection_info info;
  if (amqp_parse_url(strdup(uri), &info)) fail("bad URI %s", uri);
  *connection = amqp_new_connection();
  struct timeval timeout = {DEADLINE, 0};
  amqp_set_rpc_timeout(*connection, &timeout);
  if (amqp_socket_open(amqp_tcp_socket_new(*connection), info.host, info.port)) fail("can't connect to %s", uri);
  return amqp_login(*connection, vhost ?: info.vhost, AMQP_DEFAULT_MAX_CHANNELS, AMQP_DEFAULT_FRAME_SIZE, heartbeat,
                    AMQP_SASL_METHOD_PLAIN, info.user, password ?: info.password);
}

static void open_channel(Connection c, amqp_channel_t channel) {
  amqp_channel_open(c, channel);
  check(amqp_get_rpc_reply(c), "open a channel");
}

/* A connection with channel 1 open; the scenarios that need confirms ask for them. */
static Connection dial(bool confirms) {
  Connection c;
  check(log_in(&c, NULL, NULL, 60), "log in");
  open_channel(c, 1);
  if (confirms) {
    amqp_confirm_select(c, 1);
    check(amqp_get_rpc_reply(c), "confirm.select");
  }
  return c;
}

static void close_channel(Connection c, amqp_channel_t channel) {
  check(amqp_channel_close(c, channel, AMQP_REPLY_SUCCESS), "close a channel");
}

static void hang_up(Connection c) {
  check(amqp_connection_close(c, AMQP_REPLY_SUCCESS), "close the connection");
  amqp_destroy_connection(c);
}

static void declare_with(Connection c, const char *queue, amqp_table_t arguments) {
  amqp_queue_declare(c, 1, bytes(queue), 0, 1, 0, 0, arguments);
  check(amqp_get_rpc_reply(c), queue);
}

static void declare(Connection c, const char *queue) { declare_with(c, queue, amqp_empty_table); }

/* Declares an exclusive queue that the server names. */
static char *temporary(Connection c, amqp_channel_t channel) {
  amqp_queue_declare_ok_t *ok = amqp_queue_declare(c, channel, amqp_empty_bytes, 0, 0, 1, 0, amqp_empty_table);
  check(amqp_get_rpc_reply(c), "declare a server-named queue");
  return text_of(ok->queue);
}

static void declare_exchange(Connection c, const char *exchange, const char *type, bool durable) {
  amqp_exchange_declare(c, 1, bytes(exchange), bytes(type), 0, durable, 0, 0, amqp_empty_table);
  check(amqp_get_rpc_reply(c), exchange);
}

static void bind_with(Connection c, const char *queue, const char *exchange, const char *key, amqp_table_t arguments) {
  amqp_queue_bind(c, 1, bytes(queue), bytes(exchange), bytes(key), arguments);
  check(amqp_get_rpc_reply(c), "bind");
}

static void bind_queue(Connection c, const char *queue, const char *exchange, const char *key) {
  bind_with(c, queue, exchange, key, amqp_empty_table);
}

static int ready(Connection c, const char *queue) {
  amqp_queue_declare_ok_t *ok = amqp_queue_declare(c, 1, bytes(queue), 1, 0, 0, 0, amqp_empty_table);
  check(amqp_get_rpc_reply(c), queue);
  return (int)ok->message_count;
}

static void delete_queue(Connection c, const char *queue) {
  amqp_queue_delete(c, 1, bytes(queue), 0, 0);
  check(amqp_get_rpc_reply(c), "delete");
}

static void delete_exchange(Connection c, const char *exchange) {
  amqp_exchange_delete(c, 1, bytes(exchange), 0);
  check(amqp_get_rpc_reply(c), "delete");
}

static amqp_basic_properties_t persistent(void) {
  return (amqp_basic_properties_t){._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 2};
}

static void send_body(Connection c, amqp_channel_t channel, const char *exchange, const char *key, bool mandatory,
                      const amqp_basic_properties_t *properties, amqp_bytes_t body) {
  if (amqp_basic_publish(c, channel, bytes(exchange), bytes(key), mandatory, 0, properties, body))
    fail("publish failed");
}

/* What came back unroutable: "CODE TEXT EXCHANGE KEY BODY". */
static char *returned;

/* Waits until so many publishes of channel 1 are acked. */
static void wait_for_acks(Connection c, uint64_t first, uint64_t last) {
  bool open[1024] = {false};
  uint64_t left = last - first + 1;
  memset(open, true, left);
  while (left) {
    struct timeval timeout = {DEADLINE, 0};
    amqp_frame_t frame;
    amqp_maybe_release_buffers(c);
    int status = amqp_simple_wait_frame_noblock(c, &frame, &timeout);
    if (status) fail("waiting for %lu confirms: %s", (unsigned long)left, amqp_error_string2(status));
    if (frame.frame_type != AMQP_FRAME_METHOD) continue;
    if (frame.payload.method.id == AMQP_BASIC_RETURN_METHOD) {
      amqp_basic_return_t *r = frame.payload.method.decoded;
      char *origin = print("%d %s %s %s", r->reply_code, text_of(r->reply_text), text_of(r->exchange),
                           text_of(r->routing_key));
      amqp_message_t message;
      check(amqp_read_message(c, 1, &message, 0), "read the returned message");
      returned = print("%s %s", origin, text_of(message.body));
      if (!open[last - first]) fail("the return came after the ack");
    } else if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
      amqp_basic_ack_t *ack = frame.payload.method.decoded;
      if (ack->delivery_tag < first || ack->delivery_tag > last || !open[ack->delivery_tag - first])
        fail("tag %lu was acked, but is not open", (unsigned long)ack->delivery_tag);
      for (uint64_t tag = ack->multiple ? first : ack->delivery_tag; tag <= ack->delivery_tag; tag++) {
        left -= open[tag - first];
        open[tag - first] = false;
      }
    } else {
      fail("method %08x where an ack is due", frame.payload.method.id);
    }
  }
}

static uint64_t published;

/* Publishes on channel 1 in confirm mode and waits for the ack. */
static void publish(Connection c, const char *exchange, const char *key, const amqp_basic_properties_t *properties,
                    amqp_bytes_t body) {
  send_body(c, 1, exchange, key, false, properties, body);
  published++;
  wait_for_acks(c, published, published);
}

/* What was got or delivered last. */
static struct {
  uint64_t tag;
  bool redelivered;
  amqp_message_t message;
  char *exchange, *key;
} last;

/* Gets a message into `last`; returns false if there is none. */
static bool get(Connection c, const char *queue, bool no_ack) {
  amqp_maybe_release_buffers(c);
  amqp_rpc_reply_t reply = amqp_basic_get(c, 1, bytes(queue), no_ack);
  check(reply, "get");
  if (reply.reply.id == AMQP_BASIC_GET_EMPTY_METHOD) return false;
  amqp_basic_get_ok_t *ok = reply.reply.decoded;
  last.tag = ok->delivery_tag;
  last.redelivered = ok->redelivered;
  check(amqp_read_message(c, 1, &last.message, 0), "read a message");
  return true;
}

/* All ready messages of a queue, each with a | behind it. */
static char *drain(Connection c, const char *queue) {
  char *bodies = "";
  while (get(c, queue, true)) bodies = print("%s%s|", bodies, text_of(last.message.body));
  return bodies;
}

static void consume(Connection c, amqp_channel_t channel, const char *queue, bool no_ack) {
  amqp_basic_consume(c, channel, bytes(queue), amqp_empty_bytes, 0, no_ack, 0, amqp_empty_table);
  check(amqp_get_rpc_reply(c), "consume");
}

/* Waits for a delivery, and puts it into `last`. */
static void next(Connection c) {
  struct timeval timeout = {DEADLINE, 0};
  amqp_envelope_t envelope;
  amqp_maybe_release_buffers(c);
  check(amqp_consume_message(c, &envelope, &timeout, 0), "wait for a message");
  last.tag = envelope.delivery_tag;
  last.redelivered = envelope.redelivered;
  last.message = envelope.message;
  last.exchange = text_of(envelope.exchange);
  last.key = text_of(envelope.routing_key);
}

/* A body in which no two pages are alike, so that a lost or swapped frame shows. */
static amqp_bytes_t pattern(size_t size) {
  char *body = malloc(size + 16);
  for (size_t n = 0; n * 8 < size; n++) sprintf(body + n * 8, "%07zu\n", n);
  return (amqp_bytes_t){size, body};
}

static bool same(amqp_bytes_t one, amqp_bytes_t two) {
  return one.len == two.len && !memcmp(one.bytes, two.bytes, one.len);
}

static amqp_table_entry_t entry(const char *key, uint8_t kind) {
  return (amqp_table_entry_t){.key = bytes(key), .value.kind = kind};
}

static amqp_table_entry_t text_entry(const char *key, const char *value) {
  amqp_table_entry_t e = entry(key, AMQP_FIELD_KIND_UTF8);
  e.value.value.bytes = bytes(value);
  return e;
}

static amqp_table_entry_t int_entry(const char *key, int32_t value) {
  amqp_table_entry_t e = entry(key, AMQP_FIELD_KIND_I32);
  e.value.value.i32 = value;
  return e;
}

#define TABLE(...)                                                               \
  (amqp_table_t) {                                                               \
    sizeof((amqp_table_entry_t[]){__VA_ARGS__}) / sizeof(amqp_table_entry_t),    \
        (amqp_table_entry_t[]) { __VA_ARGS__ }                                   \
  }

/* The scenarios */

static void work_queue(void) {
  enum { TASKS = 20 };
  char *queue = name("tasks");
  Connection c = dial(true), workers[2];
  declare(c, queue);
  amqp_basic_properties_t properties = persistent();
  for (int n = 0; n < TASKS; n++) publish(c, "", queue, &properties, bytes(print("%d", n)));
  int seen[TASKS] = {0}, total = 0;
  uint64_t hand[2];
  for (int w = 0; w < 2; w++) {
    workers[w] = dial(false);
    amqp_basic_qos(workers[w], 1, 0, 1, 0);
    check(amqp_get_rpc_reply(workers[w]), "qos");
    consume(workers[w], 1, queue, false);
    next(workers[w]);
    hand[w] = last.tag;
    seen[atoi(text_of(last.message.body))]++;
    total++;
  }
  expect_number(ready(c, queue), TASKS - 2, "ready messages while each worker holds one");
  for (int w = 0; total < TASKS; w = !w) {
    /* The other one holds a message, so the next is for the one that acks. */
    amqp_basic_ack(workers[w], 1, hand[w], 0);
    next(workers[w]);
    expect_number(last.redelivered, 0, "redelivered of a fresh message");
    hand[w] = last.tag;
    seen[atoi(text_of(last.message.body))]++;
    total++;
  }
  for (int n = 0; n < TASKS; n++) expect_number(seen[n], 1, print("how often task %d was done", n));
  for (int w = 0; w < 2; w++) {
    amqp_basic_ack(workers[w], 1, hand[w], 0);
    close_channel(workers[w], 1);
    hang_up(workers[w]);
  }
  expect_number(ready(c, queue), 0, "messages left");
  delete_queue(c, queue);
  hang_up(c);
}

static void pubsub(void) {
  char *exchange = name("logs");
  Connection c = dial(true);
  declare_exchange(c, exchange, "fanout", false);
  char *stayed = temporary(c, 1), *left = temporary(c, 1), *late = temporary(c, 1);
  expect_number(strncmp(left, "amq.gen-", 8) || strlen(left) != 30, 0, print("%s is a server-named queue", left));
  bind_queue(c, stayed, exchange, "");
  bind_queue(c, left, exchange, "");
  char *logs = "";
  for (int n = 0; n < 10; n++) {
    char *line = print("log %d", n);
    publish(c, exchange, "ignored", NULL, bytes(line));
    logs = print("%s%s|", logs, line);
  }
  bind_queue(c, late, exchange, "");
  amqp_queue_unbind(c, 1, bytes(left), bytes(exchange), amqp_empty_bytes, amqp_empty_table);
  check(amqp_get_rpc_reply(c), "unbind");
  publish(c, exchange, "", NULL, bytes("late"));
  expect_text(drain(c, left), logs, "the subscriber that left");
  expect_text(drain(c, late), "late|", "the subscriber that came late");
  consume(c, 1, stayed, true);
  char *seen = "";
  for (int n = 0; n < 11; n++) {
    next(c);
    seen = print("%s%s|", seen, text_of(last.message.body));
  }
  expect_text(seen, print("%slate|", logs), "the subscriber that stayed");
  delete_exchange(c, exchange);
  hang_up(c);
}

static void routing(void) {
  char *exchange = name("direct");
  Connection c = dial(true);
  declare_exchange(c, exchange, "direct", false);
  char *errors = temporary(c, 1), *everything = temporary(c, 1);
  bind_queue(c, errors, exchange, "error");
  bind_queue(c, everything, exchange, "info");
  bind_queue(c, everything, exchange, "warning");
  bind_queue(c, everything, exchange, "error");
  const char *keys[] = {"info", "error", "warning", "Error"};
  for (int n = 0; n < 4; n++) publish(c, exchange, keys[n], NULL, bytes(keys[n]));
  expect_text(drain(c, errors), "error|", "messages by the key error");
  expect_text(drain(c, everything), "info|error|warning|", "messages by three keys");
  send_body(c, 1, exchange, "debug", true, NULL, bytes("nobody listens"));
  published++;
  wait_for_acks(c, published, published);
  if (!returned) fail("a mandatory message without a route was not returned");
  expect_text(returned, print("312 NO_ROUTE %s debug nobody listens", exchange), "the return");
  delete_exchange(c, exchange);
  hang_up(c);
}

static void topics(void) {
  static const char *keys[] = {"", "a", "a.b", "a.b.c", ".", "a.", ".a", "a..b",
                               "quick.orange.rabbit", "lazy.pink.rabbit", "A", "*"};
  static const char *matches[][2] = {
      {"#", "|a|a.b|a.b.c|.|a.|.a|a..b|quick.orange.rabbit|lazy.pink.rabbit|A|*|"},
      {"*", "a|A|*|"},
      {"a.*", "a.b|a.|"},
      {"a.#", "a|a.b|a.b.c|a.|a..b|"},
      {"#.b", "a.b|a..b|"},
      {"*.*", "a.b|.|a.|.a|"},
      {"a.*.b", "a..b|"},
      {"*.orange.*", "quick.orange.rabbit|"},
      {"*.*.rabbit", "quick.orange.rabbit|lazy.pink.rabbit|"},
      {"lazy.#", "lazy.pink.rabbit|"},
      {"a#", ""},
  };
  enum { KEYS = sizeof keys / sizeof *keys, BINDINGS = sizeof matches / sizeof *matches };
  char *exchange = name("topic"), *queues[BINDINGS];
  Connection c = dial(true);
  declare_exchange(c, exchange, "topic", false);
  for (int n = 0; n < BINDINGS; n++) {
    queues[n] = temporary(c, 1);
    bind_queue(c, queues[n], exchange, matches[n][0]);
  }
  for (int n = 0; n < KEYS; n++) publish(c, exchange, keys[n], NULL, bytes(keys[n]));
  for (int n = 0; n < BINDINGS; n++)
    expect_text(drain(c, queues[n]), matches[n][1], print("keys that match %s", matches[n][0]));
  delete_exchange(c, exchange);
  hang_up(c);
}

static void headers(void) {
  struct {
    const char *name;
    amqp_table_t table;
  } messages[] = {
      {"pdf-report", TABLE(text_entry("format", "pdf"), text_entry("type", "report"), int_entry("pages", 5))},
      {"pdf-log", TABLE(text_entry("format", "pdf"), text_entry("type", "log"), int_entry("pages", 6))},
      {"zip-report", TABLE(text_entry("format", "zip"), text_entry("type", "report"))},
      {"text-pages", TABLE(text_entry("format", "txt"), text_entry("pages", "5"))},
      {"none", amqp_empty_table},
  };
  amqp_table_entry_t long_pages = entry("pages", AMQP_FIELD_KIND_I64);
  long_pages.value.value.i64 = 5;
  struct {
    amqp_table_t arguments;
    const char *matches;
    char *queue;
  } bindings[] = {
      {TABLE(text_entry("x-match", "all"), text_entry("format", "pdf"), text_entry("type", "report")), "pdf-report|", 0},
      {TABLE(text_entry("x-match", "any"), text_entry("format", "pdf"), text_entry("type", "report")),
       "pdf-report|pdf-log|zip-report|", 0},
      {TABLE(text_entry("format", "zip")), "zip-report|", 0},
      {TABLE(text_entry("x-match", "all"), long_pages), "pdf-report|", 0},
      {TABLE(text_entry("x-match", "all"), entry("pages", AMQP_FIELD_KIND_VOID)), "pdf-report|pdf-log|text-pages|", 0},
      {TABLE(text_entry("x-match", "all")), "pdf-report|pdf-log|zip-report|text-pages|none|", 0},
  };
  enum { MESSAGES = sizeof messages / sizeof *messages, BINDINGS = sizeof bindings / sizeof *bindings };
  char *exchange = name("headers");
  Connection c = dial(true);
  declare_exchange(c, exchange, "headers", false);
  for (int n = 0; n < BINDINGS; n++) {
    bindings[n].queue = temporary(c, 1);
    bind_with(c, bindings[n].queue, exchange, "", bindings[n].arguments);
  }
  for (int n = 0; n < MESSAGES; n++) {
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_HEADERS_FLAG, .headers = messages[n].table};
    publish(c, exchange, "", &properties, bytes(messages[n].name));
  }
  for (int n = 0; n < BINDINGS; n++)
    expect_text(drain(c, bindings[n].queue), bindings[n].matches, print("messages that match binding %d", n));

  /* The keys are sorted, for RabbitMQ sorts them. */
  amqp_table_entry_t big = entry("big", AMQP_FIELD_KIND_I64), yes = entry("bool", AMQP_FIELD_KIND_BOOLEAN),
                     real = entry("double", AMQP_FIELD_KIND_F64), small = entry("short", AMQP_FIELD_KIND_I16),
                     inner = entry("table", AMQP_FIELD_KIND_TABLE), when = entry("time", AMQP_FIELD_KIND_TIMESTAMP);
  big.value.value.i64 = 1LL << 40;
  yes.value.value.boolean = 1;
  real.value.value.f64 = 1.5;
  small.value.value.i16 = -3;
  inner.value.value.table = TABLE(int_entry("deep", 1));
  when.value.value.u64 = 1234567890;
  amqp_basic_properties_t sent = {
      ._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_CONTENT_ENCODING_FLAG | AMQP_BASIC_HEADERS_FLAG |
                AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_PRIORITY_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG |
                AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_EXPIRATION_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
                AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_TYPE_FLAG | AMQP_BASIC_APP_ID_FLAG | AMQP_BASIC_CLUSTER_ID_FLAG,
      .content_type = bytes("text/plain"),
      .content_encoding = bytes("utf-8"),
      .headers = TABLE(big, yes, real, int_entry("int", -5), entry("none", AMQP_FIELD_KIND_VOID), small, inner,
                       text_entry("text", "gr\303\274\303\237e"), when),
      .delivery_mode = 2,
      .priority = 7,
      .correlation_id = bytes("c-1"),
      .reply_to = bytes("nobody"),
      .expiration = bytes("600000"),
      .message_id = bytes("m-1"),
      .timestamp = 1234567890,
      .type = bytes("t"),
      .app_id = bytes("interop"),
      .cluster_id = bytes("cluster"),
  };
  char *queue = temporary(c, 1);
  publish(c, "", queue, &sent, amqp_empty_bytes);
  if (!get(c, queue, true)) fail("a message with every property did not arrive");
  amqp_basic_properties_t *got = &last.message.properties;
  expect_number((long)last.message.body.len, 0, "length of the empty body");
  expect_number(got->_flags, sent._flags, "which properties are set");
  const struct {
    const char *name;
    amqp_bytes_t seen, wanted;
  } texts[] = {
      {"content-type", got->content_type, sent.content_type},
      {"content-encoding", got->content_encoding, sent.content_encoding},
      {"correlation-id", got->correlation_id, sent.correlation_id},
      {"reply-to", got->reply_to, sent.reply_to},
      {"expiration", got->expiration, sent.expiration},
      {"message-id", got->message_id, sent.message_id},
      {"type", got->type, sent.type},
      {"app-id", got->app_id, sent.app_id},
      {"cluster-id", got->cluster_id, sent.cluster_id},
  };
  for (size_t n = 0; n < sizeof texts / sizeof *texts; n++)
    expect_text(text_of(texts[n].seen), text_of(texts[n].wanted), texts[n].name);
  expect_number(got->delivery_mode, 2, "delivery-mode");
  expect_number(got->priority, 7, "priority");
  expect_number((long)got->timestamp, 1234567890, "timestamp");
  char encoded[2][1024];
  size_t lengths[2] = {0, 0};
  amqp_encode_table((amqp_bytes_t){1024, encoded[0]}, &sent.headers, &lengths[0]);
  amqp_encode_table((amqp_bytes_t){1024, encoded[1]}, &got->headers, &lengths[1]);
  if (!same((amqp_bytes_t){lengths[0], encoded[0]}, (amqp_bytes_t){lengths[1], encoded[1]}))
    fail("the header table changed on its way");
  delete_exchange(c, exchange);
  hang_up(c);
}

static int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

static void rpc(void) {
  enum { CALLS = 10 };
  char *queue = name("rpc");
  Connection server = dial(false), c = dial(false);
  declare(server, queue);
  amqp_basic_qos(server, 1, 0, 1, 0);
  check(amqp_get_rpc_reply(server), "qos");
  consume(server, 1, queue, false);
  for (amqp_channel_t direct = 0; direct < 2; direct++) {
    amqp_channel_t channel = 2 + direct;
    open_channel(c, channel);
    char *reply_to = direct ? "amq.rabbitmq.reply-to" : temporary(c, channel);
    consume(c, channel, reply_to, true);
    for (int n = 0; n < CALLS; n++) {
      char *number = print("%d", n);
      amqp_basic_properties_t properties = {._flags = AMQP_BASIC_REPLY_TO_FLAG | AMQP_BASIC_CORRELATION_ID_FLAG,
                                            .reply_to = bytes(reply_to),
                                            .correlation_id = bytes(number)};
      send_body(c, channel, "", queue, false, &properties, bytes(number));
    }
    for (int n = 0; n < CALLS; n++) {
      next(server);
      amqp_basic_properties_t *request = &last.message.properties;
      amqp_basic_properties_t properties = {._flags = AMQP_BASIC_CORRELATION_ID_FLAG,
                                            .correlation_id = request->correlation_id};
      char *answer = print("%d", fibonacci(atoi(text_of(last.message.body))));
      send_body(server, 1, "", text_of(request->reply_to), false, &properties, bytes(answer));
      amqp_basic_ack(server, 1, last.tag, 0);
    }
    for (int n = 0; n < CALLS; n++) {
      next(c);
      expect_number(atoi(text_of(last.message.properties.correlation_id)), n, "correlation id");
      expect_number(atoi(text_of(last.message.body)), fibonacci(n), "answer");
    }
    close_channel(c, channel);
  }
  hang_up(c);
  delete_queue(server, queue);
  hang_up(server);
}

static void confirms(void) {
  enum { COUNT = 500 };
  char *queue = name("confirms");
  Connection c = dial(true);
  declare(c, queue);
  amqp_basic_properties_t properties = persistent();
  for (int n = 0; n < COUNT; n++) send_body(c, 1, "", queue, false, &properties, bytes(print("%d", n)));
  send_body(c, 1, "", print("%s.missing", queue), true, NULL, bytes("lost"));
  wait_for_acks(c, 1, COUNT + 1);
  if (!returned) fail("a mandatory message without a route was not returned");
  expect_text(strrchr(returned, ' '), " lost", "the returned message");
  expect_number(ready(c, queue), COUNT, "messages in the queue once all are confirmed");
  delete_queue(c, queue);
  hang_up(c);
}

/* Gets messages and keeps them in hand. */
static char *hold(Connection c, const char *queue, int count) {
  char *seen = "";
  while (count--) {
    if (!get(c, queue, false)) fail("the queue is empty too early, after '%s'", seen);
    seen = print("%s%s%s|", seen, text_of(last.message.body), last.redelivered ? "*" : "");
  }
  return seen;
}

static void nack_requeue(void) {
  char *queue = name("queue");
  Connection publisher = dial(true), c = dial(false);
  declare(publisher, queue);
  for (int n = 1; n < 5; n++) publish(publisher, "", queue, NULL, bytes(print("m%d", n)));
  expect_text(hold(c, queue, 1), "m1|", "first get");
  amqp_basic_nack(c, 1, last.tag, 0, 1);
  expect_text(hold(c, queue, 3), "m1*|m2|m3|", "after a nack with requeue");
  amqp_basic_nack(c, 1, last.tag, 1, 1);
  expect_text(hold(c, queue, 4), "m1*|m2*|m3*|m4|", "after a nack of three with requeue");
  amqp_basic_reject(c, 1, last.tag, 0);
  amqp_basic_recover(c, 1, 1);
  check(amqp_get_rpc_reply(c), "recover");
  expect_text(hold(c, queue, 3), "m1*|m2*|m3*|", "after a reject without requeue and a recover");
  close_channel(c, 1);
  open_channel(c, 1);
  expect_text(hold(c, queue, 3), "m1*|m2*|m3*|", "after the channel was closed with three in hand");
  amqp_basic_ack(c, 1, last.tag, 1);
  expect_number(ready(c, queue), 0, "messages left");
  delete_queue(c, queue);
  hang_up(c);
  hang_up(publisher);
}

static amqp_basic_properties_t kept_properties(const char *number, amqp_table_entry_t *header) {
  amqp_basic_properties_t properties = persistent();
  properties._flags |= AMQP_BASIC_MESSAGE_ID_FLAG | AMQP_BASIC_HEADERS_FLAG;
  properties.message_id = bytes(number);
  *header = int_entry("n", atoi(number));
  properties.headers = (amqp_table_t){1, header};
  return properties;
}

static void persistence_before(void) {
  char *exchange = name("exchange"), *queue = name("queue");
  Connection c = dial(true);
  declare_exchange(c, exchange, "topic", true);
  declare_with(c, queue, TABLE(int_entry("x-max-length", 100000)));
  bind_queue(c, queue, exchange, "kept.#");
  for (int n = 0; n < 100; n++) {
    amqp_table_entry_t header;
    amqp_basic_properties_t properties = kept_properties(print("%d", n), &header);
    publish(c, exchange, print("kept.%d", n), &properties, pattern(n * 100));
  }
  amqp_basic_properties_t passing = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG, .delivery_mode = 1};
  publish(c, exchange, "kept.not", &passing, bytes("transient"));
  hold(c, queue, 10);
  amqp_basic_ack(c, 1, last.tag, 1);
  close_channel(c, 1);
  hang_up(c);
}

static void persistence_after(void) {
  char *exchange = name("exchange"), *queue = name("queue");
  Connection c = dial(true);
  amqp_exchange_declare(c, 1, bytes(exchange), bytes("topic"), 1, 1, 0, 0, amqp_empty_table);
  check(amqp_get_rpc_reply(c), "find the exchange");
  declare_with(c, queue, TABLE(int_entry("x-max-length", 100000)));
  amqp_basic_properties_t new = {._flags = AMQP_BASIC_MESSAGE_ID_FLAG, .message_id = bytes("new")};
  publish(c, exchange, "kept.new", &new, amqp_empty_bytes);
  int count = ready(c, queue);
  consume(c, 1, queue, true);
  int start = -1;
  for (int n = 0; n < count - 1; n++) {
    next(c);
    int number = atoi(text_of(last.message.properties.message_id));
    if (!n) {
      /* What was acked may come back after a kill, never after a clean stop. */
      start = number;
      if (start > 10 || (clean && start < 10)) fail("the first message after the restart is %d", start);
    }
    expect_number(number, start + n, "order of the messages");
    if (!same(last.message.body, pattern(number * 100))) fail("body %d changed", number);
    expect_number(last.message.properties.delivery_mode, 2, "delivery mode");
    expect_number(last.message.properties.headers.num_entries, 1, "headers");
    expect_number(last.message.properties.headers.entries[0].value.value.i32, number, "header n");
    expect_text(last.exchange, exchange, "exchange");
    expect_text(last.key, print("kept.%d", number), "routing key");
  }
  expect_number(start + count - 1, 100, "messages after the restart");
  next(c);
  expect_text(text_of(last.message.properties.message_id), "new", "the message published after the restart");
  delete_queue(c, queue);
  delete_exchange(c, exchange);
  hang_up(c);
}

static void large_bodies(void) {
  char *queue = name("queue");
  Connection c = dial(true);
  declare(c, queue);
  amqp_basic_properties_t properties = persistent();
  for (int n = 0; n < SIZE_COUNT; n++) publish(c, "", queue, &properties, pattern(SIZES[n]));
  consume(c, 1, queue, true);
  for (int n = 0; n < SIZE_COUNT; n++) {
    next(c);
    expect_number((long)last.message.body.len, (long)SIZES[n], "length");
    if (!same(last.message.body, pattern(SIZES[n]))) fail("%zu octets changed on their way", SIZES[n]);
  }
  delete_queue(c, queue);
  hang_up(c);
}

static void many_channels(void) {
  enum { CHANNELS = 200 };
  Connection c = dial(false);
  for (int n = 2; n <= CHANNELS; n++) open_channel(c, n);
  char *queue = temporary(c, 1);
  for (int n = 1; n <= CHANNELS; n++) {
    send_body(c, n, "", queue, false, NULL, bytes(print("%d", n)));
    amqp_basic_consume(c, n, bytes(queue), bytes("taker"), 0, 1, 0, amqp_empty_table);
    check(amqp_get_rpc_reply(c), "consume");
    next(c);
    expect_number((long)last.tag, 1, "delivery tag");
    expect_text(text_of(last.message.body), print("%d", n), "message");
    amqp_basic_cancel(c, n, bytes("taker"));
    check(amqp_get_rpc_reply(c), "cancel");
  }
  for (int n = 2; n <= CHANNELS; n++) close_channel(c, n);
  for (int n = 0; n < 500; n++) {
    open_channel(c, 2);
    close_channel(c, 2);
  }
  hang_up(c);
}

static void heartbeat_idle(void) {
  Connection c;
  check(log_in(&c, NULL, NULL, 2), "log in");
  expect_number(amqp_get_heartbeat(c), 2, "the heartbeat");
  open_channel(c, 1);
  char *queue = temporary(c, 1);
  /* The library sends heartbeats only while it waits. */
  for (time_t end = time(NULL) + 6; time(NULL) < end;) {
    struct timeval rest = {end - time(NULL), 0};
    amqp_frame_t frame;
    int status = amqp_simple_wait_frame_noblock(c, &frame, &rest);
    if (status == AMQP_STATUS_OK) fail("a frame of type %d while idle", frame.frame_type);
    if (status != AMQP_STATUS_TIMEOUT) fail("while idle: %s", amqp_error_string2(status));
  }
  send_body(c, 1, "", queue, false, NULL, bytes("still here"));
  consume(c, 1, queue, true);
  next(c);
  expect_text(text_of(last.message.body), "still here", "message after the idle time");
  hang_up(c);
}

/* Things that the broker refuses, on the given channel; they use these names. */
static char *the_queue, *the_exchange, *the_locked;

static void passive_queue(Connection c, amqp_channel_t ch) {
  amqp_queue_declare(c, ch, bytes("nope"), 1, 0, 0, 0, amqp_empty_table);
}
static void passive_exchange(Connection c, amqp_channel_t ch) {
  amqp_exchange_declare(c, ch, bytes("nope"), bytes("direct"), 1, 0, 0, 0, amqp_empty_table);
}
static void purge_missing(Connection c, amqp_channel_t ch) { amqp_queue_purge(c, ch, bytes("nope")); }
static void consume_missing(Connection c, amqp_channel_t ch) {
  amqp_basic_consume(c, ch, bytes("nope"), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
}
static void bind_missing(Connection c, amqp_channel_t ch) {
  amqp_queue_bind(c, ch, bytes(the_queue), bytes("nope"), bytes("k"), amqp_empty_table);
}
static void bind_exchange_missing(Connection c, amqp_channel_t ch) {
  amqp_exchange_bind(c, ch, bytes("nope"), bytes(the_exchange), bytes("k"), amqp_empty_table);
}
static void publish_missing(Connection c, amqp_channel_t ch) {
  send_body(c, ch, "nope", "k", false, NULL, amqp_empty_bytes);
}
static void ack_unknown(Connection c, amqp_channel_t ch) { amqp_basic_ack(c, ch, 99, 0); }
static void nack_unknown(Connection c, amqp_channel_t ch) { amqp_basic_nack(c, ch, 99, 0, 1); }
static void reject_unknown(Connection c, amqp_channel_t ch) { amqp_basic_reject(c, ch, 99, 1); }
static void other_argument(Connection c, amqp_channel_t ch) {
  amqp_queue_declare(c, ch, bytes(the_queue), 0, 1, 0, 0, TABLE(int_entry("x-max-length", 2000)));
}
static void other_type(Connection c, amqp_channel_t ch) {
  amqp_exchange_declare(c, ch, bytes(the_exchange), bytes("fanout"), 0, 0, 0, 0, amqp_empty_table);
}
static void delete_not_empty(Connection c, amqp_channel_t ch) { amqp_queue_delete(c, ch, bytes(the_queue), 0, 1); }
static void commit_without_tx(Connection c, amqp_channel_t ch) { amqp_tx_commit(c, ch); }
static void reserved_exchange(Connection c, amqp_channel_t ch) {
  amqp_exchange_declare(c, ch, bytes("amq.nope"), bytes("direct"), 0, 1, 0, 0, amqp_empty_table);
}
static void reserved_queue(Connection c, amqp_channel_t ch) {
  amqp_queue_declare(c, ch, bytes("amq.nope"), 0, 1, 0, 0, amqp_empty_table);
}
static void exclusive_consumers(Connection c, amqp_channel_t ch) {
  amqp_basic_consume(c, ch, bytes(the_queue), amqp_empty_bytes, 0, 1, 1, amqp_empty_table);
  amqp_basic_consume(c, ch, bytes(the_queue), amqp_empty_bytes, 0, 1, 0, amqp_empty_table);
}
static void take_locked(Connection c, amqp_channel_t ch) {
  amqp_queue_declare(c, ch, bytes(the_locked), 0, 0, 1, 0, amqp_empty_table);
}
static void prefetch_size(Connection c, amqp_channel_t ch) { amqp_basic_qos(c, ch, 5, 1, 0); }
static void recover_without_requeue(Connection c, amqp_channel_t ch) { amqp_basic_recover(c, ch, 0); }
static void no_flow(Connection c, amqp_channel_t ch) { amqp_channel_flow(c, ch, 0); }
static void immediate(Connection c, amqp_channel_t ch) {
  amqp_basic_publish(c, ch, amqp_empty_bytes, bytes(the_queue), 0, 1, NULL, amqp_empty_bytes);
}
static void same_tag(Connection c, amqp_channel_t ch) {
  for (int n = 0; n < 2; n++) amqp_basic_consume(c, ch, bytes(the_queue), bytes("t"), 0, 0, 0, amqp_empty_table);
}
static void second_open(Connection c, amqp_channel_t ch) { amqp_channel_open(c, ch); }
static void unopened_channel(Connection c, amqp_channel_t ch) { amqp_basic_qos(c, ch + 1, 0, 1, 0); }

/* Fails unless a close is the one that RabbitMQ sends. A reply text is cut to 255 octets. */
static void expect_close(amqp_rpc_reply_t reply, amqp_method_number_t kind, int code, int class_id, int method_id,
                         const char *text) {
  char *wanted = print("%d %d/%d %s", code, class_id, method_id,
                       strlen(text) > 255 ? print("%.252s...", text) : text);
  if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION)
    fail("%s where '%s' is due", amqp_error_string2(reply.library_error), wanted);
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) fail("no error where '%s' is due", wanted);
  expect_number(reply.reply.id, kind, print("method of the close, for '%s'", wanted));
  /* Both closes have the same fields. */
  amqp_channel_close_t *close = reply.reply.decoded;
  expect_text(print("%d %d/%d %s", close->reply_code, close->class_id, close->method_id, text_of(close->reply_text)),
              wanted, "the close");
}

/* Does something and gives the error that it leads to. */
static amqp_rpc_reply_t refused(Connection c, amqp_channel_t channel, void (*act)(Connection, amqp_channel_t)) {
  open_channel(c, channel);
  act(c, channel);
  amqp_rpc_reply_t reply = amqp_get_rpc_reply(c);
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) {
    /* What has no answer shows at the next call. */
    amqp_queue_declare(c, channel, bytes(the_queue), 1, 0, 0, 0, amqp_empty_table);
    reply = amqp_get_rpc_reply(c);
  }
  return reply;
}

static void error_codes(void) {
  the_queue = name("queue");
  the_exchange = name("exchange");
  the_locked = name("locked");
  Connection c = dial(true);
  declare_with(c, the_queue, TABLE(int_entry("x-max-length", 1000)));
  declare_exchange(c, the_exchange, "direct", false);
  amqp_queue_declare(c, 1, bytes(the_locked), 0, 0, 1, 0, amqp_empty_table);
  check(amqp_get_rpc_reply(c), the_locked);
  publish(c, "", the_queue, NULL, bytes("one"));

  const char *no_queue = "NOT_FOUND - no queue 'nope' in vhost '/'";
  const char *no_exchange = "NOT_FOUND - no exchange 'nope' in vhost '/'";
  const char *unknown_tag = "PRECONDITION_FAILED - unknown delivery tag 99";
  struct {
    void (*act)(Connection, amqp_channel_t);
    int code, class_id, method_id;
    const char *text;
  } channel_errors[] = {
      {passive_queue, 404, 50, 10, no_queue},
      {passive_exchange, 404, 40, 10, no_exchange},
      {purge_missing, 404, 50, 30, no_queue},
      {consume_missing, 404, 60, 20, no_queue},
      {bind_missing, 404, 50, 20, no_exchange},
      {bind_exchange_missing, 404, 40, 30, no_exchange},
      {publish_missing, 404, 60, 40, no_exchange},
      {ack_unknown, 406, 60, 80, unknown_tag},
      {nack_unknown, 406, 60, 120, unknown_tag},
      {reject_unknown, 406, 60, 90, unknown_tag},
      {other_argument, 406, 50, 10,
       print("PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '%s' in vhost '/': "
             "received '2000' but current is '1000'", the_queue)},
      {other_type, 406, 40, 10,
       print("PRECONDITION_FAILED - inequivalent arg 'type' for exchange '%s' in vhost '/': "
             "received 'fanout' but current is 'direct'", the_exchange)},
      {delete_not_empty, 406, 50, 40, print("PRECONDITION_FAILED - queue '%s' in vhost '/' not empty", the_queue)},
      {commit_without_tx, 406, 90, 20, "PRECONDITION_FAILED - channel is not transactional"},
      {reserved_exchange, 403, 40, 10, "ACCESS_REFUSED - exchange name 'amq.nope' contains reserved prefix 'amq.*'"},
      {reserved_queue, 403, 50, 10, "ACCESS_REFUSED - queue name 'amq.nope' contains reserved prefix 'amq.*'"},
      /* The exclusive consumer must not take the message that is counted below, so this one comes last. */
      {exclusive_consumers, 403, 60, 20, print("ACCESS_REFUSED - queue '%s' in vhost '/' in exclusive use", the_queue)},
  };
  enum { CHANNEL_ERRORS = sizeof channel_errors / sizeof *channel_errors };
  for (int n = 0; n < CHANNEL_ERRORS; n++) {
    if (n == CHANNEL_ERRORS - 1)
      expect_number(ready(c, the_queue), 1, "messages, seen by a channel that did nothing wrong");
    amqp_channel_t channel = n + 2;
    expect_close(refused(c, channel, channel_errors[n].act), AMQP_CHANNEL_CLOSE_METHOD, channel_errors[n].code,
                 channel_errors[n].class_id, channel_errors[n].method_id, channel_errors[n].text);
    amqp_channel_close_ok_t ok = {0};
    amqp_send_method(c, channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
  }
  Connection stranger = dial(false);
  expect_close(refused(stranger, 2, take_locked), AMQP_CHANNEL_CLOSE_METHOD, 405, 50, 10,
               print("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '%s' in vhost '/'. It could be "
                     "originally declared on another connection or the exclusive property value does not match that "
                     "of the original declaration.", the_locked));

  struct {
    void (*act)(Connection, amqp_channel_t);
    int code, class_id, method_id;
    const char *text;
  } connection_errors[] = {
      {prefetch_size, 540, 60, 10, "NOT_IMPLEMENTED - prefetch_size!=0 (5)"},
      {recover_without_requeue, 540, 60, 110, "NOT_IMPLEMENTED - requeue=false"},
      {no_flow, 540, 20, 20, "NOT_IMPLEMENTED - active=false"},
      {immediate, 540, 60, 40, "NOT_IMPLEMENTED - immediate=true"},
      {same_tag, 530, 60, 20, "NOT_ALLOWED - attempt to reuse consumer tag 't'"},
      {second_open, 504, 20, 10, "CHANNEL_ERROR - second 'channel.open' seen"},
      {unopened_channel, 504, 60, 10, "CHANNEL_ERROR - expected 'channel.open'"},
  };
  for (size_t n = 0; n < sizeof connection_errors / sizeof *connection_errors; n++) {
    Connection other = dial(false);
    expect_close(refused(other, 2, connection_errors[n].act), AMQP_CONNECTION_CLOSE_METHOD, connection_errors[n].code,
                 connection_errors[n].class_id, connection_errors[n].method_id, connection_errors[n].text);
    amqp_destroy_connection(other);
  }

  Connection nobody;
  expect_close(log_in(&nobody, "wrong", NULL, 60), AMQP_CONNECTION_CLOSE_METHOD, 403, 0, 0,
               "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker "
               "logfile.");
  expect_close(log_in(&nobody, NULL, "nope", 60), AMQP_CONNECTION_CLOSE_METHOD, 530, 10, 40,
               "NOT_ALLOWED - vhost nope not found");
  delete_queue(c, the_queue);
  delete_exchange(c, the_exchange);
  hang_up(c);
}

int main(int count, char **arguments) {
  static const struct {
    const char *name;
    void (*run)(void);
  } scenarios[] = {
      {"work-queue", work_queue},
      {"pubsub", pubsub},
      {"routing", routing},
      {"topics", topics},
      {"headers", headers},
      {"rpc", rpc},
      {"confirms", confirms},
      {"nack-requeue", nack_requeue},
      {"persistence-before", persistence_before},
      {"persistence-after", persistence_after},
      {"large-bodies", large_bodies},
      {"many-channels", many_channels},
      {"heartbeat-idle", heartbeat_idle},
      {"error-codes", error_codes},
  };
  uri = getenv("AMQP_URI") ?: "amqp://guest:guest@127.0.0.1:5672";
  id = print("%d", getpid());
  for (int n = 1; n < count; n++) {
    bool more = n + 1 < count;
    if (more && !strcmp(arguments[n], "--uri")) uri = arguments[++n];
    else if (more && !strcmp(arguments[n], "--id")) id = arguments[++n];
    else if (more && !strcmp(arguments[n], "--broker-pid")) n++;
    else if (!strcmp(arguments[n], "--clean")) clean = true;
    else scenario = arguments[n];
  }
  signal(SIGALRM, out_of_time);
  alarm(LIMIT);
  for (size_t n = 0; n < sizeof scenarios / sizeof *scenarios; n++) {
    if (!strcmp(scenario, scenarios[n].name)) {
      scenarios[n].run();
      return 0;
    }
  }
  fail("no such scenario");
}
