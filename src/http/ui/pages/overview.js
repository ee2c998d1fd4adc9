// The overview: problems, totals, charts, nodes, the longest queues, churn, listeners.

import { get, path, query } from '../js/api.js';
import { chart, lengthsChart, ratesChart, samplesQuery, spanPicker } from '../js/chart.js';
import { h, icon } from '../js/dom.js';
import { bytes, count, duration, name, rate, short } from '../js/format.js';
import { health } from '../js/health.js';
import { badge, card, facts, heading, meter, queueLink, route, tile } from '../js/parts.js';
import { product, scope, session } from '../js/state.js';
import { table } from '../js/table.js';
import { oneVhost } from './vhosts.js';

/** How many of everything that the API counts a virtual host has. */
async function countsOf(vhost, signal) {
  const count = async (target) => (await get(target + query({
    page: 1, page_size: 1, columns: 'name',
  }), { signal })).total_count;
  const [connections, channels, exchanges, queues] = await Promise.all([
    count(path`/vhosts/${vhost}/connections`), count(path`/vhosts/${vhost}/channels`),
    count(path`/exchanges/${vhost}`), count(path`/queues/${vhost}`),
  ]);
  return { connections, channels, exchanges, queues };
}

export function overview() {
  let data = {};
  let nodes = [];
  const lengths = lengthsChart();
  const rates = ratesChart();
  const churn = chart({
    title: 'Churn', unit: 'rate', kind: 'rate',
    series: [
      { key: 'connection_created', label: 'Connections opened', colour: 'c-publish', main: true },
      { key: 'connection_closed', label: 'Connections closed', colour: 'c-get', main: true },
      { key: 'channel_created', label: 'Channels opened', colour: 'c-confirm', main: true },
      { key: 'channel_closed', label: 'Channels closed', colour: 'c-ack' },
      { key: 'queue_created', label: 'Queues created', colour: 'c-deliver', main: true },
      { key: 'queue_deleted', label: 'Queues deleted', colour: 'c-redeliver' },
    ],
  });
  const listeners = listenerTable(() => data.listeners ?? []);

  async function load(signal) {
    const params = query(samplesQuery());
    let vhost;
    let totals;
    [data, nodes, vhost, totals] = await Promise.all([
      get(`/overview${params}`, { signal }),
      session.can('monitoring') ? get('/nodes', { signal }) : [],
      scope.vhost === undefined ? undefined : oneVhost(scope.vhost, params, signal),
      scope.vhost === undefined ? undefined : countsOf(scope.vhost, signal),
    ]);
    data.totals = totals ?? data.object_totals ?? {};
    // The charts are of the virtual host in scope; its own object has what the overview has.
    data.shown = vhost ?? { ...data.queue_totals, message_stats: data.message_stats };
  }

  function view() {
    if (!data.shown) return h('p.empty', 'Loading\u2026');
    return [
      heading({
        title: 'Overview',
        badges: [badge(data.cluster_name ?? data.node), badge(product(data), 'quiet')],
        object: data, actions: spanPicker(),
      }),
      problems(),
      totals(data),
      h('div.grid.two',
        card(undefined, lengths.view(data.shown)),
        card(undefined, rates.view(data.shown.message_stats))),
      nodes.length ? h('div.grid.nodes', nodes.map(nodeCard)) : null,
      h('div.grid.two',
        longest(),
        card(undefined, churn.view(data.churn_rates))),
      card('Listeners', listeners.view()),
    ];
  }

  return { title: 'Overview', load, view };
}

function problems() {
  const found = health.problems;
  if (!health.known) return null;
  if (!found.length) {
    return h('p.wellness', icon('check'), h('span', 'No problems: no alarms, no queue without '
      + 'consumers that holds messages, nothing stuck.'));
  }
  return h('section.problem-list', { 'aria-label': 'Problems' },
    found.slice(0, 8).map(({ level, text, href }) => h('a', { key: text, href, class: level },
      icon(level === 'note' ? 'info' : 'warn'), h('span', name(text)))),
    found.length > 8 ? h('p.dim', `and ${found.length - 8} more`) : null);
}

function totals(data) {
  const { totals: objects, shown } = data;
  return h('div.tiles',
    tile('Ready', short(shown.messages_ready ?? 0),
      { href: '#/queues?sort=messages_ready&desc=1', title: count(shown.messages_ready) }),
    tile('Unacked', short(shown.messages_unacknowledged ?? 0), {
      href: '#/queues?sort=messages_unacknowledged&desc=1', title: count(shown.messages_unacknowledged),
    }),
    h('span.rule', { 'aria-hidden': 'true' }),
    ['Connections', 'Channels', 'Exchanges', 'Queues', 'Consumers'].map((label) => {
      const kind = label.toLowerCase();
      if (objects[kind] === undefined) return null;
      return tile(label, count(objects[kind] ?? 0), { href: `#/${kind}` });
    }));
}

export function nodeMeters(node) {
  const worry = (bad, near) => (bad ? 'bad' : near ? 'warn' : '');
  return [
    meter({
      label: 'Memory', used: node.mem_used, total: node.mem_limit, text: bytes(node.mem_used),
      note: `alarm at ${bytes(node.mem_limit)}`,
      level: worry(node.mem_alarm, node.mem_used > 0.85 * node.mem_limit),
    }),
    meter({
      // Full when no more than the limit is free.
      label: 'Disk free', used: node.disk_free_limit, total: node.disk_free,
      text: bytes(node.disk_free), note: `alarm below ${bytes(node.disk_free_limit)}`,
      level: worry(node.disk_free_alarm, node.disk_free < 2 * node.disk_free_limit),
    }),
    node.fd_total > 0 ? meter({
      label: 'File descriptors', used: node.fd_used, total: node.fd_total,
      text: count(node.fd_used), note: `of ${count(node.fd_total)}`,
      level: worry(false, node.fd_used > 0.85 * node.fd_total),
    }) : null,
  ];
}

function nodeCard(node) {
  const state = node.running === false ? badge('down', 'bad') : badge('running', 'good');
  return card({
    key: node.name, title: h('a', { href: route('nodes', node.name) }, name(node.name)), tools: state,
  },
  h('div.meters', nodeMeters(node)),
  facts([
    ['Uptime', duration(node.uptime)],
    ['Cores', count(node.processors)],
    ['Run queue', count(node.run_queue)],
    ['Sockets', node.sockets_used ? count(node.sockets_used) : undefined],
  ], 'row'));
}

function longest() {
  const rows = health.longest.filter((queue) => queue.messages > 0).slice(0, 8);
  const many = scope.vhost === undefined && session.vhosts.length > 1;
  return card('Longest queues', rows.length === 0
    ? h('p.empty', health.known ? 'All queues are empty.' : 'Loading\u2026')
    : h('div.scroll', h('table.plain', h('thead', h('tr', h('th', 'Name'),
      h('th.num', 'Ready'), h('th.num', 'Unacked'), h('th.num', 'In'), h('th.num', 'Consumers'))),
    h('tbody', rows.map((queue) => h('tr', { key: `${queue.vhost} ${queue.name}` },
      h('td', queueLink(queue.vhost, queue.name),
        many ? h('span.dim', ' ', name(queue.vhost)) : null),
      h('td.num', count(queue.messages_ready)), h('td.num', count(queue.messages_unacknowledged)),
      h('td.num', rate(queue.message_stats?.publish_details?.rate ?? 0)),
      h('td.num', queue.consumers === 0 ? h('span.warn', '0') : count(queue.consumers))))))));
}

function listenerTable(rows) {
  return table({
    id: 'listeners', rows, key: (row) => `${row.protocol} ${row.ip_address} ${row.port} ${row.node}`,
    unit: 'listener', plain: true,
    columns: [
      { id: 'protocol', label: 'Protocol', always: true, cell: (row) => row.protocol },
      { id: 'address', label: 'Address', always: true, cell: (row) => name(row.ip_address) },
      { id: 'port', label: 'Port', num: true, always: true, cell: (row) => String(row.port) },
      { id: 'tls', label: 'TLS', always: true, cell: (row) => (row.tls ? badge('TLS', 'good') : '') },
      { id: 'node', label: 'Node', always: true, cell: (row) => name(row.node) },
    ],
  });
}
