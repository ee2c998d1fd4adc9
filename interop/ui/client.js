#!/usr/bin/env node
// The management page in headless Chromium, used as people use it:
// `client.js --uri URI [--management URL] [--id ID] SCENARIO`. INTEROP_SHOTS names a folder for a picture of a failure.

const assert = require('node:assert/strict');
const amqp = require('amqplib');
const { withPage, login, open, until } = require('./browser');

const LIMIT = Number(process.env.INTEROP_LIMIT ?? 110) * 1000;

const options = { uri: 'amqp://guest:guest@127.0.0.1:5672', id: String(process.pid) };
for (let args = process.argv.slice(2); args.length; ) {
  const arg = args.shift();
  if (arg.startsWith('--')) options[arg.slice(2)] = args.shift();
  else options.scenario = arg;
}
const amqpUrl = new URL(options.uri);
const management = new URL(options.management ?? 'http://guest:guest@127.0.0.1:15672');
const base = `${management.origin}/`;
const user = { username: decodeURIComponent(management.username), password: decodeURIComponent(management.password) };

/** A virtual host for each scenario, so that lists hold nothing else. */
const vhost = `ui.${options.scenario}.${options.id}`;
const e = encodeURIComponent;

// The API, for what the page is not tested with

async function api(method, path, body) {
  const response = await fetch(`${base}api${path}`, {
    method,
    headers: {
      authorization: `Basic ${Buffer.from(`${user.username}:${user.password}`).toString('base64')}`,
      'content-type': 'application/json',
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok && response.status !== 404) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text && response.ok ? JSON.parse(text) : undefined;
}

const queueOf = (name) => api('GET', `/queues/${e(vhost)}/${e(name)}`);
const declare = (name, body = {}) => api('PUT', `/queues/${e(vhost)}/${e(name)}`, { durable: true, ...body });
const publish = (key, payload, properties = {}) => api('POST', `/exchanges/${e(vhost)}/amq.default/publish`,
  { properties, routing_key: key, payload, payload_encoding: 'string' });

function connect() {
  const url = new URL(amqpUrl);
  url.pathname = `/${e(vhost)}`;
  return amqp.connect(url.href, { clientProperties: { connection_name: 'ui-test' } });
}

// The page's parts

const row = (page, text) => page.locator('tbody tr').filter({ hasText: text });
const dialog = (page) => page.locator('dialog[open]');
const heading = (page, text) => page.locator('#main h1', { hasText: text });
const card = (page, title) => page.locator('.card').filter({ has: page.getByRole('heading', { name: title, exact: true }) });
const tab = (page, name) => page.getByRole('tab', { name });

/** A fresh login with the scenario's virtual host chosen and a poll each second. */
async function enter(page) {
  await login(page, user);
  await page.getByLabel('Virtual host of the lists').selectOption({ label: vhost });
  await page.getByLabel('Refresh interval').selectOption('1');
}

async function confirmed(page, button) {
  await dialog(page).getByRole('button', { name: button }).click();
  await dialog(page).waitFor({ state: 'detached' });
}

/** The last toast; they pile up while a scenario is quick. */
const said = (page, text) => page.locator('.toast', { hasText: text }).last().waitFor();

const scenarios = {
  async 'page-login'() {
    await withPage(base, async (page) => {
      const home = await page.request.get(base);
      assert.match(home.headers()['content-security-policy'] ?? '', /default-src 'self'/);
      assert.equal(await page.evaluate(() => document.activeElement.name), 'username');
      await page.getByLabel('User name').fill(user.username);
      await page.getByLabel('Password').fill(`${user.password}-wrong`);
      await page.getByRole('button', { name: 'Log in' }).click();
      await page.getByRole('alert').filter({ hasText: 'not known here' }).waitFor();
      await login(page, user);
      await heading(page, 'Overview').waitFor();
      await page.reload();
      await heading(page, 'Overview').waitFor();
      await page.getByTitle('Log out').click();
      await page.getByLabel('Password').waitFor();
      await page.reload();
      await page.getByLabel('Password').waitFor();

      // Credentials that are kept in memory alone go with the page.
      await page.getByLabel('Stay logged in').uncheck();
      await login(page, user);
      assert.equal(await page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }])
        .includes('Basic ')), false);
      await page.reload();
      await page.getByLabel('Password').waitFor();

      // A deep link is followed after the login.
      await page.goto(`${base}#/queues`);
      await login(page, user);
      await heading(page, 'Queues').waitFor();

      // A session that ends while the page is open.
      await api('PUT', `/users/${e(vhost)}`, { password: 'x', tags: 'management' });
      await page.getByTitle('Log out').click();
      await login(page, { username: vhost, password: 'x' });
      await page.getByLabel('Refresh interval').selectOption('1');
      assert.equal(await page.getByRole('link', { name: 'Users' }).count(), 0, 'what only administrators see');
      await api('PUT', `/permissions/${e(vhost)}/${e(vhost)}`, { configure: '', write: '', read: '.*' });
      await open(page, 'vhosts', vhost);
      await heading(page, vhost).waitFor();
      await api('PUT', `/users/${e(vhost)}`, { password: 'y', tags: 'management' });
      await page.getByRole('status').filter({ hasText: 'log in again' }).waitFor();
    }, { refusals: [401] });
    await api('DELETE', `/users/${e(vhost)}`);
  },

  async 'page-rates'() {
    await declare('live');
    const connection = await connect();
    const channel = await connection.createChannel();
    await channel.consume('live', (message) => channel.ack(message));
    const pulse = setInterval(() => channel.sendToQueue('live', Buffer.from('tick')), 20);
    try {
      await withPage(base, async (page) => {
        await enter(page);
        const chart = page.getByRole('figure', { name: 'Message rates' });
        const publishes = chart.locator('.legend li', { hasText: /^Publish/ });
        await until(async () => assert.match(await publishes.textContent(), /[1-9]/));
        await until(async () => {
          const line = await chart.locator('path.c-publish').last().getAttribute('d');
          const heights = new Set([...line.matchAll(/[ML][\d.]+ ([\d.]+)/g)].map((point) => point[1]));
          assert.ok(heights.size > 1, `the line moves: ${line}`);
        });
        // A series can be hidden, and stays so.
        await publishes.getByRole('button').click();
        await until(async () => assert.equal(await chart.locator('path.c-publish').count(), 0));
        await publishes.getByRole('button').click();

        await open(page, 'queues', vhost, 'live');
        await until(async () => assert.match(await page.getByRole('figure', { name: 'Message rates' })
          .locator('.legend li', { hasText: /^Ack/ }).textContent(), /[1-9]/));
        await tab(page, 'Consumers').click();
        await page.getByRole('cell', { name: /\(1\)$/ }).waitFor();
      });
    } finally {
      clearInterval(pulse);
      await connection.close();
    }
  },

  async 'page-queue'() {
    await withPage(base, async (page) => {
      await enter(page);
      await open(page, 'queues');
      await page.getByText('No queue is declared.').waitFor();
      await page.getByRole('button', { name: 'Declare' }).click();
      assert.equal(await page.evaluate(() => document.activeElement.labels?.[0]?.textContent), 'Name');
      await dialog(page).getByLabel('Name', { exact: true }).first().fill('orders');
      await dialog(page).getByRole('button', { name: 'Max length' }).click();
      assert.equal(await page.evaluate(() => document.activeElement.ariaLabel), 'Value of x-max-length');
      await dialog(page).getByLabel('Value of x-max-length').fill('ten');
      await dialog(page).getByRole('button', { name: 'Declare' }).click();
      await dialog(page).getByRole('alert').filter({ hasText: 'is no number' }).waitFor();
      await dialog(page).getByLabel('Value of x-max-length').fill('1000');
      await dialog(page).getByRole('button', { name: 'Declare' }).click();
      await row(page, 'orders').waitFor();
      const declared = await queueOf('orders');
      assert.equal(declared.arguments['x-max-length'], 1000);
      assert.equal(declared.durable, true);

      // The API's reason is shown where the form is.
      await page.getByRole('button', { name: 'Declare' }).click();
      await dialog(page).getByLabel('Name', { exact: true }).first().fill('orders');
      await dialog(page).getByRole('button', { name: 'Declare' }).click();
      await dialog(page).getByRole('alert').filter({ hasText: 'inequivalent arg' }).waitFor();
      await page.keyboard.press('Escape');
      await dialog(page).waitFor({ state: 'detached' });

      await open(page, 'exchanges');
      await page.getByRole('button', { name: 'Declare' }).click();
      await dialog(page).getByLabel('Name', { exact: true }).first().fill('shop');
      await dialog(page).getByLabel('Type', { exact: true }).selectOption('topic');
      await dialog(page).getByRole('button', { name: 'Declare' }).click();
      await row(page, 'shop').getByRole('link', { name: 'shop' }).click();
      await heading(page, 'shop').waitFor();
      await tab(page, 'Bindings').click();
      await page.getByLabel('Name', { exact: true }).fill('orders');
      await page.getByLabel('Routing key').fill('order.#');
      await page.getByRole('button', { name: 'Bind', exact: true }).click();
      await row(page, 'order.#').waitFor();
      await tab(page, 'Publish').click();
      await page.getByLabel('Routing key').fill('order.created');
      await page.getByRole('button', { name: 'content_type' }).click();
      await page.locator('textarea').fill('{"id":1,"text":"<b>bold</b>"}');
      await page.getByRole('button', { name: 'Publish', exact: true }).click();
      await said(page, 'routed');
      await page.getByLabel('Routing key').fill('nobody');
      await page.getByRole('button', { name: 'Publish', exact: true }).click();
      await page.getByRole('alert').filter({ hasText: 'not routed' }).waitFor();

      await open(page, 'queues', vhost, 'orders');
      await tab(page, 'Messages').click();
      await card(page, 'Get messages').getByRole('button', { name: 'Get', exact: true }).click();
      const message = page.locator('.message');
      await message.waitFor();
      assert.match(await message.textContent(), /from shop.*order\.created.*application\/json/s);
      assert.match(await message.locator('pre').textContent(), /"text": "<b>bold<\/b>"/);
      await message.getByRole('button', { name: 'Publish again' }).click();
      await card(page, 'Publish').getByRole('button', { name: 'Publish', exact: true }).click();
      await said(page, 'Published 1 message');
      await until(async () => assert.equal((await queueOf('orders')).messages, 2));

      // Taken for good, with the page's word for it.
      await page.getByLabel('What happens to them').selectOption('ack_requeue_false');
      await page.getByText('The messages leave the queue.').waitFor();
      await card(page, 'Get messages').getByRole('button', { name: 'Get', exact: true }).click();
      await until(async () => assert.equal((await queueOf('orders')).messages, 1));

      await page.getByRole('button', { name: 'Purge' }).click();
      await dialog(page).getByRole('button', { name: 'Cancel' }).click();
      assert.equal((await queueOf('orders')).messages, 1, 'nothing happens before it is confirmed');
      await page.getByRole('button', { name: 'Purge' }).click();
      await confirmed(page, 'Purge');
      await until(async () => assert.equal((await queueOf('orders')).messages, 0));
      await tab(page, 'Bindings').click();
      await row(page, 'order.#').getByRole('button', { name: 'Unbind' }).click();
      await confirmed(page, 'Unbind');
      await row(page, 'order.#').waitFor({ state: 'detached' });
      await page.getByRole('button', { name: 'Delete' }).click();
      await confirmed(page, 'Delete');
      await heading(page, 'Queues').waitFor();
      await page.getByText('No queue is declared.').waitFor();
      assert.equal(await queueOf('orders'), undefined);

      // A page whose object is gone says so.
      await open(page, 'queues', vhost, 'orders');
      await heading(page, 'Not there').waitFor();
    }, { refusals: [400, 404] });
  },

  async 'page-move'() {
    await declare('from');
    await declare('to');
    for (const n of [1, 2, 3]) await publish('from', `message ${n}`);
    await withPage(base, async (page) => {
      await enter(page);
      await open(page, 'queues', vhost, 'from');
      await page.getByRole('button', { name: 'Move' }).click();
      await dialog(page).getByLabel('To queue').fill('to');
      await dialog(page).getByLabel('Messages').fill('2');
      await dialog(page).getByRole('button', { name: 'Move' }).click();
      await dialog(page).waitFor({ state: 'detached' });
      await until(async () => assert.deepEqual(
        [(await queueOf('from')).messages, (await queueOf('to')).messages], [1, 2]));
    });
  },

  async 'page-connection'() {
    const connection = await connect();
    const closed = new Promise((resolve) => connection.on('close', resolve));
    const channel = await connection.createChannel();
    channel.on('error', () => {});
    await declare('used');
    await channel.prefetch(7);
    await channel.consume('used', () => {});
    await withPage(base, async (page) => {
      await enter(page);
      await open(page, 'connections');
      await row(page, 'ui-test').getByRole('link', { name: /->/ }).click();
      await page.getByText('Client properties').waitFor();
      await page.getByRole('link', { name: '1', exact: true }).click();
      await heading(page, '(1)').waitFor();
      await row(page, 'used').waitFor();
      await open(page, 'consumers');
      await row(page, 'used').filter({ hasText: '7' }).waitFor();
      await open(page, 'connections');
      await row(page, 'ui-test').getByRole('link', { name: /->/ }).click();
      await page.getByRole('button', { name: 'Close\u2026' }).click();
      await dialog(page).getByLabel('Reason').fill('go away, please');
      await dialog(page).getByRole('button', { name: 'Close', exact: true }).last().click();
      assert.match(String(await closed), /go away, please/);
      await page.getByText('No client is connected.').waitFor();
    }, { refusals: [404] });
  },

  async 'page-hostile'() {
    const evil = ['<img src=x onerror=window.pwned=1>', '"><script>window.pwned=1</script>',
      "'onmouseover='window.pwned=1", 'javascript:window.pwned=1', 'a/b?c#d%41&e=f+g h', 'back\u202eward',
      '%2e%2e', 'x'.repeat(255), '\u65e5\u672c \ud83d\udc07', '{{7*7}}${7*7}'];
    for (const name of evil) {
      await declare(name, { arguments: { 'x-dead-letter-exchange': name.slice(0, 120) } });
      await api('PUT', `/exchanges/${e(vhost)}/${e(name)}`, { type: 'topic', durable: true });
      await api('POST', `/bindings/${e(vhost)}/e/${e(name)}/q/${e(name)}`,
        { routing_key: name, arguments: { [name.slice(0, 100)]: name } });
    }
    const [worst] = evil;
    await publish(worst, worst, { content_type: worst, headers: { [worst]: worst, deep: [{ [worst]: worst }] } });
    await api('PUT', `/policies/${e(vhost)}/${e(worst)}`, {
      pattern: '<img', 'apply-to': 'queues', definition: { 'max-length': 5 },
    });
    await withPage(base, async (page) => {
      await enter(page);
      const markup = () => page.evaluate(() => document.querySelectorAll('#app img, #app script, #app iframe').length);
      for (const list of ['queues', 'exchanges', 'policies', 'vhosts']) {
        await open(page, list);
        await page.locator('tbody tr').first().waitFor();
        assert.equal(await markup(), 0, list);
      }
      await open(page, 'queues');
      for (const name of evil) {
        const link = page.locator('tbody a.row-link').filter({ hasText: name.split('\u202e')[0] }).first();
        assert.equal(await link.getAttribute('href'), `#/queues/${e(vhost)}/${e(name)}`);
      }
      await page.getByText('\\u202e').waitFor();
      for (const name of evil) {
        for (const kind of ['queues', 'exchanges']) {
          await open(page, kind, vhost, name);
          await until(async () => {
            const title = await page.locator('#main h1').textContent();
            assert.equal(title.replaceAll('\\u202e', '\u202e'), name);
          });
          await tab(page, 'Bindings').click();
          await page.getByRole('button', { name: 'Bind', exact: true }).waitFor();
          assert.equal(await markup(), 0, `${kind} ${name}`);
        }
      }
      await open(page, 'policies', vhost, worst);
      await heading(page, worst).waitFor();
      await page.locator('.names a').filter({ hasText: worst }).waitFor();
      await open(page, 'queues', vhost, worst);
      await tab(page, 'Messages').click();
      await page.getByRole('button', { name: 'Get', exact: true }).click();
      await page.locator('.message').waitFor();
      assert.equal(await page.locator('.message pre').textContent(), worst);
      assert.equal(await markup(), 0, 'a message');
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'JSON' }).click();
      assert.ok((await page.locator('pre.json').textContent()).includes(worst));
      await page.keyboard.press('Escape');
      await page.keyboard.press('Control+k');
      await page.keyboard.type('<img');
      await page.getByRole('option').filter({ hasText: worst }).first().waitFor();
      assert.equal(await markup(), 0, 'search');
      await page.keyboard.press('Escape');

      // A name that a browser would resolve away is refused before anything is sent.
      await open(page, 'queues', vhost, '..');
      await page.getByText('be part of a URL').waitFor();

      // What a hostile name says in a question, and that it is that queue alone which goes.
      await open(page, 'queues', vhost, 'a/b?c#d%41&e=f+g h');
      await page.getByRole('button', { name: 'Delete' }).click();
      await confirmed(page, 'Delete');
      await heading(page, 'Queues').waitFor();
      await until(async () => assert.equal((await api('GET', `/queues/${e(vhost)}`)).length, evil.length - 1));
    }, { refusals: [404] });
  },

  async 'page-keyboard'() {
    for (const name of ['alpha', 'beta', 'gamma']) await declare(name);
    await withPage(base, async (page) => {
      await enter(page);
      await page.evaluate(() => document.activeElement.blur());
      const keys = page.keyboard;
      await keys.press('g');
      await keys.press('q');
      await heading(page, 'Queues').waitFor();
      await row(page, 'gamma').waitFor();
      await keys.press('/');
      await keys.type('^(beta|gamma)$');
      await page.getByText('None of 3 queues matches.').waitFor();
      await keys.press('Tab');
      await keys.press('Space');
      await row(page, 'beta').waitFor();
      await row(page, 'alpha').waitFor({ state: 'detached' });
      assert.match(page.url(), /q=.*regex=1/, 'the filter is in the link');
      await page.evaluate(() => document.activeElement.blur());
      await keys.press('j');
      await keys.press('j');
      await keys.press('Enter');
      await heading(page, 'gamma').waitFor();
      await page.goBack();
      await row(page, 'beta').waitFor();
      assert.equal(await page.locator('tbody tr').count(), 2, 'back to the filtered list');
      await keys.press('/');
      await keys.press('Escape');
      await row(page, 'alpha').waitFor();
      await keys.press('Escape');

      await keys.press('n');
      await dialog(page).getByLabel('Name', { exact: true }).first().fill('delta');
      await keys.press('Enter');
      await dialog(page).waitFor({ state: 'detached' });
      await row(page, 'delta').waitFor();

      await keys.press('Control+k');
      await keys.type('alph');
      await page.getByRole('option', { name: /alpha/ }).waitFor();
      await keys.press('Enter');
      await heading(page, 'alpha').waitFor();
      await keys.press('.');
      assert.ok((await dialog(page).textContent()).includes('"name": "alpha"'));
      await keys.press('Escape');
      await keys.press('?');
      await dialog(page).getByText('Search everything').waitFor();
      await keys.press('Escape');
      await keys.press('t');
      await until(async () => assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'light'));

      // Tabs by arrows, and what is focused can be seen.
      await tab(page, 'Overview').focus();
      await keys.press('ArrowRight');
      await until(async () => assert.equal(await tab(page, 'Consumers').getAttribute('aria-selected'), 'true'));
      await keys.press('Tab');
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      assert.equal(outline, 'solid');

      // Everything that can be clicked has a name for those who can't see it.
      for (const place of ['', 'queues', 'exchanges', 'users', 'vhosts', 'policies', 'limits', 'cluster']) {
        await open(page, place);
        await page.locator('#main h1').waitFor();
        const nameless = await page.evaluate(() => [...document.querySelectorAll('button, a, input, select, textarea')]
          .filter((el) => !(el.textContent.trim() || el.getAttribute('aria-label') || el.title || el.labels?.length))
          .map((el) => el.outerHTML.slice(0, 200)));
        assert.deepEqual(nameless, [], place);
      }
    });
  },

  async 'page-admin'() {
    const other = `${vhost}.made`;
    const name = `user ${options.id}`;
    try {
      await withPage(base, async (page) => {
        await login(page, user);
        await open(page, 'vhosts');
        await page.getByRole('button', { name: 'Add' }).click();
        await dialog(page).getByLabel('Name', { exact: true }).fill(other);
        await dialog(page).getByLabel('Default queue type').selectOption('quorum');
        await dialog(page).getByRole('button', { name: 'Add' }).click();
        await page.getByRole('link', { name: other }).click();
        await heading(page, other).waitFor();
        await page.getByRole('button', { name: 'Protect' }).click();
        await page.getByRole('button', { name: 'Unprotect' }).waitFor();
        assert.equal(await page.getByRole('button', { name: 'Delete' }).isDisabled(), true);
        await page.getByRole('button', { name: 'Unprotect' }).click();

        await open(page, 'users');
        await page.getByRole('button', { name: 'Add' }).click();
        await dialog(page).getByLabel('Name', { exact: true }).fill(name);
        await dialog(page).getByLabel('Password', { exact: true }).fill('secret');
        await dialog(page).getByLabel('Password again').fill('other');
        await dialog(page).getByRole('button', { name: 'Add' }).click();
        await dialog(page).getByText('The passwords differ.').waitFor();
        await dialog(page).getByLabel('Password again').fill('secret');
        await dialog(page).getByRole('button', { name: 'Add' }).click();
        await page.getByRole('link', { name }).click();
        await heading(page, name).waitFor();
        const hash = (await api('GET', `/users/${e(name)}`)).password_hash;
        await page.getByRole('button', { name: 'Tags' }).click();
        await dialog(page).getByLabel('Tags').fill('monitoring, policymaker');
        await dialog(page).getByRole('button', { name: 'Save' }).click();
        await until(async () => {
          const now = await api('GET', `/users/${e(name)}`);
          assert.deepEqual([...now.tags].sort(), ['monitoring', 'policymaker']);
          assert.equal(now.password_hash, hash, 'the password stays');
        });
        await page.getByText('Set permissions', { exact: true }).first().click();
        await page.getByLabel('Virtual host', { exact: true }).first().selectOption(other);
        await page.getByLabel('Configure').fill('^none$');
        await page.getByRole('button', { name: 'Set permissions' }).click();
        await row(page, '^none$').waitFor();
        await page.getByText('Set a limit').click();
        await page.getByLabel('At most').fill('5');
        await page.getByRole('button', { name: 'Set', exact: true }).click();
        await row(page, 'max-connections').waitFor();
        await row(page, '^none$').getByRole('button', { name: 'Clear' }).click();
        await confirmed(page, 'Clear');
        await page.getByText('This user can open no virtual host.').waitFor();

        await open(page, 'policies');
        await page.getByRole('button', { name: 'Add' }).click();
        await dialog(page).getByLabel('Virtual host').selectOption(other);
        await dialog(page).getByLabel('Name', { exact: true }).first().fill('short');
        await dialog(page).getByLabel('Pattern').fill('^s');
        await dialog(page).getByRole('button', { name: 'Add' }).last().click();
        await dialog(page).getByText('The definition is empty').waitFor();
        await dialog(page).getByRole('button', { name: 'Max length' }).click();
        await dialog(page).getByLabel('Value of max-length').fill('9');
        await dialog(page).getByRole('button', { name: 'Add' }).last().click();
        await page.getByRole('link', { name: 'short' }).click();
        await api('PUT', `/queues/${e(other)}/small`, { durable: true });
        await page.keyboard.press('r');
        await page.locator('.names a', { hasText: 'small' }).waitFor();

        await open(page, 'cluster');
        const [download] = await Promise.all([
          page.waitForEvent('download'), page.getByRole('button', { name: 'Download' }).click(),
        ]);
        const { readFileSync } = require('node:fs');
        const definitions = JSON.parse(readFileSync(await download.path(), 'utf8'));
        assert.ok(definitions.queues.some((queue) => queue.name === 'small' && queue.vhost === other));

        await open(page, 'vhosts', other);
        await page.locator('input[type=file]').setInputFiles({
          name: 'd.json', mimeType: 'application/json', buffer: Buffer.from('{"queues": ['),
        });
        await page.getByRole('button', { name: 'Upload' }).click();
        await page.getByText('is not JSON').waitFor();
        await page.locator('input[type=file]').setInputFiles({
          name: 'd.json', mimeType: 'application/json',
          buffer: Buffer.from(JSON.stringify({
            queues: [{ name: 'uploaded', durable: true, auto_delete: false, arguments: {} }],
          })),
        });
        await page.getByRole('button', { name: 'Upload' }).click();
        await dialog(page).getByText('1 queues').waitFor();
        await confirmed(page, 'Upload');
        await until(async () => assert.ok(await api('GET', `/queues/${e(other)}/uploaded`)));

        await page.getByRole('button', { name: 'Delete' }).click();
        assert.equal(await dialog(page).getByRole('button', { name: 'Delete' }).isDisabled(), true);
        await dialog(page).getByRole('textbox').fill(other);
        await confirmed(page, 'Delete');
        await heading(page, 'Virtual hosts').waitFor();
        await until(async () => assert.equal(await api('GET', `/vhosts/${e(other)}`), undefined));
        await open(page, 'users', name);
        await page.getByRole('button', { name: 'Delete' }).click();
        await confirmed(page, 'Delete');
        await heading(page, 'Users').waitFor();
        assert.equal(await api('GET', `/users/${e(name)}`), undefined);
      }, { refusals: [404] });
    } finally {
      await api('DELETE', `/users/${e(name)}`);
      await api('DELETE', `/vhosts/${e(other)}`);
    }
  },

  async 'page-lists'() {
    const many = 1200;
    const connection = await connect();
    const channel = await connection.createChannel();
    for (let n = 0; n < many; n += 1) await channel.assertQueue(`q.${String(n).padStart(5, '0')}`, { durable: true });
    try {
      await withPage(base, async (page) => {
        await enter(page);
        const sizes = [];
        page.on('response', async (response) => {
          if (response.url().includes('/api/queues')) sizes.push((await response.body().catch(() => '')).length);
        });
        await open(page, 'queues');
        await page.getByText(`1\u2013100 of 1,200`).waitFor();
        assert.equal(await page.locator('tbody tr').count(), 100);
        await page.getByRole('button', { name: 'Last page' }).click();
        await row(page, 'q.01199').waitFor();
        assert.match(page.url(), /page=12/);
        await page.keyboard.press('/');
        await page.keyboard.type('q.0077');
        await page.getByText('1\u201310 of 10 (1,200 in all)').waitFor();
        await page.keyboard.press('Escape');
        await page.getByText('1\u2013100 of 1,200').waitFor();
        await page.getByRole('button', { name: 'Name', exact: true }).click();
        await row(page, 'q.01199').waitFor();
        assert.equal(await page.getByRole('columnheader', { name: 'Name' }).getAttribute('aria-sort'), 'descending');
        await page.getByRole('button', { name: 'Columns' }).click();
        await page.getByLabel('Memory').check();
        await page.getByRole('columnheader', { name: 'Memory' }).waitFor();
        await page.keyboard.press('Escape');
        // Never all of them: a page of rows, with the fields that are shown.
        assert.ok(Math.max(...sizes) < 120_000, `an answer of ${Math.max(...sizes)} bytes`);

        await row(page, 'q.01199').getByRole('checkbox').check();
        await row(page, 'q.01198').getByRole('checkbox').check();
        await page.getByText('2 marked').waitFor();
        await page.getByRole('button', { name: 'Purge\u2026' }).click();
        await confirmed(page, 'Purge');
        await said(page, 'Purged 2 queues');
      });
    } finally {
      await connection.close();
    }
  },
};

async function main() {
  const scenario = scenarios[options.scenario];
  if (!scenario) throw new Error(`no scenario ${options.scenario}; there are: ${Object.keys(scenarios).join(', ')}`);
  await api('PUT', `/vhosts/${e(vhost)}`, {});
  await api('PUT', `/permissions/${e(vhost)}/${e(user.username)}`, { configure: '.*', write: '.*', read: '.*' });
  try {
    await scenario();
  } finally {
    await api('DELETE', `/vhosts/${e(vhost)}`);
  }
}

const late = setTimeout(() => {
  console.error(`not done after ${LIMIT / 1000} s`);
  process.exit(1);
}, LIMIT);
main().then(() => clearTimeout(late), (error) => {
  console.error(error);
  process.exit(1);
});
