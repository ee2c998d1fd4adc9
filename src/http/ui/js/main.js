// Starts the page: the route, the shell around a page, the timer, and the login.

import { ApiError, get, whenUnauthorized } from './api.js';
import { app, fail } from './app.js';
import { h, icon, render } from './dom.js';
import { dialogView } from './form.js';
import { clock, name } from './format.js';
import { checkHealth, forgetHealth } from './health.js';
import { onKey } from './keys.js';
import { login } from './login.js';
import { shell } from './shell.js';
import { choice, scope, session } from './state.js';
import { pageOf } from './routes.js';

const root = document.getElementById('app');
let page = null;
let pagePath = null;
let loading = null;
let timer;
let drawn = false;
let lost = false;
let updated = 0;
let learned = 0;
/** A page was opened, and its heading has not been given the focus yet. */
let arrived = false;

function parseRoute() {
  const hash = location.hash.replace(/^#\/?/, '');
  const [before, after = ''] = hash.split('?');
  const path = before.split('/').filter((part) => part !== '').map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { path, query: Object.fromEntries(new URLSearchParams(after)) };
}

function hashOf({ path, query }) {
  const values = Object.entries(query).filter(([, value]) => value !== undefined);
  const search = new URLSearchParams(values).toString();
  return `#/${path.map(encodeURIComponent).join('/')}${search ? `?${search}` : ''}`;
}

app.setQuery = (values, history = false) => {
  const query = { ...app.route.query, ...values };
  const hash = hashOf({ path: app.route.path, query });
  if (history) window.history.pushState(null, '', hash);
  else window.history.replaceState(null, '', hash);
  app.route = parseRoute();
  app.redraw();
  app.reload();
};

/** Shows what the route says, with a new page when its path is another one. */
function follow() {
  app.route = parseRoute();
  const path = JSON.stringify(app.route.path);
  if (path !== pagePath) {
    pagePath = path;
    app.errors = [];
    app.object = undefined;
    app.dialogs = [];
    app.menu = false;
    loading?.abort();
    loading = null;
    page = session.user ? pageOf(app.route.path) : null;
    drawNow();
    window.scrollTo(0, 0);
    arrived = true;
    greet();
    // Virtual hosts may have come and gone since.
    if (session.user && Date.now() - learned > 15000) app.learn().catch(() => {});
  }
  app.reload();
}

/** Readers of screens, and the Tab key, begin at the page's heading. */
function greet() {
  const title = root.querySelector('main h1');
  if (!arrived || !title) return;
  arrived = false;
  if (!app.dialogs.length) title.focus({ preventScroll: true });
}

app.redraw = () => {
  if (drawn) return;
  drawn = true;
  queueMicrotask(drawNow);
};

function drawNow() {
  drawn = false;
  if (!session.user) {
    render(root, login({ enter }), app.dialogs.map(dialogView));
    document.title = 'Lepus';
    return;
  }
  const problem = page?.missing;
  const title = page?.title ?? 'Lepus';
  document.title = title === 'Lepus' ? title : `${title} \u00b7 Lepus`;
  render(root, shell({
    path: app.route.path, lost, updated: updated ? clock(updated) : '', leave,
    content: h('div.page', { key: pagePath },
      problem ? missing() : safely(() => page?.view())),
  }), app.dialogs.map(dialogView), toasts());
  greet();
}

// A field that the API left out must not take the whole page away.
function safely(view) {
  try {
    return view();
  } catch (error) {
    console.error(error);
    return h('p.error', { role: 'alert' }, `This page failed: ${error.message}`);
  }
}

function missing() {
  const [kind, ...names] = app.route.path;
  return h('div.missing',
    h('h1', { tabindex: '-1' }, 'Not there'),
    h('p', 'The broker does not have ', name(names.at(-1)), ' (any more).'),
    h('p', h('a', { href: `#/${kind === 'nodes' ? '' : kind}` }, 'Back to the list')));
}

function toasts() {
  return h('div.toasts', { 'aria-live': 'polite' }, app.toasts.map((entry) => h('div.toast',
    { key: entry.id }, icon('check'), h('span', entry.text))));
}

/** Loads the page's data; a newer call replaces one under way. A `quiet` one shows no progress. */
app.reload = async (quiet = false) => {
  clearTimeout(timer);
  if (!session.user || !page) return;
  loading?.abort();
  const mine = loading = new AbortController();
  const target = page;
  if (quiet !== true && !app.busy) {
    app.busy = true;
    app.redraw();
  }
  try {
    await target.load?.(mine.signal);
    if (mine.signal.aborted) return;
    updated = Date.now();
    lost = false;
    target.missing = undefined;
  } catch (error) {
    if (error.name === 'AbortError' || mine.signal.aborted) return;
    if (error instanceof ApiError && error.status === 0) lost = true;
    else if (error.status === 404) target.missing = error;
    else fail(error);
  }
  if (loading === mine) loading = null;
  app.busy = false;
  app.redraw();
  // After the page's own questions, so that it never waits for this.
  checkHealth().then(() => app.redraw());
  schedule();
};

function schedule() {
  clearTimeout(timer);
  const seconds = lost ? 2 : choice('refresh', 5);
  if (seconds > 0 && session.user) {
    timer = setTimeout(() => {
      // Nobody looks: the next poll waits until somebody does.
      if (document.hidden) return;
      app.reload(true);
    }, seconds * 1000);
  }
}

/** Takes up a session: who it is, what the broker is. */
async function enter() {
  session.user = await get('/whoami');
  await app.learn();
  pagePath = null;
  follow();
}

/** What forms and the header need to know of the broker. */
app.learn = async () => {
  const [broker, vhosts] = await Promise.all([
    get('/overview?columns=exchange_types,cluster_name,node,product_name,product_version,erlang_full_version,sample_retention_policies,'
      + 'rabbitmq_version,default_queue_type,is_op_policy_updating_enabled'),
    get('/vhosts?columns=name').catch(() => []),
  ]);
  learned = Date.now();
  session.broker = broker ?? {};
  session.vhosts = (vhosts ?? []).map((vhost) => vhost.name).sort();
  if (scope.vhost !== undefined && !session.vhosts.includes(scope.vhost)) scope.set(undefined);
  app.redraw();
};

function leave(reason) {
  loading?.abort();
  clearTimeout(timer);
  session.logout();
  forgetHealth();
  app.dialogs = [];
  app.errors = [];
  app.toasts = [];
  page = null;
  pagePath = null;
  app.loginNote = reason;
  app.redraw();
}

whenUnauthorized((error) => {
  if (session.user) leave(`Please log in again: ${error.reason}`);
});
window.addEventListener('hashchange', follow);
window.addEventListener('popstate', () => { app.route = parseRoute(); app.redraw(); });
document.addEventListener('visibilitychange', () => { if (!document.hidden) app.reload(); });
document.addEventListener('keydown', onKey);

async function start() {
  if (!session.authorization) {
    app.redraw();
    return;
  }
  try {
    await enter();
  } catch (error) {
    session.logout();
    app.loginNote = error.status === 401 ? undefined : error.message;
    app.redraw();
  }
}

start();
