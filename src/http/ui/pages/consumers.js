// Consumers of all queues.

import { get, path, query } from '../js/api.js';
import { count, duration, name } from '../js/format.js';
import { badge, brief, heading, link, queueLink, route, vhostLink, yes } from '../js/parts.js';
import { scope } from '../js/state.js';
import { table, vhostColumn } from '../js/table.js';

/** Columns of consumer lists; `inside` a queue its name is known. */
export function consumerColumns({ inside = false } = {}) {
  return [
    {
      id: 'tag', label: 'Consumer tag', sort: 'consumer_tag', always: true,
      cell: (row) => name(row.consumer_tag),
    },
    ...(inside ? [] : [
      { id: 'queue', label: 'Queue', sort: 'queue.name', cell: (row) => queueLink(row.queue.vhost, row.queue.name) },
      vhostColumn((row) => vhostLink(row.queue.vhost), 'queue.vhost'),
    ]),
    {
      id: 'channel', label: 'Channel', sort: 'channel_details.name',
      cell: ({ channel_details: channel }) => (channel?.name
        ? link(route('channels', channel.name), channel.name) : ''),
    },
    { id: 'user', label: 'User', sort: 'channel_details.user', hide: true, cell: (row) => name(row.channel_details?.user) },
    { id: 'ack', label: 'Ack required', sort: 'ack_required', cell: (row) => yes(row.ack_required) },
    {
      id: 'active', label: 'Active', sort: 'active', title: 'A single active consumer, or one of all',
      cell: (row) => (row.active === false ? badge('waiting', 'quiet') : badge('active', 'good')),
    },
    { id: 'exclusive', label: 'Exclusive', sort: 'exclusive', cell: (row) => yes(row.exclusive) },
    { id: 'prefetch', label: 'Prefetch', sort: 'prefetch_count', num: true, cell: (row) => count(row.prefetch_count) },
    {
      id: 'timeout', label: 'Ack timeout', sort: 'consumer_timeout', num: true, hide: true,
      cell: (row) => duration(row.consumer_timeout),
    },
    { id: 'arguments', label: 'Arguments', cell: (row) => brief(row.arguments) },
  ];
}

export function consumers() {
  const list = table({
    id: 'consumers', url: true, unit: 'consumer', sort: 'queue.name', columns: consumerColumns(),
    placeholder: 'Filter by queue or tag', empty: 'Nothing is consumed.',
    key: (row) => `${row.channel_details?.name} ${row.consumer_tag}`,
    text: (row) => `${row.queue.name} ${row.consumer_tag}`,
    source: (params, signal) => get((scope.vhost === undefined ? '/consumers'
      : path`/consumers/${scope.vhost}`) + query(params), { signal }),
  });
  return {
    title: 'Consumers',
    load: list.load,
    view: () => [heading({ title: 'Consumers' }), list.view()],
  };
}
