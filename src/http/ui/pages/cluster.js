// Definitions out and in, the cluster's name, feature flags.

import { get, path, post, put } from '../js/api.js';
import { act, app, toast } from '../js/app.js';
import { h, icon } from '../js/dom.js';
import { confirm, download, form, FormError, jsonDialog } from '../js/form.js';
import { name } from '../js/format.js';
import { badge, card, heading } from '../js/parts.js';
import { session } from '../js/state.js';
import { table } from '../js/table.js';

const KINDS = ['users', 'vhosts', 'permissions', 'topic_permissions', 'parameters',
  'global_parameters', 'policies', 'queues', 'exchanges', 'bindings'];

function counts(definitions) {
  return KINDS.filter((kind) => definitions[kind]?.length)
    .map((kind) => `${definitions[kind].length} ${kind.replaceAll('_', ' ')}`).join(', ') || 'nothing';
}

/** Definitions of a virtual host, or of everything. */
export function definitionsOf(vhost) {
  const target = () => (vhost === undefined ? '/definitions' : path`/definitions/${vhost}`);
  const upload = form({
    fields: [{ name: 'file', label: 'JSON file', type: 'file', required: true, attrs: { accept: '.json,application/json' } }],
    label: 'Upload\u2026', keep: true,
    submit: async ({ file }) => {
      if (!file) throw new FormError('Choose a file.');
      const text = await file.text();
      let parsed;
      try {
        parsed = JSON.parse(text);
      } catch (error) {
        throw new FormError(`${file.name} is not JSON: ${error.message}`);
      }
      const sure = await confirm({
        title: 'Upload definitions', action: 'Upload',
        text: ['Upload ', name(file.name), ` (${counts(parsed)})? What exists already is kept or, where it can `
          + 'change, replaced.'],
      });
      if (!sure) return;
      await post(target(), text);
      toast('Definitions uploaded');
      app.learn();
    },
  });

  async function save() {
    await act(async () => {
      const definitions = await get(target());
      const stamp = new Date().toISOString().slice(0, 10);
      const of = (vhost === undefined ? session.broker.cluster_name ?? 'broker' : vhost)
        .replace(/[^A-Za-z0-9._-]+/g, '_');
      download(`definitions-${of}-${stamp}.json`, JSON.stringify(definitions, null, 2), 'application/json');
      return definitions;
    }, (definitions) => `Downloaded ${counts(definitions)}`);
  }

  async function show() {
    try {
      jsonDialog('Definitions', await get(target()));
    } catch (error) {
      app.errors.push({ text: error.message, key: error.message, status: error.status, path: error.path });
      app.redraw();
    }
  }

  return {
    view: () => card('Definitions',
      h('p.note', vhost === undefined
        ? 'Users, virtual hosts, permissions, policies, queues, exchanges and bindings; no messages.'
        : 'Policies, queues, exchanges and bindings of this virtual host; no messages.'),
      h('div.buttons.start',
        h('button.primary', { type: 'button', onclick: save }, icon('down'), h('span', 'Download')),
        h('button', { type: 'button', onclick: show }, icon('braces'), h('span', 'Show'))),
      upload.view()),
  };
}

export function cluster() {
  let flags = [];
  let deprecated = [];
  const all = definitionsOf(undefined);
  const rename = form({
    fields: [{ name: 'name', label: 'Cluster name', required: true, value: session.broker.cluster_name ?? '' }],
    label: 'Rename', done: 'Renamed', keep: true,
    submit: async (values) => {
      await put('/cluster-name', { name: values.name });
      await app.learn();
    },
  });
  const shown = table({
    id: 'flags', rows: () => flags, unit: 'feature flag', sort: 'name', key: (row) => row.name, size: 25, inside: true,
    text: (row) => `${row.name} ${row.desc}`, choose: false,
    columns: [
      { id: 'name', label: 'Name', sort: 'name', always: true, cell: (row) => name(row.name) },
      { id: 'state', label: 'State', sort: 'state', always: true, cell: stateOf },
      { id: 'stability', label: 'Stability', sort: 'stability', always: true, cell: (row) => row.stability },
      { id: 'desc', label: 'What it does', always: true, cell: (row) => name(row.desc) },
    ],
  });

  function stateOf(row) {
    if (row.state === 'enabled') return badge('enabled', 'good');
    return [badge(row.state, 'quiet'), ' ', h('button.plain', {
      type: 'button', onclick: () => act(() => put(path`/feature-flags/${row.name}/enable`, {}), 'Enabled'),
    }, 'Enable')];
  }

  async function load(signal) {
    [flags, deprecated] = await Promise.all([
      get('/feature-flags', { signal }),
      get('/deprecated-features/used', { signal }).catch(() => []),
    ]);
  }

  return {
    title: 'Definitions',
    load,
    view: () => [
      heading({ title: 'Definitions and cluster' }),
      h('div.grid.two', all.view(), card('Cluster', rename.view(),
        deprecated.length ? [
          h('h3', 'Deprecated features in use'),
          h('ul.names', deprecated.map((row) => h('li', { key: row.name }, name(row.name),
            h('span.dim', ` ${row.deprecation_phase?.replaceAll('_', ' ') ?? ''}`)))),
        ] : h('p.dim', 'No deprecated feature is in use.'))),
      card('Feature flags', shown.view()),
    ],
  };
}
