// Limits of virtual hosts and users.

import { del, get, path, put } from '../js/api.js';
import { act } from '../js/app.js';
import { h } from '../js/dom.js';
import { confirm, form, FormError } from '../js/form.js';
import { count, name } from '../js/format.js';
import { card, heading, userLink, vhostLink } from '../js/parts.js';
import { session } from '../js/state.js';
import { table } from '../js/table.js';

const LIMITS = {
  vhost: [['max-connections', 'Connections'], ['max-queues', 'Queues']],
  user: [['max-connections', 'Connections'], ['max-channels', 'Channels']],
};

/** One row for each limit of the API's `[{vhost | user, value: {limit: n}}]`. */
function flat(kind, list) {
  return list.flatMap((entry) => Object.entries(entry.value ?? {})
    .map(([limit, value]) => ({ owner: entry[kind], limit, value })));
}

/** A table of limits; `kind` is `vhost` or `user`, `all` that it is of more than one. */
export function limitTable(kind, list, all = false) {
  const named = {
    id: 'owner', label: kind === 'user' ? 'User' : 'Virtual host', sort: 'owner', always: true,
    cell: (row) => (kind === 'user' ? userLink(row.owner) : vhostLink(row.owner)),
  };
  return table({
    id: `${kind}-limits${all ? '-all' : ''}`, rows: () => flat(kind, list()), unit: 'limit',
    plain: true, sort: 'owner', key: (row) => `${row.owner}/${row.limit}`, empty: 'No limits.',
    columns: [
      ...(all ? [named] : []),
      { id: 'limit', label: 'Limit', sort: 'limit', always: true, cell: (row) => row.limit },
      { id: 'value', label: 'At most', sort: 'value', num: true, always: true, cell: (row) => count(row.value) },
      {
        id: 'actions', label: '', always: true,
        cell: (row) => h('button.plain', { type: 'button', onclick: () => clear(kind, row) }, 'Clear'),
      },
    ],
  });
}

async function clear(kind, row) {
  const sure = await confirm({
    title: 'Clear the limit', action: 'Clear', text: [`Clear ${row.limit} of `, name(row.owner), '?'],
  });
  if (sure) await act(() => del(place(kind, row.owner, row.limit)), 'Cleared');
}

function place(kind, owner, limit) {
  return kind === 'user' ? path`/user-limits/${owner}/${limit}` : path`/vhost-limits/${owner}/${limit}`;
}

/** Sets a limit; `known` has the user or the virtual host, if it is known. */
export function limitForm(known, kind = known.user === undefined ? 'vhost' : 'user') {
  const owner = known[kind];
  const fields = owner !== undefined ? [] : [kind === 'user'
    ? { name: 'owner', label: 'User', required: true }
    : {
      name: 'owner', label: 'Virtual host', type: 'select', value: session.vhosts[0],
      options: session.vhosts.map((vhost) => [vhost, vhost]),
    }];
  return form({
    fields: [...fields,
      {
        name: 'limit', label: 'Limit', type: 'select', value: LIMITS[kind][0][0],
        options: LIMITS[kind].map(([limit, label]) => [limit, `${label} (${limit})`]),
      },
      { name: 'value', label: 'At most', type: 'number', required: true, hint: '0 allows none, -1 any number' }],
    label: 'Set', done: 'Set',
    submit: (values) => {
      if (!Number.isInteger(values.value)) throw new FormError('At most: a whole number.');
      return put(place(kind, owner ?? values.owner, values.limit), { value: values.value });
    },
  });
}

export function limits() {
  let vhosts = [];
  let users = [];
  const ofVhosts = limitTable('vhost', () => vhosts, true);
  const ofUsers = limitTable('user', () => users, true);
  const setVhost = limitForm({}, 'vhost');
  const setUser = limitForm({}, 'user');

  async function load(signal) {
    [vhosts, users] = await Promise.all([
      get('/vhost-limits', { signal }), get('/user-limits', { signal }),
    ]);
  }

  return {
    title: 'Limits',
    load,
    view: () => [
      heading({ title: 'Limits' }),
      h('div.grid.two',
        card('Of virtual hosts', ofVhosts.view(), h('details', h('summary', 'Set a limit'), setVhost.view())),
        card('Of users', ofUsers.view(), h('details', h('summary', 'Set a limit'), setUser.view()))),
    ],
  };
}
