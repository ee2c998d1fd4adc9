// Users: the list, and a page for one.

import { del, get, path, post, put, query } from '../js/api.js';
import { act, go } from '../js/app.js';
import { h, icon } from '../js/dom.js';
import { confirm, form, formDialog, FormError } from '../js/form.js';
import { name, plural } from '../js/format.js';
import { badge, card, facts, heading, route } from '../js/parts.js';
import { session } from '../js/state.js';
import { table } from '../js/table.js';
import { permissionForm, permissionTable, topicForm, topicTable } from './access.js';
import { limitForm, limitTable } from './limits.js';

const TAGS = ['administrator', 'monitoring', 'policymaker', 'management', 'impersonator'];

function tagsOf(user) {
  return Array.isArray(user.tags) ? user.tags : String(user.tags ?? '').split(',').filter(Boolean);
}

function tagBadges(user) {
  const tags = tagsOf(user);
  if (!tags.length) return h('span.dim', 'none');
  return tags.map((tag) => [badge(name(tag), tag === 'administrator' ? 'warn' : ''), ' ']);
}

const COLUMNS = [
  {
    id: 'name', label: 'Name', sort: 'name', always: true,
    cell: (row) => h('a.row-link', { href: route('users', row.name) }, name(row.name)),
  },
  { id: 'tags', label: 'Tags', fields: ['tags'], cell: tagBadges },
  {
    id: 'vhosts', label: 'Virtual hosts', fields: [],
    cell: (row) => (row.opens?.length ? row.opens.map((vhost) => [badge(name(vhost), 'quiet'), ' '])
      : h('span.warn', 'none')),
  },
  {
    id: 'password', label: 'Password', fields: ['password_hash'],
    cell: (row) => (row.password_hash === '' ? h('span.dim', 'none') : 'set'),
  },
];

const tagsField = {
  name: 'tags', label: 'Tags', hint: 'Separated by commas. administrator may do everything; monitoring sees everything; '
    + 'management uses this page for its own virtual hosts; none is for AMQP alone.',
  attrs: { list: 'user-tags' },
};

function tagList() {
  return h('datalist', { id: 'user-tags', key: 'user-tags' }, TAGS.map((tag) => h('option', { value: tag })));
}

function add() {
  formDialog({
    title: 'Add a user', label: 'Add', done: 'Added', intro: tagList(),
    fields: [
      { name: 'name', label: 'Name', required: true },
      { name: 'password', label: 'Password', type: 'password', attrs: { autocomplete: 'new-password' } },
      { name: 'again', label: 'Password again', type: 'password', attrs: { autocomplete: 'new-password' } },
      { name: 'none', label: 'No password: only certificates or tokens log in', type: 'check' },
      tagsField,
      { name: 'vhost', label: 'May do everything in', type: 'select', value: '', options: [['', 'no virtual host'], ...session.vhosts.map((vhost) => [`v${vhost}`, vhost])] },
    ],
    submit: async (values) => {
      await put(path`/users/${values.name}`, { ...secret(values), tags: values.tags });
      if (values.vhost === '') return;
      await put(path`/permissions/${values.vhost.slice(1)}/${values.name}`,
        { configure: '.*', write: '.*', read: '.*' });
    },
  });
}

function secret({ password, again, none }) {
  if (none) return { password_hash: '' };
  if (password === '') throw new FormError('A password is needed.');
  if (password !== again) throw new FormError('The passwords differ.');
  return { password };
}

export function users() {
  let opens = new Map();
  const list = table({
    id: 'users', url: true, unit: 'user', sort: 'name', columns: COLUMNS, key: (row) => row.name,
    source: async (params, signal) => {
      const [answer, permissions] = await Promise.all([
        get(`/users${query(params)}`, { signal }), get('/permissions', { signal }),
      ]);
      opens = new Map();
      for (const { user, vhost } of permissions) opens.set(user, [...opens.get(user) ?? [], vhost]);
      for (const row of answer.items ?? answer) row.opens = opens.get(row.name);
      return answer;
    },
    marks: [{ label: 'Delete\u2026', danger: true, run: removeMany }],
  });
  return {
    title: 'Users',
    load: list.load,
    view: () => [heading({
      title: 'Users',
      actions: h('button.primary', { type: 'button', 'data-new': true, onclick: add },
        icon('plus'), h('span', 'Add')),
    }), list.view()],
  };
}

async function removeMany(rows) {
  const sure = await confirm({
    title: 'Delete users', action: 'Delete',
    text: `Delete ${plural(rows.length, 'user')} with their permissions? Their connections are closed.`,
  });
  if (!sure) return false;
  return act(() => post('/users/bulk-delete', { users: rows.map((row) => row.name) }), 'Deleted');
}

export function user(own) {
  let data;
  let permissions = [];
  let topics = [];
  let limits = [];
  const target = () => path`/users/${own}`;
  const permitted = permissionTable('user', () => permissions);
  const topicsShown = topicTable('user', () => topics);
  const limitsShown = limitTable('user', () => limits);
  const permit = permissionForm({ user: own });
  const permitTopic = topicForm({ user: own });
  const limit = limitForm({ user: own });
  const password = form({
    fields: [
      { name: 'password', label: 'New password', type: 'password', attrs: { autocomplete: 'new-password' } },
      { name: 'again', label: 'New password again', type: 'password', attrs: { autocomplete: 'new-password' } },
      { name: 'none', label: 'No password: only certificates or tokens log in', type: 'check' },
    ],
    label: 'Change the password', done: 'Changed',
    submit: (values) => put(target(), { ...secret(values), tags: tagsOf(data).join(',') }),
  });

  async function load(signal) {
    [data, permissions, topics, limits] = await Promise.all([
      get(target(), { signal }), get(`${target()}/permissions`, { signal }),
      get(`${target()}/topic-permissions`, { signal }),
      get(path`/user-limits/${own}`, { signal }).catch(() => []),
    ]);
  }

  function editTags() {
    formDialog({
      title: 'Tags', label: 'Save', done: 'Saved', intro: tagList(),
      fields: [{ ...tagsField, value: tagsOf(data).join(', ') }],
      // A user is put as a whole: what it has of a password goes with it.
      submit: ({ tags }) => put(target(), {
        tags: tags.split(',').map((tag) => tag.trim()).filter(Boolean).join(','),
        password_hash: data.password_hash, hashing_algorithm: data.hashing_algorithm,
      }),
    });
  }

  async function remove() {
    const sure = await confirm({
      title: 'Delete the user', action: 'Delete',
      text: ['Delete ', name(own), ' with its permissions? Its connections are closed.'],
    });
    if (!sure) return;
    await act(async () => {
      await del(target());
      go('#/users');
    }, 'Deleted');
  }

  function view() {
    if (!data) return h('p.empty', 'Loading\u2026');
    return [
      heading({
        crumbs: [['Users', '#/users']], title: own, copied: own, object: data,
        badges: tagBadges(data),
        actions: [
          h('button', { type: 'button', onclick: editTags }, 'Tags\u2026'),
          h('button.danger', { type: 'button', onclick: remove }, icon('trash'), h('span', 'Delete\u2026')),
        ],
      }),
      card('Permissions', permitted.view(), h('details', h('summary', 'Set permissions'), permit.view())),
      card('Topic permissions', topicsShown.view(),
        h('details', h('summary', 'Set topic permissions'), permitTopic.view())),
      h('div.grid.two',
        card('Limits', limitsShown.view(), h('details', h('summary', 'Set a limit'), limit.view())),
        card('Password', facts([['Now', data.password_hash === '' ? 'none' : 'set'],
          ['Hash', data.hashing_algorithm]]),
        h('details', h('summary', 'Change the password'), password.view()))),
    ];
  }

  return { title: own, load, view };
}
