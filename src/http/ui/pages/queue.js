// One queue: counts and charts, consumers, bindings, messages.

import { del, get, path, post, query } from '../js/api.js';
import { act, app, go } from '../js/app.js';
import { lengthsChart, ratesChart, samplesQuery } from '../js/chart.js';
import { h, icon } from '../js/dom.js';
import { confirm, formDialog } from '../js/form.js';
import { ago, bytes, count, name, plural, short, when } from '../js/format.js';
import {
  badge, card, facts, heading, link, messageTiles, route, stateBadge, tableOf, tabs, tile, vhostLink,
} from '../js/parts.js';
import { features } from '../js/presets.js';
import { table } from '../js/table.js';
import { bindForm, bindingTable } from './bindings.js';
import { consumerColumns } from './consumers.js';
import { asForm, getForm, publishForm } from './messages.js';

export function queue(vhost, own) {
  let data;
  let bindings = [];
  const target = () => path`/queues/${vhost}/${own}`;
  const lengths = lengthsChart();
  const rates = ratesChart(['publish', 'deliver', 'ack']);
  const consumers = table({
    id: 'queue-consumers', unit: 'consumer', sort: 'consumer_tag', placeholder: 'Filter by tag',
    key: (row) => `${row.channel_details?.name} ${row.consumer_tag}`,
    text: (row) => row.consumer_tag, rows: () => data.consumer_details ?? [],
    columns: consumerColumns({ inside: true }), inside: true, empty: 'Nothing consumes from this queue.',
  });
  const bound = bindingTable({ id: 'queue-bindings', rows: () => bindings, from: true });
  const bind = bindForm({ vhost, destination: own, destinationType: 'queue' });
  const publish = publishForm({ vhost, exchange: '', key: own, fixed: true });
  const got = getForm({ vhost, queue: own, again });
  const tab = () => app.route.query.tab ?? 'overview';

  async function load(signal) {
    [data, bindings] = await Promise.all([
      get(target() + query(samplesQuery()), { signal }),
      get(`${target()}/bindings`, { signal }),
    ]);
  }

  /** Puts a message that was got into the publish form. */
  function again(message) {
    const { values, properties, headers } = asForm(message);
    publish.set(values);
    publish.setArguments('properties', properties);
    publish.setArguments('headers', headers);
    document.getElementById('publish')?.scrollIntoView({ block: 'start' });
  }

  async function purge() {
    const sure = await confirm({
      title: 'Purge the queue', action: 'Purge',
      text: ['Remove ', h('strong', plural(data.messages_ready ?? 0, 'ready message')), ' from ', name(own),
        '? Those that consumers hold unacknowledged stay.'],
    });
    if (sure) await act(() => del(`${target()}/contents`), 'Purged');
  }

  async function remove() {
    const sure = await confirm({
      title: 'Delete the queue', action: 'Delete',
      text: ['Delete ', name(own), ' with ', h('strong', plural(data.messages ?? 0, 'message')),
        `, ${plural(data.consumers ?? 0, 'consumer')} and its bindings?`],
    });
    if (!sure) return;
    await act(async () => {
      await del(target());
      go('#/queues');
    }, 'Deleted');
  }

  function move() {
    formDialog({
      title: 'Move messages', label: 'Move',
      intro: h('p', 'Ready messages go to another queue of this virtual host, the oldest first; each leaves '
        + 'this queue only when it is in the other.'),
      fields: [
        { name: 'destination', label: 'To queue', required: true },
        { name: 'count', label: 'Messages', type: 'number', hint: 'Empty for all.', attrs: { min: 1 } },
      ],
      submit: async ({ destination, count: many }) => {
        try {
          return await post(`${target()}/move`,
            many === undefined ? { destination } : { destination, count: many });
        } catch (error) {
          if (error.status === 405) error.message = 'This broker can\u2019t move messages.';
          throw error;
        }
      },
      done: (answer) => (typeof answer?.moved === 'number'
        ? `Moved ${plural(answer.moved, 'message')}` : 'Moved'),
    });
  }

  function view() {
    if (!data) return h('p.empty', 'Loading\u2026');
    const type = data.type ?? data.arguments?.['x-queue-type'] ?? 'classic';
    const body = {
      consumers: () => card(undefined, consumers.view()), bindings: bindingsTab, messages: messagesTab,
    }[tab()] ?? overviewTab;
    return [
      heading({
        crumbs: [['Queues', '#/queues'], [vhost, route('vhosts', vhost)]], title: own, copied: own, object: data,
        badges: [stateBadge(data.state), badge(type, 'quiet'), features(data)],
        actions: [
          h('button', { type: 'button', onclick: move }, 'Move\u2026'),
          h('button.danger', { type: 'button', onclick: purge }, 'Purge\u2026'),
          h('button.danger', { type: 'button', onclick: remove }, icon('trash'), h('span', 'Delete\u2026')),
        ],
      }),
      tabs([['overview', 'Overview'], ['consumers', 'Consumers', short(data.consumers)],
        ['bindings', 'Bindings', short(bindings.length)], ['messages', 'Messages', short(data.messages)]], tab()),
      h('div.tab', { key: tab(), role: 'tabpanel' }, body()),
    ];
  }

  function overviewTab() {
    const waits = data.consumers === 0 && data.messages_ready > 0;
    return [
      messageTiles(data,
        tile('Consumers', count(data.consumers ?? 0), {
          note: waits ? 'messages wait' : undefined, level: waits ? 'warn' : '',
        }),
        typeof data.consumer_capacity === 'number' && data.consumers > 0
          ? tile('Capacity', `${Math.round(data.consumer_capacity * 100)} %`, {
            title: 'How often consumers could take a message at once',
          }) : null),
      h('div.grid.two',
        card(undefined, lengths.view(data)),
        card(undefined, rates.view(data.message_stats))),
      h('div.grid.two',
        card('Queue', facts([
          ['Virtual host', vhostLink(vhost)],
          ['Durable', data.durable ? 'yes' : 'no'],
          ['Auto-delete', data.auto_delete ? 'yes' : 'no'],
          ['Exclusive', data.exclusive ? owner() : 'no'],
          ['Persistent messages', count(data.messages_persistent)],
          ['In memory', count(data.messages_ram)],
          ['Head message from', when(data.head_message_timestamp ? data.head_message_timestamp * 1000 : null)],
          ['Idle for', ago(data.idle_since)],
          ['Exclusive consumer', name(data.exclusive_consumer_tag ?? '')],
          ['Single active consumer', name(data.single_active_consumer_tag ?? '')],
          ['Delivery limit', count(data.delivery_limit)],
          ['Leader', name(data.leader)], ['Node', name(data.node)],
          ['Members', data.members ? name(data.members.join(', ')) : undefined],
          ['Memory', bytes(data.memory)],
        ])),
        card('Arguments and policy',
          h('h3', 'Arguments'), tableOf(data.arguments),
          h('h3', 'Policy'), facts([
            ['Policy', data.policy ? link(route('policies', vhost, data.policy), data.policy) : 'none'],
            ['Operator policy', data.operator_policy
              ? link(route('operator-policies', vhost, data.operator_policy), data.operator_policy) : 'none'],
          ]), Object.keys(data.effective_policy_definition ?? {}).length
            ? [h('h3', 'What they set'), tableOf(data.effective_policy_definition)] : null)),
    ];
  }

  function owner() {
    const connection = data.owner_pid_details?.name;
    return connection ? ['of ', link(route('connections', connection), connection)] : 'yes';
  }

  function bindingsTab() {
    return [card(undefined, bound.view()), card('Bind to this queue', bind.view())];
  }

  function messagesTab() {
    return [
      card('Get messages', got.view()),
      h('div', { id: 'publish', key: 'publish' }, card('Publish', publish.view())),
    ];
  }

  return { title: own, load, view };
}
