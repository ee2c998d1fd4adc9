// What RabbitMQ added to AMQP; the last scenarios are what Lepus has and RabbitMQ 4.3 has not.

const assert = require('node:assert/strict');
const {
  DEADLINE, options, name, connect, take, drain, ready, range, temporary, publish, isReturned, consume, refused,
} = require('./scenario');

const REPLY_TO = 'amq.rabbitmq.reply-to';
const quorum = { 'x-queue-type': 'quorum' };

// What these scenarios share

const lettersTo = (queue, more = {}) => ({ 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': queue, ...more });

/** The x-death header of a letter without the times, which must be times. */
function deaths(letter) {
  return letter.properties.headers['x-death'].map(({ time, ...entry }) => {
    assert.equal(time['!'], 'timestamp');
    return entry;
  });
}

const death = (count, reason, queue, exchange, key) => ({ count, reason, queue, exchange, 'routing-keys': [key] });

const text = ({ content, fields }) => `${content}${fields.redelivered ? '*' : ''}`;
const texts = (messages) => messages.map(text).join(' ');
const origin = ({ fields, content }) => [fields.exchange, fields.routingKey, content.toString()];

const declare = (channel, queue, args) => channel.assertQueue(queue, { durable: true, arguments: args });
const exchange = (channel, exchange, type, args) =>
  channel.assertExchange(exchange, type, { durable: false, arguments: args });

/** Declares a queue with one argument, which the broker must refuse for its reason. */
const badArgument = (connection, argument, value, reason) =>
  refused(connection, 406, `invalid arg '${argument}' for queue '${name('bad')}' in vhost '/'${reason}`,
    (ch) => declare(ch, name('bad'), { [argument]: value }));

/** Publishes by these keys; tells which of the queues got each, once each went to one queue. */
async function spread(channel, exchange, queues, keys, properties = {}) {
  for (const key of keys) channel.publish(exchange, key, Buffer.from(key), properties);
  await channel.waitForConfirms();
  const places = {};
  for (const [place, queue] of queues.entries()) {
    for (const key of await drain(channel, queue)) {
      assert.equal(places[key], undefined, `${key} went to two queues`);
      places[key] = place;
    }
  }
  assert.equal(Object.keys(places).length, keys.length, 'messages that went to a queue');
  return places;
}

const used = (places) => [...new Set(Object.values(places))].sort();

/** Declares three queues and binds them by these keys. */
async function threeQueues(channel, exchange, keys) {
  const queues = [];
  for (const key of keys) {
    queues.push(await temporary(channel));
    await channel.bindQueue(queues.at(-1), exchange, key);
  }
  return queues;
}

// The scenarios; each gets a connection and a confirming channel

const scenarios = {
  async ttl(connection, channel) {
    const letters = await temporary(channel);
    // The time to live of the queue, that of the message, and what its letter says that it was.
    for (const [ofQueue, ofMessage, original] of [[50], [60000, '50', '50'], [50, '60000', '60000'], [, '50', '50']]) {
      const queue = await temporary(channel, lettersTo(letters, ofQueue ? { 'x-message-ttl': ofQueue } : {}));
      await publish(channel, '', queue, 'late', { expiration: ofMessage, persistent: true, headers: { own: 1 } });
      const [letter] = await take(channel, letters, 1);
      assert.deepEqual(origin(letter), ['', letters, 'late']);
      assert.deepEqual([letter.properties.expiration, letter.properties.deliveryMode], [undefined, 2]);
      const entry = death(1, 'expired', queue, '', queue);
      assert.deepEqual(deaths(letter), [original ? { ...entry, 'original-expiration': original } : entry]);
      const { 'x-death': _, ...others } = letter.properties.headers;
      assert.deepEqual(others, {
        own: 1, 'x-first-death-reason': 'expired', 'x-first-death-queue': queue, 'x-first-death-exchange': '',
        'x-last-death-reason': 'expired', 'x-last-death-queue': queue, 'x-last-death-exchange': '',
      });
    }
    await badArgument(connection, 'x-message-ttl', -1, ': {value_negative,-1}');
    await badArgument(connection, 'x-message-ttl', '60000', ': "expected integer, got longstr"');
    await badArgument(connection, 'x-dead-letter-routing-key', 'k', ': routing_key_but_no_dlx_defined');
    await refused(connection, 406, "invalid expiration 'soon': no_integer",
      (ch) => ch.sendToQueue(letters, Buffer.alloc(0), { expiration: 'soon' }));
  },

  async 'dead-letters'(_connection, channel) {
    const retry = name('retry');
    await exchange(channel, retry, 'direct');
    const work = await temporary(channel, { 'x-dead-letter-exchange': retry });
    const wait = await temporary(channel, { 'x-message-ttl': 50, 'x-dead-letter-exchange': '' });
    await channel.bindQueue(wait, retry, work);
    await publish(channel, '', work, 'fails twice');
    const tasks = await consume(channel, work);
    for (const failures of range(0, 3)) {
      const task = await tasks.next();
      assert.deepEqual(origin(task), ['', work, 'fails twice']);
      const { headers } = task.properties;
      if (!failures) {
        assert.deepEqual({ ...headers }, {});
      } else {
        assert.deepEqual(deaths(task), [
          death(failures, 'expired', wait, retry, work), death(failures, 'rejected', work, '', work),
        ]);
        const first = ['reason', 'queue', 'exchange'].map((what) => headers[`x-first-death-${what}`]);
        assert.deepEqual(first, ['rejected', work, '']);
      }
      if (failures < 2) channel.reject(task, false);
      else channel.ack(task);
    }
    assert.deepEqual([await ready(channel, work), await ready(channel, wait)], [0, 0]);
    await channel.deleteExchange(retry);
  },

  async 'max-length'(connection, channel) {
    // A limit, its overflow, what is refused of m1 to m5, what stays, and what becomes a letter.
    for (const [limit, overflow, nacked, kept, lost] of [
      [{ 'x-max-length': 3 }, 'drop-head', '', 'm3 m4 m5', 'm1 m2'],
      [{ 'x-max-length': 3 }, 'reject-publish', 'm4 m5', 'm1 m2 m3', ''],
      [{ 'x-max-length': 3 }, 'reject-publish-dlx', 'm4 m5', 'm1 m2 m3', 'm4 m5'],
      [{ 'x-max-length-bytes': 8 }, 'drop-head', '', 'm2 m3 m4 m5', 'm1'],
      [{ 'x-max-length': 0 }, 'drop-head', '', '', 'm1 m2 m3 m4 m5'],
    ]) {
      const letters = await temporary(channel);
      const queue = await temporary(channel, lettersTo(letters, { ...limit, 'x-overflow': overflow }));
      const refusals = [];
      for (const n of range(1, 6)) if (!await publish(channel, '', queue, `m${n}`)) refusals.push(`m${n}`);
      const dead = await take(channel, letters, lost ? lost.split(' ').length : 0);
      const seen = [refusals.join(' '), (await drain(channel, queue)).join(' '), texts(dead)];
      assert.deepEqual(seen, [nacked, kept, lost], `${overflow}: what is refused, stays and is lost`);
      for (const letter of dead) assert.equal(deaths(letter)[0].reason, 'maxlen');
    }
    await badArgument(connection, 'x-max-length', -1, ': {value_negative,-1}');
    await badArgument(connection, 'x-max-length-bytes', 'many', ': "expected integer, got longstr"');
    await badArgument(connection, 'x-overflow', 'drop-tail', ': invalid_overflow');
  },

  async 'queue-expires'(connection, channel) {
    const untilGone = async (queue) => {
      const end = Date.now() + DEADLINE;
      while (!await isReturned(channel, '', queue)) { // a publish is no use of the queue
        assert.ok(Date.now() < end, `${queue} is still there`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    const [idle, busy] = [name('idle'), name('used')];
    for (const queue of [idle, busy]) await declare(channel, queue, { 'x-expires': 1000 });
    const consumer = await consume(channel, busy);
    await untilGone(idle);
    assert.ok(!await isReturned(channel, '', busy), 'a queue with a consumer is gone');
    await channel.cancel(consumer.tag);
    await untilGone(busy);
    await badArgument(connection, 'x-expires', 0, ': {value_zero,0}');
    await badArgument(connection, 'x-expires', -5, ': {value_negative,-5}');
  },

  async priorities(connection, channel) {
    const ranked = name('quorum');
    await declare(channel, ranked, { ...quorum });
    // What has no priority counts as 0, and what is above the maximum as that; in a quorum queue it counts as 4.
    for (const [queue, order] of [
      [await temporary(channel, { 'x-max-priority': 5 }), [9, 5, 3, 1, undefined, 0]],
      [await temporary(channel), [undefined, 1, 9, 5, 0, 3]],
      [ranked, [9, 5, undefined, 3, 1, 0]],
    ]) {
      for (const priority of [undefined, 1, 9, 5, 0, 3]) await publish(channel, '', queue, '', { priority });
      assert.deepEqual((await take(channel, queue, 6)).map(({ properties }) => properties.priority), order);
    }
    await channel.deleteQueue(ranked);
    await badArgument(connection, 'x-max-priority', 256, ': {max_value_exceeded,256}');
    await badArgument(connection, 'x-max-priority', -1, ': {value_negative,-1}');
  },

  async 'single-active-consumer'(connection, publisher) {
    const queue = name('queue');
    await declare(publisher, queue, { 'x-single-active-consumer': true });
    const [channels, consumers] = [[], []];
    for (const n of range(0, 3)) {
      channels.push(await connection.createChannel());
      consumers.push(await consume(channels[n], queue));
    }
    const [first, second, third] = consumers;
    await publish(publisher, '', queue, 'm1');
    await publish(publisher, '', queue, 'm2');
    const held = [await first.next(), await first.next()];
    assert.equal(texts(held), 'm1 m2');
    await channels[0].cancel(first.tag);
    await publish(publisher, '', queue, 'm3');
    assert.equal(text(await second.next()), 'm3', 'after the first one cancelled');
    channels[0].ack(held[1], true); // its messages stayed its own
    await channels[1].close();
    const again = await third.next();
    assert.equal(text(again), 'm3*', 'after the second one went with a message in hand');
    channels[2].ack(again);
    assert.equal((await publisher.checkQueue(queue)).consumerCount, 1);
    assert.deepEqual(consumers.map(({ came }) => came.length), [0, 0, 0], 'deliveries to others');
    await refused(connection, 403, `queue '${queue}' in vhost '/' in exclusive use`,
      (ch) => ch.consume(queue, () => {}, { exclusive: true }));
    await publisher.deleteQueue(queue);
    await badArgument(connection, 'x-single-active-consumer', 'yes', ': {unacceptable_type,longstr}');
  },

  async 'consumer-priority'(connection, publisher) {
    const queue = await temporary(publisher);
    const channel = await connection.createChannel();
    await channel.prefetch(2);
    const low = await consume(channel, queue);
    const high = await consume(channel, queue, { priority: 10 });
    for (const n of range(1, 6)) await publish(publisher, '', queue, `m${n}`);
    const held = [await high.next(), await high.next()];
    assert.equal(texts(held), 'm1 m2', 'what the high one has room for');
    assert.equal(texts([await low.next(), await low.next()]), 'm3 m4', 'what goes on to the low one');
    channel.ack(held[0]);
    assert.equal(text(await high.next()), 'm5', 'the high one has room again');
    await refused(connection, 406,
      `invalid arg 'x-priority' for queue '${queue}' in vhost '/': "expected integer, got longstr"`,
      (ch) => ch.consume(queue, () => {}, { priority: 'high' }));
  },

  async 'delivery-limit'(connection, channel) {
    const queue = name('queue');
    const letters = await temporary(channel);
    await declare(channel, queue, lettersTo(letters, { ...quorum, 'x-delivery-limit': 2 }));
    const counts = ({ fields, properties: { headers } }) =>
      [fields.redelivered, headers['x-delivery-count'], headers['x-acquired-count']];
    await publish(channel, '', queue, 'poison');
    const worker = await connection.createChannel();
    const tasks = await consume(worker, queue);
    for (const wanted of [[false, undefined, undefined], [true, 1, 1], [true, 2, 2]]) {
      const task = await tasks.next();
      assert.deepEqual(counts(task), wanted, 'redelivered, x-delivery-count, x-acquired-count of a rejected message');
      worker.reject(task, true);
    }
    const [letter] = await take(channel, letters, 1);
    assert.equal(letter.content.toString(), 'poison');
    assert.deepEqual(deaths(letter), [death(1, 'delivery_limit', queue, '', queue)]);

    // A nack is no failure, the loss of the channel is one.
    await publish(channel, '', queue, 'unlucky');
    for (const wanted of [[false, undefined, undefined], [true, undefined, 1], [true, undefined, 2]]) {
      const task = await tasks.next();
      assert.deepEqual(counts(task), wanted, 'counts of a nacked message');
      worker.nack(task, false, true);
    }
    await tasks.next();
    await worker.close();
    const task = await (await consume(channel, queue)).next();
    assert.deepEqual(counts(task), [true, 1, 4], 'counts of a message whose channel went');
    channel.ack(task);
    await channel.deleteQueue(queue);
  },

  /** A consumer of a quorum queue that holds a message too long is cancelled, and the message is ready again. */
  async 'consumer-timeout'(_connection, channel) {
    const queue = name('queue');
    await declare(channel, queue, { ...quorum });
    await publish(channel, '', queue, 'held');
    const other = await connect();
    const slow = await consume(await other.createChannel(), queue, { arguments: { 'x-consumer-timeout': 1000 } });
    assert.equal(text(await slow.next()), 'held');
    assert.equal(await slow.next(), null, 'what amqplib gives a consumer that is cancelled');
    let got;
    const end = Date.now() + DEADLINE;
    while (!(got = await channel.get(queue, { noAck: true }))) assert.ok(Date.now() < end, 'the message is not there');
    assert.equal(text(got), 'held*');
    await other.close();
    await channel.deleteQueue(queue);
  },

  async 'quorum-refusals'(connection, channel) {
    const queue = name('queue');
    for (const [flags, property] of [
      [{ durable: false }, 'non-durable'],
      [{ exclusive: true }, 'exclusive-owner'],
      [{ autoDelete: true }, 'auto-delete'],
    ]) {
      await refused(connection, 406, `invalid property '${property}' for queue '${queue}' in vhost '/'`,
        (ch) => ch.assertQueue(queue, { ...flags, arguments: { ...quorum } }));
    }
    await refused(connection, 406, 'Cannot declare a server-named queue for type rabbit_quorum_queue',
      (ch) => declare(ch, '', { ...quorum }));
    for (const [argument, value] of [['x-max-priority', 5], ['x-queue-mode', 'lazy'], ['x-max-age', '1D']]) {
      await refused(connection, 406,
        `invalid arg '${argument}' for queue '${queue}' in vhost '/' of queue type rabbit_quorum_queue`,
        (ch) => declare(ch, queue, { ...quorum, [argument]: value }));
    }
    await badArgument(connection, 'x-queue-type', 'foo', ": \"unsupported queue type 'foo'\"");
    await badArgument(connection, 'x-max-age', '1D', ' of queue type rabbit_classic_queue');
    await declare(channel, queue, { ...quorum });
    await refused(connection, 406, `inequivalent arg 'x-queue-type' for queue '${queue}' in vhost '/': ` +
      "received 'classic' but current is 'quorum'", (ch) => declare(ch, queue, {}));
    await channel.deleteQueue(queue);
  },

  async 'direct-reply-to'(connection, responder) {
    const requester = await connection.createChannel();
    const queue = await temporary(responder);
    const replies = await consume(requester, REPLY_TO, { noAck: true });
    for (const n of range(0, 2)) requester.sendToQueue(queue, Buffer.from(`${n}`), { replyTo: REPLY_TO });
    const [to, again] = (await take(responder, queue, 2)).map(({ properties }) => properties.replyTo);
    assert.ok(to.startsWith(`${REPLY_TO}.`), `${to} is a name for the replies`);
    assert.equal(again, to, 'the name stays');
    assert.equal((await responder.checkQueue(to)).consumerCount, 1, 'a passive declare: it waits');
    assert.ok(!await isReturned(responder, '', to), 'the reply is returned');
    assert.deepEqual(origin(await replies.next()), ['', to, to]);
    await requester.cancel(replies.tag);
    await refused(connection, 404, `no queue '${to}' in vhost '/'`, (ch) => ch.checkQueue(to));
    assert.ok(!await isReturned(responder, '', to), 'a reply that comes too late is returned');
    await refused(connection, 406, 'fast reply consumer does not exist',
      (ch) => ch.sendToQueue(queue, Buffer.alloc(0), { replyTo: REPLY_TO }));
    await refused(connection, 406, 'reply consumer already set', async (ch) => {
      await consume(ch, REPLY_TO, { noAck: true });
      await consume(ch, REPLY_TO, { noAck: true });
    });
    await refused(connection, 406, 'reply consumer cannot acknowledge', (ch) => consume(ch, REPLY_TO));
  },

  async 'cc-bcc'(connection, channel) {
    const [to, cc, bcc] = [await temporary(channel), await temporary(channel), await temporary(channel)];
    // amqplib puts its options CC and BCC into headers of these names.
    await publish(channel, '', to, 'news', { CC: [cc, to, 'nowhere'], BCC: [bcc, cc], headers: { own: 1 } });
    for (const queue of [to, cc, bcc]) {
      const got = await channel.get(queue, { noAck: true });
      assert.deepEqual([got.fields.exchange, got.fields.routingKey, got.fields.messageCount], ['', to, 0]);
      assert.deepEqual({ ...got.properties.headers }, { CC: [cc, to, 'nowhere'], own: 1 });
    }
    assert.ok(!await isReturned(channel, '', 'nowhere', { CC: [cc] }), 'a message whose CC has a route is returned');
    for (const header of ['CC', 'BCC']) {
      await refused(connection, 406, `invalid message: {unacceptable_type_in_header,"${header}",longstr}`,
        (ch) => ch.sendToQueue(to, Buffer.alloc(0), { headers: { [header]: cc } }));
    }
  },

  async 'user-id'(connection, channel) {
    const queue = await temporary(channel);
    const user = new URL(options.uri).username;
    await publish(channel, '', queue, '', { userId: user });
    assert.equal((await channel.get(queue, { noAck: true })).properties.userId, user);
    await refused(connection, 406, `user_id property set to 'bob' but authenticated user was '${user}'`,
      (ch) => ch.sendToQueue(queue, Buffer.alloc(0), { userId: 'bob' }));
  },

  async 'alternate-exchange'(connection, channel) {
    const [main, spare] = [name('main'), name('spare')];
    const [known, unknown] = [await temporary(channel), await temporary(channel)];
    await channel.assertExchange(main, 'direct', { alternateExchange: spare });
    await channel.bindQueue(known, main, 'known');
    const returned = async () => [await isReturned(channel, main, 'known'), await isReturned(channel, main, 'unknown')];
    assert.deepEqual(await returned(), [false, true], 'while the alternate exchange is missing');
    await channel.assertExchange(spare, 'fanout');
    await channel.bindQueue(unknown, spare, '');
    assert.deepEqual(await returned(), [false, false], 'once it is there');
    assert.deepEqual(await drain(channel, known), ['known', 'known']);
    assert.deepEqual(origin(await channel.get(unknown, { noAck: true })), [main, 'unknown', 'unknown']);
    assert.deepEqual(await drain(channel, unknown), []);
    await refused(connection, 406, `inequivalent arg 'alternate-exchange' for exchange '${main}' in vhost '/': ` +
      `received 'other' but current is '${spare}'`,
      (ch) => ch.assertExchange(main, 'direct', { alternateExchange: 'other' }));
    await channel.deleteExchange(main);
    await channel.deleteExchange(spare);
  },

  async 'modulus-hash'(_connection, channel) {
    const hash = name('exchange');
    const keys = range(0, 60).map((n) => `key ${n}`);
    await exchange(channel, hash, 'x-modulus-hash');
    const queues = await threeQueues(channel, hash, ['ignored', 'ignored', '']);
    const places = await spread(channel, hash, queues, keys);
    assert.deepEqual(used(places), [0, 1, 2], 'queues that get something');
    assert.deepEqual(await spread(channel, hash, queues, keys), places, 'where the same keys go again');
    await channel.deleteExchange(hash);
  },

  async 'consistent-hash'(connection, channel) {
    const [byKey, byHeader] = [name('by-key'), name('by-header')];
    const keys = range(0, 300).map((n) => `key ${n}`);
    await exchange(channel, byKey, 'x-consistent-hash');
    const queues = await threeQueues(channel, byKey, ['1', '1', '4']);
    const places = await spread(channel, byKey, queues, keys);
    assert.deepEqual(used(places), [0, 1, 2], 'queues that get something');
    const heavy = Object.values(places).filter((place) => place === 2).length;
    assert.ok(heavy > 150 && heavy < 270, `${heavy} of 300 is the share of 4 in 6`);
    assert.deepEqual(await spread(channel, byKey, queues, keys), places, 'where the same keys go again');
    await channel.unbindQueue(queues[0], byKey, '1');
    assert.deepEqual(used(await spread(channel, byKey, queues, keys)), [1, 2], 'once a queue was unbound');

    await exchange(channel, byHeader, 'x-consistent-hash', { 'hash-header': 'h' });
    const others = await threeQueues(channel, byHeader, ['1', '1', '1']);
    const same = await spread(channel, byHeader, others, keys.slice(0, 50), { headers: { h: 'same' } });
    assert.equal(used(same).length, 1, 'queues for one value of the header');
    for (const [weight, why] of [['abc', 'must be an integer: <<"abc">>'], ['0', 'must be greater than 0']]) {
      await refused(connection, 406, `The binding key ${why}`, (ch) => ch.bindQueue(queues[0], byKey, weight));
    }
    await channel.deleteExchange(byKey);
    await channel.deleteExchange(byHeader);
  },

  async random(_connection, channel) {
    for (const type of ['x-random', 'x-local-random']) {
      await exchange(channel, name(type), type);
      const queues = await threeQueues(channel, name(type), ['', '', '']);
      const places = await spread(channel, name(type), queues, range(0, 90).map(String));
      assert.deepEqual(used(places), [0, 1, 2], 'queues that get something');
      await channel.deleteExchange(name(type));
    }
  },

  async 'recent-history'(connection, channel) {
    const [history, length] = [name('history'), 'x-recent-history-length'];
    await exchange(channel, history, 'x-recent-history', { [length]: 3 });
    for (const n of range(0, 5)) await publish(channel, history, 'k', `m${n}`);
    await publish(channel, history, 'k', 'secret', { headers: { 'x-recent-history-no-store': true } });
    const late = await temporary(channel);
    await channel.bindQueue(late, history, '');
    assert.equal(texts(await take(channel, late, 3)), 'm2 m3 m4', 'what a queue that comes late gets');
    await publish(channel, history, 'k', 'live');
    assert.deepEqual(await drain(channel, late), ['live']);
    await refused(connection, 406, `Invalid argument 0, '${length}' must be a positive integer`,
      (ch) => exchange(ch, name('bad'), 'x-recent-history', { [length]: 0 }));
    await channel.deleteExchange(history);
  },

  async 'delayed-message'(connection, channel) {
    const delayed = name('delayed');
    await channel.assertExchange(delayed, 'x-delayed-message', { arguments: { 'x-delayed-type': 'topic' } });
    const queue = await temporary(channel);
    await channel.bindQueue(queue, delayed, 'a.*');
    const after = (key, delay) =>
      publish(channel, delayed, key, `${delay}`, { persistent: true, headers: { 'x-delay': delay } });
    const started = performance.now();
    for (const delay of [600, 300, 0]) await after('a.b', delay);
    await after('other', 100);
    assert.deepEqual(await drain(channel, queue), ['0'], 'what does not wait');
    for (const delay of [300, 600]) {
      const [got] = await take(channel, queue, 1);
      assert.ok(performance.now() - started >= delay, `${got.content} came too early`);
      assert.deepEqual(origin(got), [delayed, 'a.b', `${delay}`]);
      assert.deepEqual({ ...got.properties.headers }, { 'x-delay': -delay });
    }
    await refused(connection, 406, "Invalid argument, 'x-delayed-type' must be an existing exchange type",
      (ch) => ch.assertExchange(name('bad'), 'x-delayed-message'));
    await channel.deleteExchange(delayed);
  },

  async deduplication(_connection, channel) {
    const once = name('once');
    await exchange(channel, once, 'x-message-deduplication', { 'x-cache-size': 10 });
    const behind = await temporary(channel);
    const alone = await temporary(channel, { 'x-message-deduplication': true });
    await channel.bindQueue(behind, once, '');
    const both = async (body, value) => {
      const headers = value ? { 'x-deduplication-header': value } : {};
      await publish(channel, once, '', body, { headers });
      await publish(channel, '', alone, body, { headers });
    };
    for (const [n, value] of ['a', 'b', 'a', undefined, undefined].entries()) await both(`m${n}`, value);
    for (const queue of [behind, alone]) assert.deepEqual(await drain(channel, queue), ['m0', 'm1', 'm3', 'm4']);
    await both('again', 'a');
    assert.deepEqual(await drain(channel, behind), [], 'the exchange remembers what it passed on');
    assert.deepEqual(await drain(channel, alone), ['again'], 'the queue remembers what it holds');
    await channel.deleteExchange(once);
  },

  async 'retry-delay'(_connection, channel) {
    const queue = await temporary(channel, { 'x-retry-delay': 200, 'x-retry-delay-max': 300 });
    await publish(channel, '', queue, 'fails');
    await publish(channel, '', queue, 'next');
    await channel.prefetch(1);
    const messages = await consume(channel, queue);
    let failed = 0;
    for (const [wanted, delay] of [['fails', 0], ['next', 0], ['fails*', 200], ['fails*', 300]]) {
      const message = await messages.next();
      assert.equal(text(message), wanted);
      assert.ok(performance.now() - failed >= delay, `it came again before ${delay} ms were over`);
      if (wanted === 'next') {
        channel.ack(message);
      } else {
        failed = performance.now();
        channel.nack(message, false, true);
      }
    }
  },
};

for (const [key, run] of Object.entries(scenarios)) {
  module.exports[key] = async () => {
    const connection = await connect();
    await run(connection, await connection.createConfirmChannel());
    await connection.close();
  };
}
