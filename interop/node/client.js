#!/usr/bin/env node
// amqplib, the Node client, through the interop scenarios: `client.js --uri URI [--id ID] [--clean] SCENARIO`.

const assert = require('node:assert/strict');
const extensions = require('./extensions');
const operated = require('./operated');
const {
  options, name, connect, within, take, drain, ready, withResolvers, pattern, range,
} = require('./scenario');

const LIMIT = Number(process.env.INTEROP_LIMIT ?? 110) * 1000;
const LARGE = 10 * 1024 * 1024;
const FRAME_EDGES = [0, 1, 131063, 131064, 131065, 262128];

// The scenarios

const scenarios = {
  async 'work-queue'() {
    const queue = name('tasks');
    const tasks = 20;
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(queue);
    for (const n of range(0, tasks)) channel.sendToQueue(queue, Buffer.from(`task ${n}`), { persistent: true });
    await channel.waitForConfirms();

    const both = withResolvers();
    const all = withResolvers();
    const workers = [];
    let done = 0;
    both.held = both.promise.then(async () => {
      assert.equal(await ready(channel, queue), tasks - 2, 'ready while each worker holds one');
    });
    for (const _ of range(0, 2)) {
      const worker = { seen: [], connection: await connect() };
      worker.channel = await worker.connection.createChannel();
      await worker.channel.prefetch(1);
      workers.push(worker);
      let unacked = 0;
      await worker.channel.consume(queue, async (message) => {
        try {
          assert.equal(++unacked, 1, 'messages in hand with a prefetch of 1');
          assert.equal(message.fields.redelivered, false);
          worker.seen.push(message.content.toString());
          if (workers.length === 2 && workers.every(({ seen }) => seen.length)) both.resolve();
          await both.held;
          unacked--;
          worker.channel.ack(message);
          if (++done === tasks) all.resolve();
        } catch (error) {
          all.reject(error);
        }
      });
    }
    await within(all.promise, 'all tasks');
    for (const worker of workers) {
      await worker.channel.close(); // the connection's close could overtake the last ack
      await worker.connection.close();
    }
    const seen = workers.flatMap((worker) => worker.seen);
    assert.deepEqual(seen.sort(), range(0, tasks).map((n) => `task ${n}`).sort());
    assert.ok(workers.every((worker) => worker.seen.length > 1), 'one worker did nearly everything');
    assert.equal(await ready(channel, queue), 0);
    await channel.deleteQueue(queue);
    await connection.close();
  },

  async pubsub() {
    const exchange = name('logs');
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    await channel.assertExchange(exchange, 'fanout', { durable: false });
    const queues = [];
    for (const _ of range(0, 3)) queues.push((await channel.assertQueue('', { exclusive: true })).queue);
    for (const queue of queues) assert.match(queue, /^amq\.gen-.{22}$/);
    await channel.bindQueue(queues[0], exchange, '');
    await channel.bindQueue(queues[1], exchange, '');
    const texts = range(0, 10).map((n) => `log ${n}`);
    for (const text of texts) channel.publish(exchange, 'ignored', Buffer.from(text));
    await channel.waitForConfirms();
    await channel.bindQueue(queues[2], exchange, '');
    await channel.unbindQueue(queues[1], exchange, '');
    channel.publish(exchange, '', Buffer.from('late'));
    await channel.waitForConfirms();
    const first = await take(channel, queues[0], 11);
    assert.deepEqual(first.map(({ content }) => content.toString()), [...texts, 'late']);
    assert.deepEqual(await drain(channel, queues[1]), texts, 'the subscriber that left');
    assert.deepEqual(await drain(channel, queues[2]), ['late'], 'the subscriber that came late');
    await channel.deleteExchange(exchange);
    await connection.close();
  },

  async routing() {
    const exchange = name('direct');
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    await channel.assertExchange(exchange, 'direct', { durable: false });
    const errors = (await channel.assertQueue('', { exclusive: true })).queue;
    const everything = (await channel.assertQueue('', { exclusive: true })).queue;
    await channel.bindQueue(errors, exchange, 'error');
    for (const key of ['info', 'warning', 'error']) await channel.bindQueue(everything, exchange, key);
    for (const key of ['info', 'error', 'warning', 'Error']) channel.publish(exchange, key, Buffer.from(key));
    const returned = new Promise((resolve) => channel.on('return', resolve));
    channel.publish(exchange, 'debug', Buffer.from('nobody listens'), { mandatory: true });
    await channel.waitForConfirms();
    assert.deepEqual(await drain(channel, errors), ['error']);
    assert.deepEqual(await drain(channel, everything), ['info', 'error', 'warning']);
    const { fields, content } = await within(returned, 'the return');
    assert.deepEqual({ ...fields }, { replyCode: 312, replyText: 'NO_ROUTE', exchange, routingKey: 'debug' });
    assert.equal(content.toString(), 'nobody listens');
    await channel.deleteExchange(exchange);
    await connection.close();
  },

  async topics() {
    const exchange = name('topic');
    const keys = ['', 'a', 'a.b', 'a.b.c', '.', 'a.', '.a', 'a..b', 'quick.orange.rabbit', 'lazy.pink.rabbit', 'A', '*'];
    const matches = {
      '#': keys,
      '*': ['a', 'A', '*'],
      'a.*': ['a.b', 'a.'],
      'a.#': ['a', 'a.b', 'a.b.c', 'a.', 'a..b'],
      '#.b': ['a.b', 'a..b'],
      '*.*': ['a.b', '.', 'a.', '.a'],
      'a.*.b': ['a..b'],
      '*.orange.*': ['quick.orange.rabbit'],
      '*.*.rabbit': ['quick.orange.rabbit', 'lazy.pink.rabbit'],
      'lazy.#': ['lazy.pink.rabbit'],
      'a#': [],
    };
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    await channel.assertExchange(exchange, 'topic', { durable: false });
    const queues = {};
    for (const binding of Object.keys(matches)) {
      queues[binding] = (await channel.assertQueue('', { exclusive: true })).queue;
      await channel.bindQueue(queues[binding], exchange, binding);
    }
    for (const key of keys) channel.publish(exchange, key, Buffer.from(key));
    await channel.waitForConfirms();
    for (const [binding, wanted] of Object.entries(matches)) {
      assert.deepEqual(await drain(channel, queues[binding]), wanted, `keys that match ${binding}`);
    }
    await channel.deleteExchange(exchange);
    await connection.close();
  },

  async headers() {
    const exchange = name('headers');
    const messages = {
      'pdf-report': { format: 'pdf', type: 'report', pages: 5 },
      'pdf-log': { format: 'pdf', type: 'log', pages: 6 },
      'zip-report': { format: 'zip', type: 'report' },
      'text-pages': { format: 'txt', pages: '5' },
      none: {},
    };
    const bindings = {
      all: [{ 'x-match': 'all', format: 'pdf', type: 'report' }, ['pdf-report']],
      any: [{ 'x-match': 'any', format: 'pdf', type: 'report' }, ['pdf-report', 'pdf-log', 'zip-report']],
      default: [{ format: 'zip' }, ['zip-report']],
      integer: [{ 'x-match': 'all', pages: 5 }, ['pdf-report']],
      present: [{ 'x-match': 'all', pages: null }, ['pdf-report', 'pdf-log', 'text-pages']],
      empty: [{ 'x-match': 'all' }, Object.keys(messages)],
    };
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    await channel.assertExchange(exchange, 'headers', { durable: false });
    const queues = {};
    for (const [key, [args]] of Object.entries(bindings)) {
      queues[key] = (await channel.assertQueue('', { exclusive: true })).queue;
      await channel.bindQueue(queues[key], exchange, '', args);
    }
    for (const [text, headers] of Object.entries(messages)) channel.publish(exchange, '', Buffer.from(text), { headers });
    await channel.waitForConfirms();
    for (const [key, [, wanted]] of Object.entries(bindings)) {
      assert.deepEqual(await drain(channel, queues[key]), wanted, `messages that match ${key}`);
    }

    const { queue } = await channel.assertQueue('', { exclusive: true });
    const sent = {
      contentType: 'text/plain', contentEncoding: 'utf-8', deliveryMode: 2, priority: 7, correlationId: 'c-1',
      replyTo: 'nobody', expiration: '600000', messageId: 'm-1', timestamp: 1234567890, type: 't', appId: 'interop',
      headers: {
        text: 'grüße', int: -5, big: 2 ** 40, bool: true, none: null, list: [1, 'two', false], float: 1.5,
        table: { inner: { deep: 1 } },
      },
    };
    channel.publish('', queue, Buffer.alloc(0), sent);
    await channel.waitForConfirms();
    const message = await channel.get(queue, { noAck: true });
    assert.ok(message, 'a message with every property did not arrive');
    assert.equal(message.content.length, 0);
    for (const [field, value] of Object.entries(sent)) assert.deepEqual(message.properties[field], value, field);
    assert.equal(message.properties.userId, undefined);
    await channel.deleteExchange(exchange);
    await connection.close();
  },

  async rpc() {
    const queue = name('rpc');
    const fibonacci = (n) => (n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2));
    const serving = await connect();
    const server = await serving.createChannel();
    await server.assertQueue(queue);
    await server.prefetch(1);
    await server.consume(queue, (message) => {
      if (!message) return; // cancelled, for the queue was deleted
      const { replyTo, correlationId } = message.properties;
      const answer = String(fibonacci(Number(message.content.toString())));
      server.sendToQueue(replyTo, Buffer.from(answer), { correlationId });
      server.ack(message);
    });

    const connection = await connect();
    for (const direct of [false, true]) {
      const channel = await connection.createChannel();
      const replyTo = direct ? 'amq.rabbitmq.reply-to' : (await channel.assertQueue('', { exclusive: true })).queue;
      const answers = {};
      const all = withResolvers();
      const onAnswer = ({ content, properties }) => {
        answers[properties.correlationId] = Number(content.toString());
        if (Object.keys(answers).length === 10) all.resolve();
      };
      await channel.consume(replyTo, onAnswer, { noAck: true });
      for (const n of range(0, 10)) {
        channel.sendToQueue(queue, Buffer.from(String(n)), { replyTo, correlationId: `call ${n}` });
      }
      await within(all.promise, 'the answers');
      assert.deepEqual(answers, Object.fromEntries(range(0, 10).map((n) => [`call ${n}`, fibonacci(n)])));
      await channel.close();
    }
    await server.deleteQueue(queue);
    await serving.close();
    await connection.close();
  },

  async confirms() {
    const queue = name('confirms');
    const count = 500;
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(queue);
    const events = [];
    channel.on('return', ({ content }) => events.push(`return ${content}`));
    for (const n of range(1, count + 1)) {
      channel.sendToQueue(queue, Buffer.from(String(n)), { persistent: true }, (error) =>
        events.push(`${error ? 'nack' : 'ack'} ${n}`));
    }
    channel.sendToQueue(`${queue}.missing`, Buffer.from('lost'), { mandatory: true }, (error) =>
      events.push(`${error ? 'nack' : 'ack'} lost`));
    await within(channel.waitForConfirms(), 'the confirms');
    const wanted = [...range(1, count + 1).map((n) => `ack ${n}`), 'ack lost', 'return lost'];
    assert.deepEqual([...events].sort(), wanted.sort(), 'each publish acked once, none nacked');
    assert.ok(events.indexOf('return lost') < events.indexOf('ack lost'), 'the return comes before the ack');
    assert.equal(await ready(channel, queue), count);
    await channel.deleteQueue(queue);
    await connection.close();
  },

  async 'nack-requeue'() {
    const queue = name('queue');
    const connection = await connect();
    const publisher = await connection.createConfirmChannel();
    await publisher.assertQueue(queue);
    for (const n of range(1, 5)) publisher.sendToQueue(queue, Buffer.from(`m${n}`));
    await publisher.waitForConfirms();
    let channel = await connection.createChannel();
    let last;
    const got = async (count) => {
      const seen = [];
      for (const _ of range(0, count)) {
        last = await channel.get(queue);
        assert.ok(last, 'the queue is empty too early');
        seen.push(`${last.content}${last.fields.redelivered ? ' again' : ''}`);
      }
      return seen;
    };
    const three = ['m1 again', 'm2 again', 'm3 again'];
    assert.deepEqual(await got(1), ['m1']);
    channel.nack(last, false, true);
    assert.deepEqual(await got(3), ['m1 again', 'm2', 'm3'], 'after a nack with requeue');
    channel.nack(last, true, true);
    assert.deepEqual(await got(4), [...three, 'm4'], 'after a nack of three with requeue');
    channel.reject(last, false);
    await channel.recover();
    assert.deepEqual(await got(3), three, 'after a reject without requeue and a recover');
    await channel.close();
    channel = await connection.createChannel();
    assert.deepEqual(await got(3), three, 'after the channel was closed with three in hand');
    channel.ack(last, true);
    assert.equal(await ready(channel, queue), 0);
    await channel.deleteQueue(queue);
    await connection.close();
  },

  async 'persistence-before'() {
    const [exchange, queue] = [name('exchange'), name('queue')];
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    await channel.assertExchange(exchange, 'topic', { durable: true });
    await channel.assertQueue(queue, { durable: true, maxLength: 100000 });
    await channel.bindQueue(queue, exchange, 'kept.#');
    for (const n of range(0, 100)) {
      const properties = { persistent: true, messageId: String(n), headers: { n } };
      channel.publish(exchange, `kept.${n}`, pattern(n * 100), properties);
    }
    channel.publish(exchange, 'kept.not', Buffer.from('transient'), { persistent: false });
    await channel.waitForConfirms();
    for (const _ of range(0, 10)) channel.ack(await channel.get(queue));
    await channel.close();
    await connection.close();
  },

  async 'persistence-after'() {
    const [exchange, queue] = [name('exchange'), name('queue')];
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    await channel.checkExchange(exchange);
    await channel.assertQueue(queue, { durable: true, maxLength: 100000 });
    channel.publish(exchange, 'kept.new', Buffer.from('new'), { messageId: 'new' });
    await channel.waitForConfirms();
    const seen = await take(channel, queue, await ready(channel, queue));
    const ids = seen.map(({ properties }) => properties.messageId);
    // What was acked may come back after a kill, never after a clean stop.
    const start = options.clean ? 10 : Math.min(10, Number(ids[0]));
    assert.deepEqual(ids, [...range(start, 100).map(String), 'new'], 'messages after the restart');
    for (const { fields, properties, content } of seen.slice(0, -1)) {
      const n = Number(properties.messageId);
      assert.ok(content.equals(pattern(n * 100)), `body ${n}`);
      assert.equal(properties.deliveryMode, 2);
      assert.deepEqual({ ...properties.headers }, { n });
      assert.deepEqual([fields.exchange, fields.routingKey], [exchange, `kept.${n}`]);
    }
    await channel.deleteQueue(queue);
    await channel.deleteExchange(exchange);
    await connection.close();
  },

  async 'large-bodies'() {
    const queue = name('queue');
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(queue);
    const bodies = [...FRAME_EDGES, LARGE].map(pattern);
    for (const body of bodies) channel.sendToQueue(queue, body, { persistent: true });
    await channel.waitForConfirms();
    const got = await take(channel, queue, bodies.length);
    bodies.forEach((body, n) => {
      assert.equal(got[n].content.length, body.length);
      assert.ok(got[n].content.equals(body), `a body of ${body.length} octets changed on its way`);
    });
    await channel.deleteQueue(queue);
    await connection.close();
  },

  async 'many-channels'() {
    const connection = await connect();
    const channels = [];
    for (const _ of range(0, 200)) channels.push(await connection.createChannel());
    const { queue } = await channels[0].assertQueue('', { exclusive: true });
    for (const [n, channel] of channels.entries()) {
      channel.sendToQueue(queue, Buffer.from(String(n)));
      const [message] = await take(channel, queue, 1);
      assert.deepEqual([message.fields.deliveryTag, message.content.toString()], [1, String(n)]);
    }
    await Promise.all(channels.map((channel) => channel.close()));
    for (const _ of range(0, 500)) await (await connection.createChannel()).close();
    await connection.close();
  },

  async 'heartbeat-idle'() {
    const connection = await connect((url) => url.searchParams.set('heartbeat', '2'));
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await new Promise((resolve) => setTimeout(resolve, 6000));
    channel.sendToQueue(queue, Buffer.from('still here'));
    const [message] = await take(channel, queue, 1);
    assert.equal(message.content.toString(), 'still here');
    await connection.close();
  },

  async 'error-codes'() {
    const [queue, exchange, locked] = [name('queue'), name('exchange'), name('locked')];
    const connection = await connect();
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(queue, { durable: true, maxLength: 1000 });
    await channel.assertExchange(exchange, 'direct');
    await channel.assertQueue(locked, { exclusive: true });
    channel.sendToQueue(queue, Buffer.from('one'));
    await channel.waitForConfirms();
    const stranger = await connect();
    const ignore = () => {};

    // What is done, the code, the class and the method, the text, and the connection to use.
    const channelErrors = [
      [(ch) => ch.checkQueue('nope'), 404, 50, 10, "NOT_FOUND - no queue 'nope' in vhost '/'"],
      [(ch) => ch.checkExchange('nope'), 404, 40, 10, "NOT_FOUND - no exchange 'nope' in vhost '/'"],
      [(ch) => ch.get('nope'), 404, 60, 70, "NOT_FOUND - no queue 'nope' in vhost '/'"],
      [(ch) => ch.consume('nope', ignore), 404, 60, 20, "NOT_FOUND - no queue 'nope' in vhost '/'"],
      [(ch) => ch.purgeQueue('nope'), 404, 50, 30, "NOT_FOUND - no queue 'nope' in vhost '/'"],
      [(ch) => ch.bindQueue(queue, 'nope', 'k'), 404, 50, 20, "NOT_FOUND - no exchange 'nope' in vhost '/'"],
      [(ch) => ch.bindExchange('nope', exchange, 'k'), 404, 40, 30, "NOT_FOUND - no exchange 'nope' in vhost '/'"],
      [(ch) => ch.publish('nope', 'key', Buffer.alloc(0)), 404, 60, 40, "NOT_FOUND - no exchange 'nope' in vhost '/'"],
      [(ch) => ch.ack({ fields: { deliveryTag: 99 } }), 406, 60, 80, 'PRECONDITION_FAILED - unknown delivery tag 99'],
      [(ch) => ch.nack({ fields: { deliveryTag: 99 } }), 406, 60, 120, 'PRECONDITION_FAILED - unknown delivery tag 99'],
      [(ch) => ch.reject({ fields: { deliveryTag: 99 } }), 406, 60, 90, 'PRECONDITION_FAILED - unknown delivery tag 99'],
      [(ch) => ch.publish('', queue, Buffer.alloc(0), { expiration: 'soon' }), 406, 60, 40,
        "PRECONDITION_FAILED - invalid expiration 'soon': no_integer"],
      [(ch) => ch.publish('', queue, Buffer.alloc(0), { userId: 'bob' }), 406, 60, 40,
        "PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was 'guest'"],
      [(ch) => ch.assertQueue(queue, { durable: true, maxLength: 2000 }), 406, 50, 10,
        `PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue '${queue}' in vhost '/': ` +
        "received '2000' but current is '1000'"],
      [(ch) => ch.assertQueue(queue, { durable: true, autoDelete: true, maxLength: 1000 }), 406, 50, 10,
        `PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue '${queue}' in vhost '/': ` +
        "received 'true' but current is 'false'"],
      [(ch) => ch.assertExchange(exchange, 'fanout'), 406, 40, 10,
        `PRECONDITION_FAILED - inequivalent arg 'type' for exchange '${exchange}' in vhost '/': ` +
        "received 'fanout' but current is 'direct'"],
      [(ch) => ch.deleteQueue(queue, { ifEmpty: true }), 406, 50, 40,
        `PRECONDITION_FAILED - queue '${queue}' in vhost '/' not empty`],
      [(ch) => ch.assertExchange('amq.nope', 'direct'), 403, 40, 10,
        "ACCESS_REFUSED - exchange name 'amq.nope' contains reserved prefix 'amq.*'"],
      [(ch) => ch.assertQueue('amq.nope'), 403, 50, 10,
        "ACCESS_REFUSED - queue name 'amq.nope' contains reserved prefix 'amq.*'"],
      [async (ch) => {
        await ch.consume(queue, ignore, { exclusive: true });
        await ch.consume(queue, ignore);
      }, 403, 60, 20, `ACCESS_REFUSED - queue '${queue}' in vhost '/' in exclusive use`],
      [(ch) => ch.assertQueue(locked, { exclusive: true }), 405, 50, 10,
        `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${locked}' in vhost '/'. It could be ` +
        'originally declared on another connection or the exclusive property value does not match that of the ' +
        'original declaration.', stranger],
    ];
    for (const [act, code, classId, methodId, text, where = connection] of channelErrors) {
      const failing = await where.createChannel();
      const closed = new Promise((resolve) => failing.on('error', resolve));
      Promise.resolve(act(failing)).catch(ignore);
      const error = await within(closed, text);
      assert.deepEqual([error.code, error.classId, error.methodId], [code, classId, methodId], `${text}; ${error}`);
      const sent = text.length > 255 ? `${text.slice(0, 252)}...` : text; // a reply text is cut to 255 octets
      assert.ok(error.message.includes(`"${sent}"`), `${error.message}; expected ${sent}`);
    }
    assert.equal(await ready(channel, queue), 1, 'messages, seen by a channel that did nothing wrong');
    await stranger.close();

    const connectionErrors = [
      [async (ch) => {
        await ch.consume(queue, ignore, { consumerTag: 't' });
        await ch.consume(queue, ignore, { consumerTag: 't' });
      }, 530, "NOT_ALLOWED - attempt to reuse consumer tag 't'"],
      [(ch) => ch.publish('', queue, Buffer.alloc(0), { immediate: true }), 540, 'NOT_IMPLEMENTED - immediate=true'],
    ];
    for (const [act, code, text] of connectionErrors) {
      const other = await connect();
      const failing = await other.createChannel();
      failing.on('error', ignore);
      if (text.includes('immediate')) setImmediateFlag(failing);
      Promise.resolve(act(failing)).catch(ignore);
      const error = await within(other.failure, text);
      assert.equal(error.code, code, `${text}; ${error}`);
      assert.ok(error.message.includes(`"${text}"`), `${error.message}; expected ${text}`);
    }
    const loginErrors = [
      [(url) => Object.assign(url, { password: 'wrong' }),
        '403 (ACCESS-REFUSED) with message "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. ' +
        'For details see the broker logfile."'],
      [(url) => Object.assign(url, { pathname: '/nope' }),
        'Expected ConnectionOpenOk; got <ConnectionClose channel:0>'], // all that amqplib tells
    ];
    for (const [change, text] of loginErrors) {
      await assert.rejects(connect(change), (error) => {
        assert.ok(error.message.includes(text), `${error.message}; expected ${text}`);
        return true;
      });
    }
    await channel.deleteQueue(queue);
    await channel.deleteExchange(exchange);
    await connection.close();
  },
};

/** amqplib has no option for `immediate`, so its bit is set on the way to the wire. */
function setImmediateFlag(channel) {
  const send = channel.sendMessage;
  channel.sendMessage = function sendImmediate(fields, ...rest) {
    return send.call(this, { ...fields, immediate: true }, ...rest);
  };
}

// The start

Object.assign(scenarios, extensions, operated);
const scenario = scenarios[options.scenario];
if (!scenario) {
  console.error(`usage: client.js --uri URI SCENARIO, with one of: ${Object.keys(scenarios).join(' ')}`);
  process.exit(2);
}
const giveUp = (error) => {
  console.error(`node ${options.scenario}: ${error?.stack ?? error}`);
  process.exit(1);
};
setTimeout(() => giveUp(`still running after ${LIMIT / 1000} s`), LIMIT).unref();
process.on('unhandledRejection', giveUp);
scenario().then(() => process.exit(0), giveUp);
