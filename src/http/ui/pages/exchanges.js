// Exchanges: the list, and a page for one.

import { del, exchangeInPath, get, path, put, query } from '../js/api.js';
import { act, app, go } from '../js/app.js';
import { ratesChart, samplesQuery, spanPicker } from '../js/chart.js';
import { h, icon } from '../js/dom.js';
import { confirm, formDialog } from '../js/form.js';
import { name, plural } from '../js/format.js';
import {
  badge, brief, card, exchangeLink, facts, heading, link, route, tableOf, tabs,
  vhostField, vhostLink,
} from '../js/parts.js';
import { exchangePresets, features } from '../js/presets.js';
import { scope, session } from '../js/state.js';
import { rateColumn, table, vhostColumn } from '../js/table.js';
import { bindForm, bindingTable } from './bindings.js';
import { publishForm } from './messages.js';

const COLUMNS = [
  { id: 'name', label: 'Name', sort: 'name', always: true, cell: (row) => exchangeLink(row.vhost, row.name) },
  vhostColumn((row) => vhostLink(row.vhost)),
  { id: 'type', label: 'Type', sort: 'type', cell: (row) => row.type },
  { id: 'features', label: 'Features', fields: ['durable', 'auto_delete', 'internal', 'arguments', 'policy'], cell: features },
  {
    id: 'policy', label: 'Policy', sort: 'policy', fields: ['policy'],
    cell: (row) => (row.policy ? link(route('policies', row.vhost, row.policy), row.policy) : ''),
  },
  rateColumn('in', 'In', 'publish_in'),
  rateColumn('out', 'Out', 'publish_out'),
  { id: 'arguments', label: 'Arguments', fields: ['arguments'], hide: true, cell: (row) => brief(row.arguments) },
  { id: 'by', label: 'Declared by', sort: 'user_who_performed_action', hide: true, cell: (row) => name(row.user_who_performed_action) },
];

function types() {
  const known = session.broker.exchange_types ?? [];
  const order = ['direct', 'fanout', 'topic', 'headers'];
  const found = known.filter(({ enabled }) => enabled !== false).map((type) => type.name);
  const rest = found.filter((type) => !order.includes(type)).sort();
  return [...order, ...rest].map((type) => [type, type]);
}

function declare() {
  formDialog({
    title: 'Declare an exchange', label: 'Declare', done: 'Declared', wide: true,
    fields: [
      vhostField(),
      { name: 'name', label: 'Name', required: true },
      { name: 'type', label: 'Type', type: 'select', value: 'direct', options: types },
      { name: 'durable', label: 'Durable: it survives a restart', type: 'check', value: true },
      { name: 'auto', label: 'Auto-delete: gone when its last binding is', type: 'check' },
      { name: 'internal', label: 'Internal: clients can\u2019t publish to it', type: 'check' },
      { name: 'arguments', label: 'Arguments', type: 'arguments', presets: exchangePresets },
    ],
    submit: (values) => put(path`/exchanges/${values.vhost}/${values.name}`, {
      type: values.type, durable: values.durable, auto_delete: values.auto,
      internal: values.internal, arguments: values.arguments,
    }),
  });
}

export function exchanges() {
  const list = table({
    id: 'exchanges', url: true, unit: 'exchange', sort: 'name',
    fields: ['name', 'vhost'], columns: COLUMNS, key: (row) => `${row.vhost}/${row.name}`,
    source: (params, signal) => get((scope.vhost === undefined ? '/exchanges'
      : path`/exchanges/${scope.vhost}`) + query(params), { signal }),
    marks: [{ label: 'Delete\u2026', danger: true, run: removeMany }],
  });
  return {
    title: 'Exchanges',
    load: list.load,
    view: () => [heading({
      title: 'Exchanges',
      actions: h('button.primary', { type: 'button', 'data-new': true, onclick: declare },
        icon('plus'), h('span', 'Declare')),
    }), list.view()],
  };
}

async function removeMany(rows) {
  const sure = await confirm({
    title: 'Delete exchanges', action: 'Delete',
    text: `Delete ${plural(rows.length, 'exchange')} and their bindings? What is published to them `
      + 'afterwards closes the publisher\u2019s channel.',
  });
  if (!sure) return false;
  return act(async () => {
    for (const row of rows) await del(path`/exchanges/${row.vhost}/${exchangeInPath(row.name)}`);
  }, `Deleted ${plural(rows.length, 'exchange')}`);
}

export function exchange(vhost, inPath) {
  const own = inPath === 'amq.default' ? '' : inPath;
  const target = () => path`/exchanges/${vhost}/${inPath}`;
  let data;
  let from = null;
  let to = null;
  const rates = ratesChart(['publish_in', 'publish_out']);
  const sources = bindingTable({
    id: 'exchange-from', rows: () => to ?? [], from: true, empty: 'Nothing is bound into this exchange.',
  });
  const destinations = bindingTable({
    id: 'exchange-to', rows: () => from ?? [], empty: 'Bound to nothing: what is published has no route.',
  });
  const bind = bindForm({ vhost, source: own });
  const publish = publishForm({ vhost, exchange: own });
  const tab = () => app.route.query.tab ?? 'overview';

  async function load(signal) {
    // The default exchange is bound to every queue by its name: a list of them says nothing.
    const none = own === '';
    [data, from, to] = await Promise.all([
      get(target() + query(samplesQuery()), { signal }),
      none ? [] : get(`${target()}/bindings/source`, { signal }),
      none ? [] : get(`${target()}/bindings/destination`, { signal }),
    ]);
  }

  async function remove() {
    const sure = await confirm({
      title: 'Delete the exchange', action: 'Delete',
      text: ['Delete ', name(own), ` with its ${plural(from.length + to.length, 'binding')}?`],
    });
    if (!sure) return;
    await act(async () => {
      await del(target());
      go('#/exchanges');
    }, 'Deleted');
  }

  function view() {
    if (!data) return h('p.empty', 'Loading\u2026');
    const body = { bindings: bindingsTab, publish: publishTab }[tab()] ?? overviewTab;
    return [
      heading({
        crumbs: [['Exchanges', '#/exchanges'], [vhost, route('vhosts', vhost)]],
        title: name(own, '(default exchange)'),
        copied: own, object: data, badges: [badge(data.type, 'quiet'), features(data)],
        actions: [spanPicker(), own === '' || own.startsWith('amq.') ? null : h('button.danger', {
          type: 'button', onclick: remove,
        }, icon('trash'), h('span', 'Delete\u2026'))],
      }),
      tabs([['overview', 'Overview'], ['bindings', 'Bindings', from.length + to.length],
        ['publish', 'Publish']], tab()),
      h('div.tab', { key: tab(), role: 'tabpanel' }, body()),
    ];
  }

  function overviewTab() {
    return h('div.grid.two',
      card(undefined, rates.view(data.message_stats)),
      card('Exchange', facts([
        ['Virtual host', vhostLink(vhost)], ['Type', data.type],
        ['Durable', data.durable ? 'yes' : 'no'], ['Auto-delete', data.auto_delete ? 'yes' : 'no'],
        ['Internal', data.internal ? 'yes' : 'no'],
        ['Policy', data.policy ? link(route('policies', vhost, data.policy), data.policy) : undefined],
        ['Declared by', name(data.user_who_performed_action)],
      ]), h('h3', 'Arguments'), tableOf(data.arguments)));
  }

  function bindingsTab() {
    if (own === '') {
      return h('p.note', 'Every queue is bound to the default exchange by its own name, and '
        + 'nothing else can be.');
    }
    return [
      card('To', destinations.view()),
      to.length ? card('From', sources.view()) : null,
      card('Bind this exchange', bind.view()),
    ];
  }

  function publishTab() {
    if (data.internal) return h('p.note', 'Clients can\u2019t publish to an internal exchange.');
    return card('Publish', publish.view());
  }

  return { title: own || 'Default exchange', load, view };
}
