// What the scenarios share: the command line, a connection, and ways to take messages from a queue.

const assert = require('node:assert/strict');
const amqp = require('amqplib');

const DEADLINE = 30_000;
// The command line

const options = { uri: process.env.AMQP_URI ?? 'amqp://guest:guest@127.0.0.1:5672', id: String(process.pid) };
for (let args = process.argv.slice(2); args.length; ) {
  const arg = args.shift();
  if (arg === '--clean') options.clean = true;
  else if (arg.startsWith('--')) options[arg.slice(2)] = args.shift();
  else options.scenario = arg;
}
const family = String(options.scenario).replace(/-(before|after)$/, '');
const name = (what) => `interop.node.${family}.${options.id}.${what}`;

// What the scenarios share

/** A connection; `change` edits the URL first. Its errors are kept in `connection.failure`. */
async function connect(change = () => {}) {
  const url = new URL(options.uri);
  change(url);
  const connection = await amqp.connect(url.href, { noDelay: true });
  connection.failure = new Promise((resolve) => connection.on('error', resolve));
  return connection;
}

/** Waits for a promise, but not forever. */
function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${DEADLINE / 1000} s for ${what}`)), DEADLINE);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The next `count` deliveries of a queue. */
async function take(channel, queue, count) {
  const taken = [];
  const { promise, resolve } = withResolvers();
  const onMessage = (message) => {
    taken.push(message);
    if (taken.length === count) resolve();
  };
  const { consumerTag } = await channel.consume(queue, onMessage, { noAck: true });
  if (count) await within(promise, `${count} messages`);
  await channel.cancel(consumerTag);
  return taken;
}

/** All ready messages of a queue as text, got one by one. */
async function drain(channel, queue) {
  const texts = [];
  for (;;) {
    const message = await channel.get(queue, { noAck: true });
    if (!message) return texts;
    texts.push(message.content.toString());
  }
}

const ready = async (channel, queue) => (await channel.checkQueue(queue)).messageCount;

function withResolvers() {
  const parts = {};
  parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
  return parts;
}

/** A body in which no two pages are alike, so that a lost or swapped frame shows. */
function pattern(size) {
  const body = Buffer.alloc(size);
  for (let n = 0; n * 8 < size; n++) body.write(`${String(n).padStart(7, '0')}\n`, n * 8);
  return body;
}

const range = (from, to) => Array.from({ length: to - from }, (_, n) => from + n);

/** Declares an exclusive queue that the server names. */
const temporary = async (channel, args = {}) =>
  (await channel.assertQueue('', { exclusive: true, durable: false, arguments: args })).queue;

/** Publishes on a confirming channel; says whether the broker took the message. */
const publish = (channel, exchange, key, body, properties = {}) =>
  within(new Promise((resolve) => {
    channel.publish(exchange, key, Buffer.from(body), properties, (error) => resolve(!error));
  }), 'a confirm');

/** Publishes with the mandatory flag; says whether the message came back. */
async function isReturned(channel, exchange, key, properties = {}) {
  let returned = false;
  const onReturn = () => { returned = true; };
  channel.on('return', onReturn);
  await publish(channel, exchange, key, key, { ...properties, mandatory: true });
  channel.off('return', onReturn);
  return returned;
}

/** Starts a consumer with manual acks; `next()` waits for what comes, `tag` cancels it. */
async function consume(channel, queue, settings = {}) {
  const [came, waiting] = [[], []];
  const { consumerTag: tag } = await channel.consume(queue, (message) => {
    if (waiting.length) waiting.shift()(message);
    else came.push(message);
  }, settings);
  const next = () => (came.length ? came.shift() : within(new Promise((resolve) => waiting.push(resolve)), 'a message'));
  return { next, tag, came };
}

/** Does something with a channel that must be closed for it, with this reply. */
async function refused(connection, code, text, act) {
  const names = { 403: 'ACCESS_REFUSED', 404: 'NOT_FOUND', 406: 'PRECONDITION_FAILED' };
  const channel = await connection.createChannel();
  const closed = new Promise((resolve) => channel.on('error', resolve));
  Promise.resolve(act(channel)).catch(() => {});
  const error = await within(closed, text);
  assert.equal(error.code, code, `${text}; ${error}`);
  assert.ok(error.message.includes(`"${names[code]} - ${text}"`), `${error.message}; expected ${text}`);
}

module.exports = {
  DEADLINE, options, name, connect, within, take, drain, ready, withResolvers, pattern, range, temporary, publish,
  isReturned, consume, refused,
};
