// Channels: the list, and a page for one.

import { get, path, query } from '../js/api.js';
import { ratesChart, samplesQuery, spanPicker } from '../js/chart.js';
import { h } from '../js/dom.js';
import { ago, count, name } from '../js/format.js';
import {
  badge, card, facts, heading, link, queueLink, route, stateBadge, userLink, vhostLink, yes,
} from '../js/parts.js';
import { scope } from '../js/state.js';
import { countColumn, rateColumn, table, vhostColumn } from '../js/table.js';

/** Confirms or transactions. */
function mode(row) {
  return [row.confirm ? badge('C', '', 'publisher confirms') : null,
    row.transactional ? badge('T', '', 'transactions') : null];
}

/** Columns of channel lists; `inside` a connection its name and owner are known. */
export function channelColumns({ inside = false } = {}) {
  return [
    {
      id: 'name', label: 'Channel', sort: inside ? 'number' : 'name', always: true,
      fields: ['name', 'number'],
      cell: (row) => h('a.row-link', { href: route('channels', row.name) },
        inside ? String(row.number) : name(row.name)),
    },
    ...(inside ? [] : [
      vhostColumn((row) => vhostLink(row.vhost)),
      { id: 'user', label: 'User', sort: 'user', cell: (row) => userLink(row.user) },
    ]),
    { id: 'mode', label: 'Mode', fields: ['confirm', 'transactional'], cell: mode },
    { id: 'state', label: 'State', sort: 'state', cell: (row) => stateBadge(row.state) },
    countColumn('consumers', 'Consumers', 'consumer_count'),
    countColumn('prefetch', 'Prefetch', 'prefetch_count'),
    countColumn('unacked', 'Unacked', 'messages_unacknowledged'),
    countColumn('unconfirmed', 'Unconfirmed', 'messages_unconfirmed'),
    countColumn('uncommitted', 'Uncommitted', 'messages_uncommitted', { hide: true }),
    rateColumn('publish', 'Publish', 'publish'),
    rateColumn('confirm', 'Confirm', 'confirm', { hide: true }),
    rateColumn('deliver', 'Deliver / get', 'deliver_get'),
    rateColumn('redeliver', 'Redeliver', 'redeliver', { hide: true }),
    rateColumn('ack', 'Ack', 'ack'),
    { id: 'idle', label: 'Idle for', sort: 'idle_since', num: true, hide: true, cell: (row) => ago(row.idle_since) },
    { id: 'node', label: 'Node', sort: 'node', hide: true, cell: (row) => name(row.node) },
  ];
}

export function channels() {
  const list = table({
    id: 'channels', url: true, unit: 'channel', key: (row) => row.name, sort: 'name',
    fields: ['name', 'vhost'], columns: channelColumns(), empty: 'No channel is open.',
    source: (params, signal) => get((scope.vhost === undefined ? '/channels'
      : path`/vhosts/${scope.vhost}/channels`) + query(params), { signal }),
  });
  return {
    title: 'Channels',
    load: list.load,
    view: () => [heading({ title: 'Channels' }), list.view()],
  };
}

export function channel(channelName) {
  let data;
  const rates = ratesChart();
  const consumers = table({
    id: 'channel-consumers', unit: 'consumer', key: (row) => row.consumer_tag, sort: 'consumer_tag',
    rows: () => data.consumer_details ?? [], empty: 'No consumer.', plain: true,
    columns: [
      { id: 'tag', label: 'Consumer tag', sort: 'consumer_tag', always: true, cell: (row) => name(row.consumer_tag) },
      { id: 'queue', label: 'Queue', sort: 'queue.name', always: true, cell: (row) => queueLink(row.queue.vhost, row.queue.name) },
      { id: 'ack', label: 'Ack required', always: true, cell: (row) => yes(row.ack_required) },
      { id: 'exclusive', label: 'Exclusive', always: true, cell: (row) => yes(row.exclusive) },
      { id: 'prefetch', label: 'Prefetch', num: true, always: true, cell: (row) => count(row.prefetch_count) },
    ],
  });

  async function load(signal) {
    data = await get(path`/channels/${channelName}` + query(samplesQuery()), { signal });
  }

  function view() {
    if (!data) return h('p.empty', 'Loading\u2026');
    const owner = data.connection_details?.name;
    return [
      heading({
        crumbs: [['Channels', '#/channels'], [data.vhost, route('vhosts', data.vhost)]], title: channelName, copied: channelName,
        badges: [stateBadge(data.state), mode(data)], object: data, actions: spanPicker(),
      }),
      h('div.grid.two', card(undefined, rates.view(data.message_stats)), card('Channel', facts([
        ['Connection', owner ? link(route('connections', owner), owner) : undefined],
        ['User', userLink(data.user)], ['Virtual host', vhostLink(data.vhost)],
        ['Mode', data.confirm ? 'publisher confirms' : data.transactional ? 'transactions' : 'plain'],
        ['Consumers', count(data.consumer_count)],
        ['Prefetch of new consumers', count(data.prefetch_count)],
        ['Prefetch of the channel', count(data.global_prefetch_count)],
        ['Unacked', count(data.messages_unacknowledged)],
        ['Unconfirmed', count(data.messages_unconfirmed)],
        ['Uncommitted messages', count(data.messages_uncommitted)],
        ['Uncommitted acks', count(data.acks_uncommitted)],
        ['Idle for', ago(data.idle_since)],
      ]))),
      card('Consumers', consumers.view()),
    ];
  }

  return { title: channelName, load, view };
}
