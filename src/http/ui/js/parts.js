// Parts that pages share: headings, facts, badges, meters, links to objects.

import { app } from './app.js';
import { exchangeInPath } from './api.js';
import { spanPicker } from './chart.js';
import { h, icon } from './dom.js';
import { copyButton, jsonDialog } from './form.js';
import { bytes, count, inline, name } from './format.js';
import { scope, session } from './state.js';

/** Where an object's page is: route('queues', vhost, name). */
export function route(...segments) {
  return `#/${segments.map(encodeURIComponent).join('/')}`;
}

export const queueHref = (vhost, queue) => route('queues', vhost, queue);
export const exchangeHref = (vhost, exchange) => route('exchanges', vhost, exchangeInPath(exchange));

export function link(href, text, empty) {
  return h('a', { href }, name(text, empty));
}

export function queueLink(vhost, queue) {
  return h('a.row-link', { href: queueHref(vhost, queue) }, name(queue));
}

export function exchangeLink(vhost, exchange) {
  return h('a.row-link', { href: exchangeHref(vhost, exchange) },
    name(exchange, '(default exchange)'));
}

export function vhostLink(vhost) {
  return h('a', { href: route('vhosts', vhost) }, name(vhost));
}

/** A user's name; a link where the page behind it may be seen. */
export function userLink(user) {
  if (!session.can('administrator')) return name(user);
  return h('a', { href: route('users', user) }, name(user));
}

/**
 * A page's heading: crumbs ([[text, href]]), title, copied (the name a button copies), badges,
 * object (for the JSON view), actions.
 */
export function heading({ crumbs = [], title, copied, badges, object, actions }) {
  if (object !== undefined) app.object = { title, value: object };
  return h('header.heading',
    crumbs.length ? h('nav.crumbs', { 'aria-label': 'Where this is' },
      crumbs.map(([text, href], i) => [
        i ? h('span', { 'aria-hidden': 'true' }, '\u203a') : null, h('a', { href }, name(text))]))
      : null,
    h('div.line',
      h('h1', { tabindex: '-1' }, typeof title === 'string' ? name(title) : title),
      copied === undefined ? null : copyButton(copied),
      badges ?? null,
      h('span.spring'),
      object === undefined ? null : h('button', {
        type: 'button', title: 'This object as the API gives it ( . )',
        onclick: () => jsonDialog('JSON', object),
      }, icon('braces'), h('span', 'JSON')),
      actions ?? null));
}

export function badge(text, kind = '', title = false) {
  return h('span.badge', { class: kind, title }, text);
}

/** A boxed part of a page. */
export function card(title, ...children) {
  const options = title && typeof title === 'object' && 'title' in title ? title : { title };
  return h('section.card', { class: options.class, key: options.key },
    options.title ? h('header', h('h2', options.title), h('span.spring'), options.tools ?? null) : null,
    ...children);
}

/** Names with their values; rows without a value are left out. */
export function facts(rows, look = '') {
  const said = (value) => value !== undefined && value !== null && value !== ''
    && !(Array.isArray(value) && value.length === 0);
  return h('dl.facts', { class: look }, rows.filter((row) => row && said(row[1])).map(([label, value, title]) => h('div', { key: String(label), title: title ?? false },
    h('dt', label), h('dd', value))));
}

/** A figure that is read from afar. */
export function tile(label, value, { href, note, level = '', title = false } = {}) {
  return h(href ? 'a.tile' : 'div.tile', { key: label, title, ...(href ? { href } : {}) },
    h('span.value.num', { class: level }, value), h('span.label', label),
    note ? h('span.dim.num', note) : null);
}

/** The messages of a queue or a virtual host, more tiles, and the charts' span. */
export function messageTiles(data, ...more) {
  return h('div.tiles',
    tile('Ready', count(data.messages_ready ?? 0), { note: bytes(data.message_bytes_ready) }),
    tile('Unacked', count(data.messages_unacknowledged ?? 0), { note: bytes(data.message_bytes_unacknowledged) }),
    tile('Total', count(data.messages ?? 0), { note: bytes(data.message_bytes) }),
    more.length ? h('span.rule', { 'aria-hidden': 'true' }) : null, more,
    h('span.spring'), spanPicker());
}

export function yes(value) {
  return value ? 'yes' : 'no';
}

/** A table of arguments or properties. */
export function tableOf(object) {
  const entries = Object.entries(object ?? {});
  if (Array.isArray(object) || entries.length === 0) return h('p.dim', 'None');
  return h('dl.facts', entries.map(([key, value]) => h('div', { key },
    h('dt', name(key)),
    h('dd', value !== null && typeof value === 'object' ? h('code.inline', inline(value))
      : name(inline(value), '(empty)')))));
}

/** A table of arguments on one line. */
export function brief(object) {
  const entries = Object.entries(object ?? {});
  if (Array.isArray(object) || entries.length === 0) return '';
  return h('span.brief', entries.map(([key, value]) => h('span.pair', { key },
    h('span.dim', name(key), ': '), name(inline(value)))));
}

/** How full something is: used of total, and from where on it is a worry. */
export function meter({ label, used, total, text, note, level }) {
  const part = total > 0 ? Math.min(1, Math.max(0, used / total)) : 0;
  return h('div.meter', { class: level ?? '' },
    h('div.top', h('span', label), h('span.num', text)),
    h('div.track', {
      role: 'meter', 'aria-label': label, 'aria-valuemin': '0', 'aria-valuemax': '100',
      'aria-valuenow': String(Math.round(part * 100)), 'aria-valuetext': `${text} ${note ?? ''}`,
    }, h('div.fill', { css: { width: `${part * 100}%` } })),
    note ? h('div.dim', note) : null);
}

/** Tabs of a page; `tabs`: [[id, label, count?]]. The chosen one is in the route. */
export function tabs(list, chosen) {
  return h('div.tabs', {
    role: 'tablist',
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const at = list.findIndex(([id]) => id === chosen);
      const next = list[(at + step + list.length) % list.length][0];
      const bar = event.currentTarget;
      openTab(next, list);
      setTimeout(() => bar.querySelector('[aria-selected=true]')?.focus(), 0);
    },
  }, list.map(([id, label, many]) => h('button', {
    key: id, type: 'button', role: 'tab', 'aria-selected': String(id === chosen),
    tabindex: id === chosen ? '0' : '-1', onclick: () => openTab(id, list),
  }, label, many === undefined ? null : h('span.count.num', String(many)))));
}

function openTab(id, list) {
  app.setQuery({ tab: id === list[0][0] ? undefined : id }, true);
}

/** The virtual hosts for a select, the one in scope first chosen. */
export function vhostField(extra = {}) {
  const names = session.vhosts.length ? session.vhosts : ['/'];
  const value = scope.vhost ?? (names.includes('/') ? '/' : names[0]);
  return {
    name: 'vhost', label: 'Virtual host', type: 'select', value,
    options: names.map((vhost) => [vhost, vhost]), ...extra,
  };
}

/** The state of a connection, channel or queue with its colour. */
export function stateBadge(state) {
  if (!state) return '';
  const kind = { running: 'good', idle: 'quiet', flow: 'warn', blocked: 'bad', blocking: 'warn' };
  return h('span.state', { class: kind[state] ?? 'warn' }, state);
}
