// What stands around every page: header, navigation, banners.

import { app } from './app.js';
import { h, icon } from './dom.js';
import { name } from './format.js';
import { forgetHealth, health } from './health.js';
import { helpDialog } from './keys.js';
import { openSearch } from './search.js';
import { choice, choose, nextTheme, product, scope, session, theme } from './state.js';
import { places } from './routes.js';

const REFRESH = [[1, '1 s'], [2, '2 s'], [5, '5 s'], [10, '10 s'], [30, '30 s'], [0, 'never']];

export function shell({ path, lost, updated, leave, content }) {
  const here = path[0] ?? '';
  return h('div.shell', { class: app.menu ? 'menu-open' : '' },
    h('a.skip', {
      href: '#main',
      onclick: (event) => {
        event.preventDefault();
        document.querySelector('main h1')?.focus();
      },
    }, 'To the content'),
    app.busy ? h('div.progress', { key: 'progress', 'aria-hidden': 'true' }) : null,
    top(lost, updated, leave),
    navigation(here),
    app.menu ? h('div.veil', { onclick: () => { app.menu = false; app.redraw(); } }) : null,
    h('main#main', banners(lost), content));
}

function top(lost, updated, leave) {
  const look = { light: ['sun', 'light'], dark: ['moon', 'dark'] }[theme()] ?? ['auto', 'the system\u2019s'];
  return h('header.top',
    h('button.plain.menu-button', {
      type: 'button', 'aria-label': 'Navigation', 'aria-expanded': String(Boolean(app.menu)),
      onclick: () => { app.menu = !app.menu; app.redraw(); },
    }, icon('menu')),
    h('a.brand', { href: '#/', 'aria-label': 'Lepus, overview' },
      h('span.logo', { 'aria-hidden': 'true' }), h('span', 'Lepus')),
    h('button.search-button', { type: 'button', onclick: openSearch, title: 'Search everything (Ctrl K)' },
      icon('search'), h('span.text', 'Search'), h('kbd', 'Ctrl K')),
    h('span.spring'),
    problems(),
    vhostPicker(),
    refreshPicker(lost, updated),
    h('button.plain', {
      type: 'button', title: `Theme: ${look[1]} ( t )`, 'aria-label': `Theme: ${look[1]}`,
      onclick: () => { nextTheme(); app.redraw(); },
    }, icon(look[0])),
    h('button.plain.help', {
      type: 'button', title: 'Keyboard shortcuts ( ? )', 'aria-label': 'Keyboard shortcuts',
      onclick: helpDialog,
    }, icon('help')),
    h('button.plain.user', {
      type: 'button', title: 'Log out', onclick: () => leave(),
    }, h('span.text', name(session.user.name)), icon('logout'), h('span.offscreen', 'Log out')));
}

function problems() {
  const found = health.problems.filter(({ level }) => level !== 'note');
  if (!found.length) return null;
  const bad = found.some(({ level }) => level === 'bad');
  return h('a.problems', { href: '#/', class: bad ? 'bad' : 'warn', title: found.map(({ text }) => text).join('\n') },
    icon('warn'), h('span.num', String(found.length)),
    h('span.text', found.length === 1 ? 'problem' : 'problems'));
}

function vhostPicker() {
  return h('label.picker', h('span.text', 'vhost'), h('select', {
    'aria-label': 'Virtual host of the lists', value: scope.vhost === undefined ? '' : `v${scope.vhost}`,
    onchange: (event) => {
      const { value } = event.currentTarget;
      scope.set(value === '' ? undefined : value.slice(1));
      forgetHealth();
      if (app.route.query.page) app.setQuery({ page: undefined });
      else app.reload();
    },
  },
  h('option', { value: '' }, 'All'),
  session.vhosts.map((vhost) => h('option', { key: vhost, value: `v${vhost}` }, vhost))));
}

function refreshPicker(lost, updated) {
  return h('label.picker', {
    title: lost ? 'The broker does not answer' : `Last loaded at ${updated}`,
  },
  h('span.live', { class: lost ? 'lost' : choice('refresh', 5) ? '' : 'still', 'aria-hidden': 'true' }),
  h('span.text', 'every'),
  h('select', {
    'aria-label': 'Refresh interval', value: String(choice('refresh', 5)),
    onchange: (event) => { choose('refresh', Number(event.currentTarget.value)); app.reload(); },
  }, REFRESH.map(([seconds, label]) => h('option', { value: String(seconds) }, label))));
}

function navigation(here) {
  return h('nav.side', { 'aria-label': 'Pages' },
    places().map((group) => h('div', { key: group.title },
      h('h2', group.title),
      h('ul', group.places.map((place) => h('li', { key: place.path }, h('a', {
        href: `#/${place.path}`, title: `g ${place.key}`,
        'aria-current': (place.also ?? [place.path]).includes(here) ? 'page' : false,
        onclick: () => {
          app.menu = false;
          // The same place again starts it anew, without its filter.
          if (location.hash === `#/${place.path}`) app.reload();
        },
      }, icon(place.icon), h('span', place.label))))))),
    h('p.version', { title: session.broker.cluster_name ?? '' },
      product(session.broker)));
}

function banners(lost) {
  return h('div.banners', { role: 'alert' },
    lost ? h('div.banner.bad', { key: 'lost' }, icon('warn'),
      h('span', 'The broker does not answer. Trying again every 2 seconds; what you see is old.')) : null,
    app.errors.map((error) => h('div.banner.bad', { key: error.key }, icon('warn'),
      h('span', h('strong', error.text), error.path
        ? h('span.dim', ` ${error.status || ''} ${error.path.split('?')[0]}`) : null),
      h('button.plain', {
        type: 'button', 'aria-label': 'Close',
        onclick: () => { app.errors = app.errors.filter((other) => other !== error); app.redraw(); },
      }, icon('close')))));
}
