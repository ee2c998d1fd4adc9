// Policies and operator policies: the lists, and a page for one.

import { del, get, path, put, query } from '../js/api.js';
import { act, app, go } from '../js/app.js';
import { h, icon } from '../js/dom.js';
import { confirm, formDialog, FormError } from '../js/form.js';
import { count, name, plural } from '../js/format.js';
import {
  badge, brief, card, exchangeLink, facts, heading, queueLink, route, tableOf, tabs, vhostField, vhostLink,
} from '../js/parts.js';
import { policyPresets } from '../js/presets.js';
import { scope, session } from '../js/state.js';
import { table, vhostColumn } from '../js/table.js';

const TARGETS = [
  ['all', 'Exchanges and queues'], ['exchanges', 'Exchanges'], ['queues', 'Queues'],
  ['classic_queues', 'Classic queues'], ['quorum_queues', 'Quorum queues'], ['streams', 'Streams'],
];

const columns = (kind) => [
  {
    id: 'name', label: 'Name', sort: 'name', always: true,
    cell: (row) => h('a.row-link', { href: route(kind, row.vhost, row.name) }, name(row.name)),
  },
  vhostColumn((row) => vhostLink(row.vhost)),
  { id: 'pattern', label: 'Pattern', sort: 'pattern', cell: (row) => h('code.inline', name(row.pattern)) },
  { id: 'to', label: 'Applies to', sort: 'apply-to', cell: (row) => row['apply-to'] },
  { id: 'definition', label: 'Definition', cell: (row) => brief(row.definition) },
  { id: 'priority', label: 'Priority', sort: 'priority', num: true, cell: (row) => count(row.priority) },
];

function lists(kind) {
  return table({
    id: kind, url: true, unit: 'policy', units: 'policies', sort: 'name', columns: columns(kind),
    key: (row) => `${row.vhost}/${row.name}`, empty: 'None.',
    source: (_, signal) => get(`/${kind}${scope.vhost === undefined ? '' : path`/${scope.vhost}`}`, { signal }),
  });
}

const title = (kind) => (kind === 'policies' ? 'policy' : 'operator policy');

function presets(kind, to) {
  if (kind === 'operator-policies') return policyPresets.operator;
  if (to === 'exchanges') return policyPresets.exchanges;
  if (to === 'all') return [...policyPresets.queues, ...policyPresets.exchanges];
  return policyPresets.queues;
}

/** Adds a policy, or changes the one given. */
function edit(kind, row) {
  const targets = kind === 'policies' ? TARGETS
    : TARGETS.filter(([to]) => to !== 'exchanges' && to !== 'all');
  formDialog({
    title: row ? `Change the ${title(kind)}` : `Add a ${title(kind)}`.replace('a o', 'an o'),
    label: row ? 'Save' : 'Add', done: row ? 'Saved' : 'Added', wide: true,
    fields: [
      ...(row ? [] : [vhostField(), { name: 'name', label: 'Name', required: true }]),
      {
        name: 'pattern', label: 'Pattern', required: true, value: row?.pattern ?? '', attrs: { class: 'mono' },
        hint: 'A regular expression that a name contains: ^amq\\. for those that begin with amq.',
      },
      { name: 'to', label: 'Applies to', type: 'select', value: row?.['apply-to'] ?? 'queues', options: targets },
      { name: 'priority', label: 'Priority', type: 'number', value: String(row?.priority ?? 0), hint: 'The highest that matches applies, alone.' },
      {
        name: 'definition', label: 'Definition', type: 'arguments',
        presets: presets(kind, 'all'), value: row?.definition,
      },
    ],
    submit: (values) => {
      if (Object.keys(values.definition).length === 0) {
        throw new FormError('The definition is empty: choose what the policy sets.');
      }
      const target = row ? path`/${kind}/${row.vhost}/${row.name}`
        : path`/${kind}/${values.vhost}/${values.name}`;
      return put(target, {
        pattern: values.pattern, 'apply-to': values.to, priority: values.priority ?? 0,
        definition: values.definition,
      });
    },
  });
}

export function policies() {
  const users = lists('policies');
  const operators = lists('operator-policies');
  const kind = () => (app.route.query.tab === 'operator' ? 'operator-policies' : 'policies');
  const may = () => kind() === 'policies' || session.can('administrator');
  return {
    title: 'Policies',
    load: (signal) => (kind() === 'policies' ? users : operators).load(signal),
    view: () => [
      heading({
        title: 'Policies',
        actions: may() ? h('button.primary', { type: 'button', 'data-new': true, onclick: () => edit(kind()) },
          icon('plus'), h('span', 'Add')) : null,
      }),
      tabs([['policies', 'Policies'], ['operator', 'Operator policies']], app.route.query.tab ?? 'policies'),
      h('div.tab', { key: kind(), role: 'tabpanel' }, kind() === 'policies' ? users.view() : [
        h('p.note', 'Operator policies are the operator\u2019s word on limits: where both say a number, the smaller holds.'),
        operators.view(),
      ]),
    ],
  };
}

/** How many names are looked at to show what a pattern matches. */
const SAMPLE = 100;

export function policy(kind, vhost, own) {
  let data;
  let matches = { queues: [], exchanges: [] };
  const target = () => path`/${kind}/${vhost}/${own}`;

  async function load(signal) {
    data = await get(target(), { signal });
    const to = data['apply-to'];
    const wants = { queues: to !== 'exchanges', exchanges: to === 'all' || to === 'exchanges' };
    const find = async (what) => {
      if (!wants[what]) return [];
      const answer = await get(path`/${what}/${vhost}` + query({
        page: 1, page_size: SAMPLE, name: data.pattern, use_regex: 'true',
        columns: 'name,vhost,policy,operator_policy',
      }), { signal }).catch(() => ({ items: [] }));
      return (answer.items ?? []).filter((row) => (kind === 'policies' ? row.policy : row.operator_policy) === own);
    };
    const [queues, exchanges] = await Promise.all([find('queues'), find('exchanges')]);
    matches = { queues, exchanges };
  }

  async function remove() {
    const sure = await confirm({
      title: `Delete the ${title(kind)}`, action: 'Delete',
      text: ['Delete ', name(own), '? What it sets no longer holds at once.'],
    });
    if (!sure) return;
    await act(async () => {
      await del(target());
      go(kind === 'policies' ? '#/policies' : '#/policies?tab=operator');
    }, 'Deleted');
  }

  function view() {
    if (!data) return h('p.empty', 'Loading\u2026');
    const found = matches.queues.length + matches.exchanges.length;
    return [
      heading({
        crumbs: [['Policies', kind === 'policies' ? '#/policies' : '#/policies?tab=operator'],
          [vhost, route('vhosts', vhost)]],
        title: own, copied: own, object: data,
        badges: badge(title(kind), 'quiet'),
        actions: kind === 'policies' || session.can('administrator') ? [
          h('button', { type: 'button', onclick: () => edit(kind, data) }, 'Change\u2026'),
          h('button.danger', { type: 'button', onclick: remove }, icon('trash'), h('span', 'Delete\u2026')),
        ] : null,
      }),
      h('div.grid.two',
        card('Policy', facts([
          ['Virtual host', vhostLink(vhost)], ['Pattern', h('code.inline', name(data.pattern))],
          ['Applies to', data['apply-to']], ['Priority', count(data.priority)],
        ])),
        card('Definition', tableOf(data.definition))),
      card('In force on', found === 0 ? h('p.empty', 'Nothing.') : [
        h('p.dim', found >= SAMPLE ? `The first ${plural(found, 'object')}.` : null),
        h('ul.names', matches.queues.map((row) => h('li', { key: `q${row.name}` }, queueLink(vhost, row.name), h('span.dim', ' queue'))),
          matches.exchanges.map((row) => h('li', { key: `e${row.name}` }, exchangeLink(vhost, row.name), h('span.dim', ' exchange')))),
      ]),
    ];
  }

  return { title: own, load, view };
}
