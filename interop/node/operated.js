// Users, vhosts, limits and policies: what an operator sets through the management API, as amqplib sees it.

const assert = require('node:assert/strict');
const {
  DEADLINE, options, name, connect, within, take, drain, ready, range, temporary, publish, isReturned, consume, refused,
} = require('./scenario');

/** Calls a method of the management API at a path of these segments. */
async function manage(method, path, body = {}) {
  const api = new URL(options.management);
  const url = [`${api.origin}/api`, ...path.map(encodeURIComponent)].join('/');
  const authorization = `Basic ${Buffer.from(`${api.username}:${api.password}`).toString('base64')}`;
  const headers = { authorization, 'content-type': 'application/json' };
  const answer = await fetch(url, { method, headers, body: JSON.stringify(body) });
  assert.ok(answer.ok, `${method} ${url}: ${answer.status} ${await answer.text()}`);
}

/** Makes a user whose password is its name. */
const addUser = (user) => manage('PUT', ['users', user], { password: user, tags: '' });
const allow = (user, vhost, pattern) =>
  manage('PUT', ['permissions', vhost, user], { configure: pattern, write: pattern, read: pattern });

const exactly = (text) => `^${text.replaceAll('.', '[.]')}`;

const connectAs = (user, vhost) => connect((url) =>
  Object.assign(url, { username: user, password: user, pathname: `/${encodeURIComponent(vhost)}` }));

/** A login that the broker refuses when the vhost is opened; this is all that amqplib tells of it. */
const noLogin = (user, vhost) =>
  assert.rejects(connectAs(user, vhost), /Expected ConnectionOpenOk; got <ConnectionClose/);

async function until(done, what) {
  const end = Date.now() + DEADLINE;
  while (!await done()) {
    assert.ok(Date.now() < end, `waited for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const scenarios = {
  async permissions(guest) {
    const [user, mine, other, others] = ['user', 'mine', 'other', 'others'].map(name);
    await guest.assertQueue(other);
    await guest.assertExchange(others, 'topic');
    await addUser(user);
    await noLogin(user, '/');

    await allow(user, '/', exactly(mine));
    let limited = await connectAs(user, '/');
    let channel = await limited.createConfirmChannel();
    await channel.assertQueue(mine);
    await channel.assertExchange(mine, 'topic');
    await channel.bindQueue(mine, mine, '#');
    await publish(channel, mine, 'bills.new', 'mine');
    assert.deepEqual(await drain(channel, mine), ['mine'], 'what the user may do');
    for (const [permission, resource, act] of [
      ['configure', "queue 'new'", (ch) => ch.assertQueue('new')],
      ['configure', `queue '${other}'`, (ch) => ch.deleteQueue(other)],
      ['configure', "exchange 'new'", (ch) => ch.assertExchange('new', 'fanout')],
      ['write', `queue '${other}'`, (ch) => ch.bindQueue(other, mine, 'k')],
      ['read', `exchange '${others}'`, (ch) => ch.bindQueue(mine, others, 'k')],
      ['write', `exchange '${others}'`, (ch) => ch.publish(others, 'k', Buffer.alloc(0))],
      ['write', "exchange 'amq.default'", (ch) => ch.sendToQueue(mine, Buffer.alloc(0))],
      ['read', `queue '${other}'`, (ch) => ch.get(other)],
      ['read', `queue '${other}'`, (ch) => consume(ch, other)],
      ['read', `queue '${other}'`, (ch) => ch.purgeQueue(other)],
      ['read', "queue 'missing'", (ch) => ch.get('missing')],
    ]) {
      await refused(limited, 403, `${permission} access to ${resource} in vhost '/' refused for user '${user}'`, act);
    }

    const topics = { exchange: mine, write: '^orders[.]', read: '^orders[.]' };
    await manage('PUT', ['topic-permissions', '/', user], topics);
    await limited.close();
    limited = await connectAs(user, '/');
    channel = await limited.createConfirmChannel();
    await publish(channel, mine, 'orders.new', 'orders');
    assert.deepEqual(await drain(channel, mine), ['orders'], 'what the user may publish');
    for (const [permission, act] of [
      ['write', (ch) => ch.publish(mine, 'bills.new', Buffer.alloc(0))],
      ['read', (ch) => ch.bindQueue(mine, mine, 'bills.new')],
    ]) {
      await refused(limited, 403, `${permission} access to topic 'bills.new' in exchange '${mine}' in vhost '/' ` +
        `refused for user '${user}'`, act);
    }
    await limited.close();

    await manage('PUT', ['users', user], { password: 'changed', tags: '' });
    await assert.rejects(connectAs(user, '/'), /ACCESS_REFUSED - Login was refused/);
    for (const queue of [mine, other]) await guest.deleteQueue(queue);
    for (const exchange of [mine, others]) await guest.deleteExchange(exchange);
    await manage('DELETE', ['users', user]);
  },

  /** A vhost has queues of its own; with it go its connections. */
  async vhosts(channel) {
    const [queue, vhost, user] = ['queue', 'vhost', 'user'].map(name);
    await channel.assertQueue(queue);
    await manage('PUT', ['vhosts', vhost]);
    await addUser(user);
    await allow(user, vhost, '.*');
    const inside = await connectAs(user, vhost);
    const other = await inside.createConfirmChannel();
    await other.assertQueue(queue, { maxLength: 5 }); // another queue of this name
    await publish(other, '', queue, 'inside');
    assert.deepEqual([await ready(channel, queue), await ready(other, queue)], [0, 1]);
    await refused(inside, 404, `no queue 'missing' in vhost '${vhost}'`, (ch) => ch.get('missing'));
    // amqplib takes this close for one in order, without an error.
    const closed = new Promise((resolve) => inside.on('close', resolve));
    await manage('DELETE', ['vhosts', vhost]);
    const reason = await within(closed, 'the end of the connection');
    // RabbitMQ says that it is deleted or, sometimes, that it is down; or it hangs up before amqplib has answered.
    if (reason.code !== 'ECONNRESET') {
      assert.ok(reason.message.includes(`CONNECTION_FORCED - vhost '${vhost}' is d`), reason.message);
      assert.equal(reason.code, 320);
    }
    await noLogin(user, vhost);
    await manage('DELETE', ['users', user]);
    await channel.deleteQueue(queue);
  },

  async limits() {
    const [vhost, user] = ['vhost', 'user'].map(name);
    await manage('PUT', ['vhosts', vhost]);
    await addUser(user);
    await allow(user, vhost, '.*');
    await manage('PUT', ['vhost-limits', vhost, 'max-queues'], { value: 1 });
    await manage('PUT', ['vhost-limits', vhost, 'max-connections'], { value: 1 });
    await manage('PUT', ['user-limits', user, 'max-channels'], { value: 2 });
    const connection = await connectAs(user, vhost);
    const channel = await connection.createChannel();
    await channel.assertQueue('one');
    await channel.assertQueue('one');
    await refused(connection, 406, `cannot declare queue 'two': queue limit in vhost '${vhost}' (1) is reached`,
      (ch) => ch.assertQueue('two'));
    await noLogin(user, vhost);
    await manage('DELETE', ['vhost-limits', vhost, 'max-connections']);
    await manage('PUT', ['user-limits', user, 'max-connections'], { value: 1 });
    await noLogin(user, vhost);
    await connection.createChannel();
    connection.createChannel().catch(() => {});
    const error = await within(connection.failure, 'the end of the connection');
    assert.equal(error.code, 530);
    assert.ok(error.message.includes(`number of channels opened for user '${user}' has reached the maximum allowed ` +
      'user limit of 2'), error.message);
    await manage('DELETE', ['users', user]);
    await manage('DELETE', ['vhosts', vhost]);
  },

  /** Policies change what is there at once, and their end undoes them. */
  async policies(channel) {
    const [queue, main, spare] = ['queue', 'main', 'spare'].map(name);
    const [letters, unknown] = [await temporary(channel), await temporary(channel)];
    const setPolicy = (kind, what, applyTo, definition) =>
      manage('PUT', [kind, '/', what], { pattern: `${exactly(what)}$`, 'apply-to': applyTo, definition });
    await channel.assertQueue(queue);
    for (const n of range(1, 5)) await publish(channel, '', queue, `m${n}`);
    const toLetters = { 'dead-letter-exchange': '', 'dead-letter-routing-key': letters };
    await setPolicy('policies', queue, 'queues', { 'max-length': 3, ...toLetters });
    await until(async () => await ready(channel, queue) === 3, "the end of messages beyond the policy's limit");
    await setPolicy('operator-policies', queue, 'queues', { 'max-length': 1 });
    await until(async () => await ready(channel, queue) === 1, "the end of those beyond the operator's");
    await publish(channel, '', queue, 'm5');
    assert.deepEqual(await drain(channel, queue), ['m5'], 'what stays');
    const lost = await take(channel, letters, 4);
    assert.deepEqual(lost.map(({ content }) => content.toString()), ['m1', 'm2', 'm3', 'm4'], 'what became letters');
    for (const { properties } of lost) assert.equal(properties.headers['x-last-death-reason'], 'maxlen');
    await manage('DELETE', ['operator-policies', '/', queue]);
    await manage('DELETE', ['policies', '/', queue]);
    for (const n of range(6, 10)) await publish(channel, '', queue, `m${n}`);
    assert.equal(await ready(channel, queue), 4, 'messages without a limit');

    await channel.assertExchange(main, 'direct');
    await channel.assertExchange(spare, 'fanout');
    await channel.bindQueue(unknown, spare, '');
    await setPolicy('policies', main, 'exchanges', { 'alternate-exchange': spare });
    await until(async () => !await isReturned(channel, main, 'unknown'), 'the alternate exchange');
    await manage('DELETE', ['policies', '/', main]);
    await until(() => isReturned(channel, main, 'unknown'), 'its end');
    await channel.deleteQueue(queue);
    for (const exchange of [main, spare]) await channel.deleteExchange(exchange);
  },
};

for (const [key, run] of Object.entries(scenarios)) {
  module.exports[key] = async () => {
    const connection = await connect();
    await run(await connection.createConfirmChannel());
    await connection.close();
  };
}
