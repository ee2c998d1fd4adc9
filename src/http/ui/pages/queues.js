// The list of queues.

import { del, get, path, put, query } from '../js/api.js';
import { act } from '../js/app.js';
import { h, icon } from '../js/dom.js';
import { confirm, formDialog } from '../js/form.js';
import { ago, bytes, count, name, plural, rate, short } from '../js/format.js';
import { brief, heading, link, queueLink, route, stateBadge, vhostField, vhostLink } from '../js/parts.js';
import { features, queuePresets } from '../js/presets.js';
import { scope, session } from '../js/state.js';
import { countColumn, rateColumn, table, vhostColumn } from '../js/table.js';

const size = (id, label, field) => ({
  id, label, num: true, sort: field, hide: true, cell: (row) => bytes(row[field]),
});

/** A number with where it goes: growing is what an operator looks for. */
function trend(row) {
  const growth = row.messages_details?.rate ?? 0;
  const mark = growth > 0 ? h('span.trend.up', { title: `grows by ${rate(growth)}` }, `\u2191${short(growth)}`)
    : growth < 0 ? h('span.trend', { title: `shrinks by ${rate(-growth)}` }, `\u2193${short(-growth)}`) : null;
  return [mark, ' ', row.messages === 0 ? h('span.dim', '0') : count(row.messages)];
}

function consumersOf(row) {
  const waits = row.consumers === 0 && row.messages_ready > 0 && row.type !== 'stream';
  return waits ? h('span.warn', { title: 'Messages wait, and nothing consumes them' }, icon('warn'), ' 0')
    : count(row.consumers);
}

const COLUMNS = [
  { id: 'name', label: 'Name', sort: 'name', always: true, cell: (row) => queueLink(row.vhost, row.name) },
  vhostColumn((row) => vhostLink(row.vhost)),
  {
    id: 'type', label: 'Type', sort: 'type',
    cell: (row) => row.type ?? row.arguments?.['x-queue-type'] ?? 'classic',
  },
  {
    id: 'features', label: 'Features', cell: features,
    fields: ['durable', 'auto_delete', 'exclusive', 'arguments', 'effective_policy_definition'],
  },
  {
    id: 'policy', label: 'Policy', sort: 'policy', hide: true,
    cell: (row) => (row.policy ? link(route('policies', row.vhost, row.policy), row.policy) : ''),
  },
  { id: 'state', label: 'State', sort: 'state', cell: (row) => stateBadge(row.state) },
  countColumn('ready', 'Ready', 'messages_ready'),
  countColumn('unacked', 'Unacked', 'messages_unacknowledged'),
  {
    id: 'total', label: 'Total', sort: 'messages', num: true, cell: trend,
    fields: ['messages', 'messages_details.rate'],
  },
  size('bytes', 'Bytes', 'message_bytes'),
  rateColumn('in', 'In', 'publish'),
  rateColumn('out', 'Out', 'deliver_get', { title: 'Delivered or got' }),
  rateColumn('ack', 'Ack', 'ack'),
  rateColumn('redeliver', 'Redeliver', 'redeliver', { hide: true }),
  {
    id: 'consumers', label: 'Consumers', sort: 'consumers', num: true, cell: consumersOf,
    fields: ['consumers', 'messages_ready'],
  },
  {
    id: 'capacity', label: 'Capacity', title: 'Consumer capacity: how often consumers could take a message at once',
    sort: 'consumer_capacity', num: true, hide: true,
    cell: (row) => (typeof row.consumer_capacity === 'number' && row.consumers > 0
      ? `${Math.round(row.consumer_capacity * 100)} %` : ''),
  },
  countColumn('persistent', 'Persistent', 'messages_persistent', { hide: true }),
  size('memory', 'Memory', 'memory'),
  { id: 'idle', label: 'Idle for', sort: 'idle_since', num: true, hide: true, cell: (row) => ago(row.idle_since) },
  { id: 'arguments', label: 'Arguments', fields: ['arguments'], hide: true, cell: (row) => brief(row.arguments) },
  { id: 'node', label: 'Node', sort: 'node', hide: true, cell: (row) => name(row.node) },
];

function declare() {
  formDialog({
    title: 'Declare a queue', label: 'Declare', wide: true,
    done: (_, { name: declared }) => `Declared ${declared}`,
    fields: [
      vhostField(),
      { name: 'name', label: 'Name', required: true },
      {
        name: 'type', label: 'Type', type: 'select', value: '',
        options: [['', `Default (${session.broker.default_queue_type ?? 'of the virtual host'})`],
          ['classic', 'Classic'], ['quorum', 'Quorum'], ['stream', 'Stream']],
      },
      { name: 'durable', label: 'Durable: it survives a restart', type: 'check', value: true },
      { name: 'auto', label: 'Auto-delete: gone when its last consumer is', type: 'check' },
      { name: 'arguments', label: 'Arguments', type: 'arguments', presets: queuePresets },
    ],
    submit: (values) => put(path`/queues/${values.vhost}/${values.name}`, {
      durable: values.durable, auto_delete: values.auto,
      arguments: { ...values.arguments, ...(values.type ? { 'x-queue-type': values.type } : {}) },
    }),
  });
}

export function queues() {
  const list = table({
    id: 'queues', url: true, unit: 'queue', sort: 'name',
    fields: ['name', 'vhost', 'type'], columns: COLUMNS, key: (row) => `${row.vhost}/${row.name}`,
    empty: 'No queue is declared.',
    source: (params, signal) => get((scope.vhost === undefined ? '/queues'
      : path`/queues/${scope.vhost}`) + query(params), { signal }),
    marks: [
      { label: 'Purge\u2026', danger: true, run: purgeMany },
      { label: 'Delete\u2026', danger: true, run: removeMany },
    ],
  });
  return {
    title: 'Queues',
    load: list.load,
    view: () => [heading({
      title: 'Queues',
      actions: h('button.primary', { type: 'button', 'data-new': true, onclick: declare },
        icon('plus'), h('span', 'Declare')),
    }), list.view()],
  };
}

function names(rows) {
  return h('ul.names', rows.slice(0, 10).map((row) => h('li', { key: `${row.vhost}/${row.name}` }, name(row.name))),
    rows.length > 10 ? h('li', `and ${rows.length - 10} more`) : null);
}

async function each(rows, { title, text, action, done, work }) {
  const sure = await confirm({ title, text: [text, names(rows)], action });
  if (!sure) return false;
  return act(async () => {
    for (const row of rows) {
      await work(row).catch((error) => { if (error.status !== 404) throw error; });
    }
  }, done);
}

function purgeMany(rows) {
  return each(rows, {
    title: 'Purge queues', action: 'Purge', done: `Purged ${plural(rows.length, 'queue')}`,
    text: `Remove all ready messages of ${plural(rows.length, 'queue')}?`,
    work: (row) => del(path`/queues/${row.vhost}/${row.name}/contents`),
  });
}

function removeMany(rows) {
  return each(rows, {
    title: 'Delete queues', action: 'Delete', done: `Deleted ${plural(rows.length, 'queue')}`,
    text: `Delete ${plural(rows.length, 'queue')} with all their messages?`,
    work: (row) => del(path`/queues/${row.vhost}/${row.name}`),
  });
}
