// Ctrl K: search over every kind of object, and the places and actions by name.

import { get, query } from './api.js';
import { app, go } from './app.js';
import { h, icon } from './dom.js';
import { openDialog } from './form.js';
import { name } from './format.js';
import { exchangeHref, queueHref, route } from './parts.js';
import { session } from './state.js';
import { places } from './routes.js';

/** Objects of each kind that are shown. */
const EACH = 6;

const paged = (kind, columns) => async (text, signal) => {
  const answer = await get(`/${kind}${query({ page: 1, page_size: EACH, name: text, columns })}`,
    { signal });
  return Array.isArray(answer) ? matching(answer, text) : answer.items;
};
const whole = (kind) => async (text, signal) => matching(await get(`/${kind}`, { signal }), text);

function matching(rows, text) {
  const lower = text.toLowerCase();
  return rows.filter((row) => row.name.toLowerCase().includes(lower)).slice(0, EACH);
}

const KINDS = [
  { icon: 'queues', label: 'Queue', find: paged('queues', 'name,vhost'), href: (row) => queueHref(row.vhost, row.name) },
  {
    icon: 'exchanges', label: 'Exchange', find: paged('exchanges', 'name,vhost'),
    href: (row) => exchangeHref(row.vhost, row.name),
  },
  {
    icon: 'connections', label: 'Connection', find: paged('connections', 'name,vhost'),
    href: (row) => route('connections', row.name),
  },
  { icon: 'channels', label: 'Channel', find: paged('channels', 'name,vhost'), href: (row) => route('channels', row.name) },
  { icon: 'vhosts', label: 'Virtual host', find: whole('vhosts'), href: (row) => route('vhosts', row.name) },
  {
    icon: 'users', label: 'User', tag: 'administrator', find: whole('users'),
    href: (row) => route('users', row.name),
  },
  {
    icon: 'policies', label: 'Policy', tag: 'policymaker', find: whole('policies'),
    href: (row) => route('policies', row.vhost, row.name),
  },
];

export function openSearch() {
  if (app.dialogs.some(({ search }) => search)) return;
  let text = '';
  let found = [];
  let chosen = 0;
  let timer;
  let asking = null;
  let entry;

  function local() {
    const lower = text.toLowerCase();
    return places().flatMap((group) => group.places)
      .filter((place) => place.label.toLowerCase().includes(lower))
      .map((place) => ({
        icon: place.icon, label: 'Go to', name: place.label, href: `#/${place.path}`,
      }));
  }

  async function ask() {
    asking?.abort();
    const mine = asking = new AbortController();
    const wanted = text.trim();
    if (wanted === '') {
      found = [];
      app.redraw();
      return;
    }
    const lists = await Promise.all(KINDS.filter(({ tag }) => !tag || session.can(tag))
      .map((kind) => kind.find(wanted, mine.signal)
        .then((rows) => rows.map((row) => ({
          icon: kind.icon, label: kind.label, name: row.name, vhost: row.vhost,
          empty: '(default exchange)', href: kind.href(row),
        })), () => [])));
    if (mine.signal.aborted) return;
    const lower = wanted.toLowerCase();
    const rank = (row) => (row.name.toLowerCase() === lower ? 0
      : row.name.toLowerCase().startsWith(lower) ? 1 : 2);
    found = lists.flat().map((row, i) => [rank(row), i, row])
      .sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, , row]) => row);
    chosen = 0;
    app.redraw();
  }

  const rows = () => [...found, ...local()];

  function open(row) {
    entry.close();
    go(row.href);
  }

  function onKey(event) {
    const all = rows();
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      chosen = (chosen + step + all.length) % Math.max(1, all.length);
      app.redraw();
      setTimeout(() => document.getElementById(`found${chosen}`)?.scrollIntoView({ block: 'nearest' }), 0);
    } else if (event.key === 'Enter' && all[chosen]) {
      event.preventDefault();
      open(all[chosen]);
    }
  }

  function view() {
    const all = rows();
    return h('div.search',
      h('input.first', {
        type: 'text', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'found',
        'aria-activedescendant': all[chosen] ? `found${chosen}` : false,
        'aria-label': 'Search for', placeholder: 'Queues, exchanges, connections, users\u2026',
        autocomplete: 'off', spellcheck: 'false', onkeydown: onKey,
        oninput: (event) => {
          text = event.currentTarget.value;
          chosen = 0;
          clearTimeout(timer);
          timer = setTimeout(ask, 120);
          app.redraw();
        },
      }),
      h('ul', { id: 'found', role: 'listbox', 'aria-label': 'Found' },
        all.map((row, i) => h('li', {
          key: `${row.label} ${row.href}`, id: `found${i}`, role: 'option',
          'aria-selected': String(i === chosen), onclick: () => open(row),
        }, icon(row.icon), h('span.what', name(row.name, row.empty)),
        row.vhost === undefined ? null : h('span.dim.where', name(row.vhost)), h('span.dim', row.label)))),
      all.length === 0 ? h('p.empty', 'Nothing of that name.') : null);
  }

  entry = openDialog({
    title: 'Search', light: true, search: true, closed: () => asking?.abort(),
    body: view,
  });
}
