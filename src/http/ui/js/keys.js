// Keyboard shortcuts.

import { app, go } from './app.js';
import { h } from './dom.js';
import { jsonDialog, openDialog } from './form.js';
import { openSearch } from './search.js';
import { nextTheme, session } from './state.js';
import { places } from './routes.js';

/** When `g` was pressed: the next key names a place. */
let goes = 0;

function writes(target) {
  return target.closest?.('input:not([type=checkbox]), textarea, select, [contenteditable]');
}

const SINGLE = {
  '/': ['Filter the list', () => focusFilter()],
  n: ['New: open the page\u2019s form', () => document.querySelector('[data-new]')?.click()],
  r: ['Load again now', () => app.reload()],
  j: ['Next row', () => step(1)],
  k: ['Previous row', () => step(-1)],
  ']': ['Next page', () => document.querySelector('.pager .next')?.click()],
  '[': ['Previous page', () => document.querySelector('.pager .previous')?.click()],
  '.': ['The object of this page as JSON', () => {
    if (app.object) jsonDialog('JSON', app.object.value);
  }],
  t: ['Theme: the system\u2019s, light, dark', () => { nextTheme(); app.redraw(); }],
  '?': ['This list', () => helpDialog()],
};

function focusFilter() {
  const field = document.querySelector('main .filter-field');
  field?.focus();
  field?.select();
}

function step(by) {
  const links = [...document.querySelectorAll('main tbody a.row-link')];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by))]
    .focus();
}

export function onKey(event) {
  if (!session.user) return;
  const { key } = event;
  if ((event.ctrlKey || event.metaKey) && !event.altKey && key.toLowerCase() === 'k') {
    event.preventDefault();
    openSearch();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || app.dialogs.length) return;
  if (key === 'Escape' && app.menu) {
    app.menu = false;
    app.redraw();
    return;
  }
  if (writes(event.target)) return;
  if (goes && Date.now() - goes < 1500) {
    goes = 0;
    const place = places().flatMap((group) => group.places).find((other) => other.key === key);
    if (place) {
      event.preventDefault();
      go(`#/${place.path}`);
    }
    return;
  }
  if (key === 'g') {
    goes = Date.now();
    return;
  }
  const single = SINGLE[key];
  if (!single) return;
  event.preventDefault();
  single[1]();
}

export function helpDialog() {
  const rows = [
    [['Ctrl', 'K'], 'Search everything'],
    ...Object.entries(SINGLE).map(([key, [text]]) => [[key], text]),
    ...places().flatMap((group) => group.places)
      .map((place) => [['g', place.key], place.label]),
  ];
  openDialog({
    title: 'Keyboard shortcuts', light: true,
    body: () => h('dl.shortcuts', rows.map(([keys, text]) => h('div', { key: keys.join(' ') },
      h('dt', keys.map((key) => h('kbd', key))), h('dd', text)))),
  });
}
