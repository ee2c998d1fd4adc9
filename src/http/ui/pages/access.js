// Permissions and topic permissions: tables and forms, shared by users and virtual hosts.

import { del, exchangeInPath, path, put } from '../js/api.js';
import { act } from '../js/app.js';
import { h } from '../js/dom.js';
import { confirm, form } from '../js/form.js';
import { name } from '../js/format.js';
import { userLink, vhostLink } from '../js/parts.js';
import { session } from '../js/state.js';
import { table } from '../js/table.js';

function pattern(text) {
  return text === '' ? h('span.dim', 'nothing') : h('code.inline', name(text));
}

function owner(of) {
  return of === 'user'
    ? { id: 'vhost', label: 'Virtual host', sort: 'vhost', always: true, cell: (row) => vhostLink(row.vhost) }
    : { id: 'user', label: 'User', sort: 'user', always: true, cell: (row) => userLink(row.user) };
}

const shown = (id, label) => ({
  id, label, sort: id, always: true, cell: (row) => pattern(row[id]),
});

function removal(remove) {
  return {
    id: 'actions', label: '', always: true,
    cell: (row) => h('button.plain', { type: 'button', onclick: () => remove(row) }, 'Clear'),
  };
}

/** The permissions of a user in its virtual hosts, or of the users of a virtual host. */
export function permissionTable(of, rows) {
  return table({
    id: `${of}-permissions`, rows, unit: 'permission', plain: true, sort: of === 'user' ? 'vhost' : 'user',
    key: (row) => `${row.vhost}/${row.user}`,
    empty: of === 'user' ? 'This user can open no virtual host.' : 'No user can open this virtual host.',
    columns: [owner(of), shown('configure', 'Configure'), shown('write', 'Write'), shown('read', 'Read'),
      removal(async (row) => {
        const sure = await confirm({
          title: 'Clear the permissions', action: 'Clear',
          text: ['User ', name(row.user), ' can then not open virtual host ', name(row.vhost), '.'],
        });
        if (sure) await act(() => del(path`/permissions/${row.vhost}/${row.user}`), 'Cleared');
      })],
  });
}

export function topicTable(of, rows) {
  return table({
    id: `${of}-topics`, rows, unit: 'topic permission', plain: true,
    sort: of === 'user' ? 'vhost' : 'user', empty: 'None: routing keys are free.',
    key: (row) => `${row.vhost}/${row.user}/${row.exchange}`,
    columns: [owner(of),
      { id: 'exchange', label: 'Exchange', sort: 'exchange', always: true, cell: (row) => name(row.exchange, '(default exchange)') },
      shown('write', 'Write'), shown('read', 'Read'),
      removal(async (row) => {
        const sure = await confirm({
          title: 'Clear the topic permissions', action: 'Clear',
          text: ['Of user ', name(row.user), ' on exchange ', name(row.exchange, '(default exchange)'),
            ' in virtual host ', name(row.vhost), '?'],
        });
        const { vhost, user, exchange } = row;
        const target = path`/topic-permissions/${vhost}/${user}/${exchangeInPath(exchange)}`;
        if (sure) await act(() => del(target), 'Cleared');
      })],
  });
}

/** The field that names the other side: a virtual host for a user, a user for a virtual host. */
function other(known) {
  return known.user === undefined
    ? { name: 'user', label: 'User', required: true }
    : {
      name: 'vhost', label: 'Virtual host', type: 'select', value: session.vhosts[0],
      options: session.vhosts.map((vhost) => [vhost, vhost]),
    };
}

const regex = (field, label, hint) => ({
  name: field, label, value: '.*', hint, attrs: { class: 'mono' },
});

/** Sets permissions; `known` has the user or the virtual host. */
export function permissionForm(known) {
  return form({
    fields: [other(known),
      regex('configure', 'Configure', 'names to declare and delete; empty for none'),
      regex('write', 'Write', 'names to publish and bind to'),
      regex('read', 'Read', 'names to consume and bind from')],
    label: 'Set permissions', done: 'Set',
    submit: (values) => {
      const { vhost, user, configure, write, read } = { ...values, ...known };
      return put(path`/permissions/${vhost}/${user}`, { configure, write, read });
    },
  });
}

export function topicForm(known) {
  return form({
    fields: [other(known),
      { name: 'exchange', label: 'Exchange', value: 'amq.topic', required: true },
      regex('write', 'Write', 'routing keys to publish with'),
      regex('read', 'Read', 'binding keys to bind with')],
    label: 'Set topic permissions', done: 'Set',
    submit: (values) => {
      const { vhost, user, exchange, write, read } = { ...values, ...known };
      return put(path`/topic-permissions/${vhost}/${user}`, { exchange, write, read });
    },
  });
}
