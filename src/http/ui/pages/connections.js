// Connections: the list, and a page for one.

import { del, get, path, query } from '../js/api.js';
import { go } from '../js/app.js';
import { chart, samplesQuery, spanPicker } from '../js/chart.js';
import { h, icon } from '../js/dom.js';
import { formDialog } from '../js/form.js';
import { ago, byteRate, bytes, count, name, when } from '../js/format.js';
import {
  badge, card, facts, heading, link, route, stateBadge, tableOf, userLink, vhostLink,
} from '../js/parts.js';
import { scope } from '../js/state.js';
import { countColumn, table, vhostColumn } from '../js/table.js';
import { channelColumns } from './channels.js';

/** What a client calls itself, as far as it says. */
function client(row) {
  const { product, version, platform } = row.client_properties ?? {};
  return [[product, version].filter(Boolean).join(' '), platform].filter(Boolean).join(', ');
}

const COLUMNS = [
  {
    id: 'name', label: 'Name', sort: 'name', always: true,
    fields: ['name', 'user_provided_name', 'client_properties.connection_name'],
    cell: (row) => [
      h('a.row-link', { href: route('connections', row.name) }, name(row.name)),
      title(row) ? h('div.dim', name(title(row))) : null,
    ],
  },
  vhostColumn((row) => vhostLink(row.vhost)),
  { id: 'user', label: 'User', sort: 'user', cell: (row) => userLink(row.user) },
  { id: 'state', label: 'State', sort: 'state', cell: (row) => stateBadge(row.state) },
  {
    id: 'protocol', label: 'Protocol', sort: 'protocol', fields: ['protocol', 'ssl'],
    cell: (row) => [row.protocol, row.ssl ? [' ', badge('TLS', 'good')] : null],
  },
  countColumn('channels', 'Channels', 'channels'),
  {
    id: 'received', label: 'From client', sort: 'recv_oct_details.rate', num: true,
    cell: (row) => byteRate(row.recv_oct_details?.rate),
  },
  {
    id: 'sent', label: 'To client', sort: 'send_oct_details.rate', num: true,
    cell: (row) => byteRate(row.send_oct_details?.rate),
  },
  {
    id: 'client', label: 'Client', cell: (row) => name(client(row)),
    fields: ['client_properties.product', 'client_properties.version', 'client_properties.platform'],
  },
  { id: 'since', label: 'Connected', sort: 'connected_at', num: true, cell: (row) => ago(row.connected_at) },
  { id: 'mechanism', label: 'Auth', title: 'Authentication mechanism', sort: 'auth_mechanism', hide: true, cell: (row) => row.auth_mechanism },
  { id: 'timeout', label: 'Heartbeat', sort: 'timeout', num: true, hide: true, cell: (row) => (row.timeout ? `${row.timeout} s` : '') },
  { id: 'frame', label: 'Frame max', sort: 'frame_max', num: true, hide: true, cell: (row) => bytes(row.frame_max) },
  { id: 'node', label: 'Node', sort: 'node', hide: true, cell: (row) => name(row.node) },
];

function title(row) {
  return row.user_provided_name ?? row.client_properties?.connection_name;
}

export function connections() {
  const list = table({
    id: 'connections', url: true, unit: 'connection', key: (row) => row.name, sort: 'name',
    fields: ['name', 'vhost'], columns: COLUMNS,
    empty: 'No client is connected.',
    source: (params, signal) => get((scope.vhost === undefined ? '/connections'
      : path`/vhosts/${scope.vhost}/connections`) + query(params), { signal }),
    marks: [{ label: 'Close\u2026', danger: true, run: closeMany }],
  });
  return {
    title: 'Connections',
    load: list.load,
    view: () => [heading({ title: 'Connections' }), list.view()],
  };
}

/** Asks for a reason, then closes; true when they were closed. */
function closeMany(rows) {
  return new Promise((resolve) => {
    formDialog({
      title: rows.length === 1 ? 'Close the connection' : `Close ${rows.length} connections`,
      intro: h('p', rows.length === 1 ? name(rows[0].name)
        : 'Each client gets the reason; most connect again at once.'),
      fields: [{
        name: 'reason', label: 'Reason', value: 'Closed via management plugin', required: true,
        hint: 'Sent to the client, and logged.',
      }],
      label: 'Close', danger: true, done: 'Closed',
      submit: async ({ reason }) => {
        for (const row of rows) {
          await del(path`/connections/${row.name}`, { headers: { 'x-reason': plain(reason) } })
            .catch((error) => { if (error.status !== 404) throw error; });
        }
      },
      after: () => resolve(true),
    }).closed = () => resolve(false);
  });
}

/** A header's value has no line breaks and no letters beyond Latin 1. */
function plain(text) {
  return text.replace(/[^\x20-\x7e\xa0-\xff]/g, '?');
}

export function connection(connectionName) {
  let data;
  let rows = [];
  const target = () => path`/connections/${connectionName}`;
  const traffic = chart({
    title: 'Data rates', unit: 'byteRate', kind: 'rate',
    series: [
      { key: 'recv_oct', label: 'From client', colour: 'c-publish', main: true },
      { key: 'send_oct', label: 'To client', colour: 'c-deliver', main: true },
    ],
  });
  const channels = table({
    id: 'connection-channels', unit: 'channel', key: (row) => row.name, sort: 'number',
    rows: () => rows, columns: channelColumns({ inside: true }), placeholder: 'Filter channels', inside: true,
    empty: 'No channel is open.',
  });

  async function load(signal) {
    [data, rows] = await Promise.all([
      get(target() + query(samplesQuery()), { signal }),
      // RabbitMQ fails, instead of finding nothing, when the connection has gone.
      get(`${target()}/channels`, { signal }).catch(() => []),
    ]);
  }

  function view() {
    if (!data) return h('p.empty', 'Loading\u2026');
    return [
      heading({
        crumbs: [['Connections', '#/connections'], [data.vhost, route('vhosts', data.vhost)]], title: connectionName, copied: connectionName,
        badges: [stateBadge(data.state), data.ssl ? badge('TLS', 'good') : null],
        object: data,
        actions: [spanPicker(), h('button.danger', {
          type: 'button',
          onclick: async () => { if (await closeMany([data])) go('#/connections'); },
        }, icon('close'), h('span', 'Close\u2026'))],
      }),
      h('div.grid.two', card(undefined, traffic.view(data)), card('Connection', facts([
        ['Name', name(title(data))], ['User', userLink(data.user)],
        ['Virtual host', vhostLink(data.vhost)], ['Protocol', data.protocol],
        ['Authentication', data.auth_mechanism],
        ['Client', `${data.peer_host}:${data.peer_port}`], ['Broker', `${data.host}:${data.port}`],
        ['Connected', when(data.connected_at)],
        ['Heartbeat', data.timeout ? `${data.timeout} s` : 'none'],
        ['Frame max', bytes(data.frame_max)], ['Channel limit', count(data.channel_max)],
        ['Received', `${bytes(data.recv_oct)} in ${count(data.recv_cnt)} reads`],
        ['Sent', `${bytes(data.send_oct)} in ${count(data.send_cnt)} writes`],
        ['Pending', count(data.send_pend)],
        ['TLS', data.ssl ? `${data.ssl_protocol ?? ''} ${data.ssl_cipher ?? ''}` : undefined],
        ['Peer certificate', name(data.peer_cert_subject)],
        ['Issuer', name(data.peer_cert_issuer)], ['Valid', data.peer_cert_validity],
        ['Node', link(route('nodes', data.node ?? ''), data.node)],
      ]))),
      card('Channels', channels.view()),
      card('Client properties', tableOf(data.client_properties)),
    ];
  }

  return { title: connectionName, load, view };
}
