// Virtual hosts: the list, and a page for one.

import { ApiError, del, get, path, post, put, query } from '../js/api.js';
import { act, app, go } from '../js/app.js';
import { lengthsChart, ratesChart, samplesQuery } from '../js/chart.js';
import { h, icon } from '../js/dom.js';
import { confirm, formDialog } from '../js/form.js';
import { bytes, count, name } from '../js/format.js';
import { badge, card, facts, heading, messageTiles, route } from '../js/parts.js';
import { scope, session } from '../js/state.js';
import { countColumn, rateColumn, table } from '../js/table.js';
import { permissionForm, permissionTable, topicForm, topicTable } from './access.js';
import { definitionsOf } from './cluster.js';
import { limitForm, limitTable } from './limits.js';

const COLUMNS = [
  {
    id: 'name', label: 'Name', sort: 'name', always: true,
    cell: (row) => [h('a.row-link', { href: route('vhosts', row.name) }, name(row.name)),
      row.description ? h('div.dim', name(row.description)) : null],
  },
  { id: 'tags', label: 'Tags', cell: (row) => list(row.tags).map((tag) => [badge(name(tag)), ' ']) },
  { id: 'type', label: 'Default queue type', sort: 'default_queue_type', cell: (row) => row.default_queue_type },
  { id: 'state', label: 'State', cell: states },
  countColumn('ready', 'Ready', 'messages_ready'),
  countColumn('unacked', 'Unacked', 'messages_unacknowledged'),
  countColumn('total', 'Total', 'messages'),
  rateColumn('in', 'In', 'publish'),
  rateColumn('out', 'Out', 'deliver_get'),
];

function list(tags) {
  return Array.isArray(tags) ? tags : String(tags ?? '').split(',').filter(Boolean);
}

function states(row) {
  const found = Object.entries(row.cluster_state ?? {});
  const bad = found.filter(([, state]) => state !== 'running');
  return [bad.length ? bad.map(([node, state]) => badge(`${state} on ${node}`, 'bad')) : badge('running', 'good'),
    row.protected_from_deletion ? [' ', badge('protected', 'quiet', 'protected from deletion')] : null,
    row.tracing ? [' ', badge('tracing', 'warn')] : null];
}

const fields = (row = {}) => [
  { name: 'description', label: 'Description', value: row.description ?? '' },
  { name: 'tags', label: 'Tags', value: list(row.tags).join(', '), hint: 'Separated by commas.' },
  {
    name: 'type', label: 'Default queue type', type: 'select', value: typeOf(row.default_queue_type),
    options: [['', 'The broker\u2019s'], ['classic', 'Classic'], ['quorum', 'Quorum'], ['stream', 'Stream']],
  },
];

function typeOf(text) {
  return ['classic', 'quorum', 'stream'].includes(text) ? text : '';
}

function body({ description, tags, type }) {
  const values = { description, tags: tags.split(',').map((tag) => tag.trim()).filter(Boolean).join(',') };
  return type ? { ...values, default_queue_type: type } : values;
}

function add() {
  formDialog({
    title: 'Add a virtual host', label: 'Add', done: 'Added',
    fields: [{ name: 'name', label: 'Name', required: true }, ...fields()],
    submit: (values) => put(path`/vhosts/${values.name}`, body(values)),
    after: () => app.learn(),
  });
}

/** A virtual host with its counts. Only administrators may ask for one; all may list theirs. */
export async function oneVhost(own, params, signal) {
  if (session.can('administrator')) return get(path`/vhosts/${own}` + params, { signal });
  const found = (await get(`/vhosts${params}`, { signal })).find((row) => row.name === own);
  if (!found) throw new ApiError(404, 'Not Found', path`/vhosts/${own}`);
  return found;
}

export function vhosts() {
  const shown = table({
    id: 'vhosts', url: true, unit: 'virtual host', sort: 'name', columns: COLUMNS,
    key: (row) => row.name, text: (row) => `${row.name} ${row.description ?? ''}`,
    source: (_, signal) => get('/vhosts', { signal }),
  });
  return {
    title: 'Virtual hosts',
    load: shown.load,
    view: () => [heading({
      title: 'Virtual hosts',
      actions: session.can('administrator') ? h('button.primary', { type: 'button', 'data-new': true, onclick: add },
        icon('plus'), h('span', 'Add')) : null,
    }), shown.view()],
  };
}

export function vhost(own) {
  let data;
  let permissions = [];
  let topics = [];
  let limits = [];
  const target = () => path`/vhosts/${own}`;
  const admin = session.can('administrator');
  const lengths = lengthsChart();
  const rates = ratesChart();
  const permitted = permissionTable('vhost', () => permissions);
  const topicsShown = topicTable('vhost', () => topics);
  const limitsShown = limitTable('vhost', () => limits);
  const permit = permissionForm({ vhost: own });
  const permitTopic = topicForm({ vhost: own });
  const limit = limitForm({ vhost: own });
  const definitions = definitionsOf(own);

  async function load(signal) {
    [data, permissions, topics, limits] = await Promise.all([
      oneVhost(own, query(samplesQuery()), signal),
      admin ? get(`${target()}/permissions`, { signal }) : [],
      admin ? get(`${target()}/topic-permissions`, { signal }) : [],
      admin ? get(path`/vhost-limits/${own}`, { signal }) : [],
    ]);
  }

  function edit() {
    formDialog({
      title: 'Virtual host', label: 'Save', done: 'Saved', fields: fields(data),
      submit: (values) => put(target(), body(values)),
    });
  }

  const protect = (on) => act(() => (on ? post : del)(...(on
    ? [`${target()}/deletion/protection`, undefined] : [`${target()}/deletion/protection`])),
  on ? 'Protected from deletion' : 'No longer protected');

  const trace = (tracing) => act(() => put(target(), {
    ...body({ description: data.description ?? '', tags: list(data.tags).join(','), type: typeOf(data.default_queue_type) }),
    tracing,
  }), tracing ? 'Messages are told to amq.rabbitmq.trace' : 'No longer traced');

  async function remove() {
    const sure = await confirm({
      title: 'Delete the virtual host', action: 'Delete', type: own,
      text: ['Delete ', name(own), ' with all its exchanges, queues and messages (',
        count(data.messages ?? 0), ')? This can\u2019t be undone.'],
    });
    if (!sure) return;
    await act(async () => {
      await del(target());
      if (scope.vhost === own) scope.set(undefined);
      await app.learn();
      go('#/vhosts');
    }, 'Deleted');
  }

  function actions() {
    const only = scope.vhost === own;
    return [
      h('button', {
        type: 'button',
        onclick: () => { scope.set(only ? undefined : own); app.reload(); },
      }, only ? 'Show all virtual hosts' : 'Show only this one'),
      admin ? [
        h('button', { type: 'button', onclick: edit }, 'Edit\u2026'),
        h('button', { type: 'button', onclick: () => protect(!data.protected_from_deletion) },
          data.protected_from_deletion ? 'Unprotect' : 'Protect'),
        h('button', {
          type: 'button', onclick: () => trace(!data.tracing),
          title: 'Whether each message published or delivered here is published to amq.rabbitmq.trace, too',
        }, data.tracing ? 'Stop tracing' : 'Trace'),
        h('button.danger', { type: 'button', onclick: remove, disabled: Boolean(data.protected_from_deletion) },
          icon('trash'), h('span', 'Delete\u2026')),
      ] : null,
    ];
  }

  function view() {
    if (!data) return h('p.empty', 'Loading\u2026');
    return [
      heading({
        crumbs: [['Virtual hosts', '#/vhosts']], title: own, copied: own, object: data,
        badges: states(data), actions: actions(),
      }),
      messageTiles(data),
      h('div.grid.two', card(undefined, lengths.view(data)), card(undefined, rates.view(data.message_stats))),
      admin ? [
        card('Permissions', permitted.view(), h('details', h('summary', 'Set permissions'), permit.view())),
        card('Topic permissions', topicsShown.view(),
          h('details', h('summary', 'Set topic permissions'), permitTopic.view())),
      ] : null,
      h('div.grid.two',
        card('Virtual host', facts([
          ['Description', name(data.description)],
          ['Tags', list(data.tags).map((tag) => [badge(name(tag)), ' '])],
          ['Default queue type', data.default_queue_type],
          ['Tracing', data.tracing ? 'on' : 'off'],
          ['From clients', bytes(data.recv_oct)], ['To clients', bytes(data.send_oct)],
        ])),
        admin ? card('Limits', limitsShown.view(), h('details', h('summary', 'Set a limit'), limit.view())) : null),
      admin ? definitions.view() : null,
    ];
  }

  return { title: own, load, view };
}
