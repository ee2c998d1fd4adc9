// A table with filter, sort, pages, chosen columns and marked rows.
//
// `source` is asked for one page at a time, with the API's parameters. An answer that is a plain
// array (the API pages only some lists) is filtered, sorted and paged here.

import { app, fail } from './app.js';
import { h, icon } from './dom.js';
import { count, plural, rate } from './format.js';
import { choice, choose, scope, session } from './state.js';

/** A number; nought is quiet, so that the others are seen. */
function zero(value, format) {
  return value === 0 ? h('span.dim', format(value)) : format(value);
}

/** A column of counts. */
export const countColumn = (id, label, field, more = {}) => ({
  id, label, num: true, sort: field, cell: (row) => zero(at(row, field), count), ...more,
});

/** A column with the rate of one of the message statistics. */
export const rateColumn = (id, label, stat, more = {}) => {
  const field = `message_stats.${stat}_details.rate`;
  return { id, label, num: true, sort: field, cell: (row) => zero(at(row, field), rate), ...more };
};

/** The virtual host, where rows of more than one can be. */
export const vhostColumn = (cell, field = 'vhost') => ({
  id: 'vhost', label: 'Virtual host', sort: field, cell,
  skip: () => scope.vhost !== undefined || session.vhosts.length < 2,
});

const SIZES = [25, 50, 100, 250, 500];

/** The value at `a.b.c`. */
export function at(row, dotted) {
  return dotted.split('.').reduce((value, key) => value?.[key], row);
}

/**
 * `spec`: id, source(params, signal) or rows(), columns, key(row), sort, reverse, empty, unit,
 * marks ([{label, danger, run(rows)}]), url (its state is in the route's query), inside (another
 * box: no more around the rows than they need).
 * A column: id, label, cell(row), sort (a field), num, hide (not shown at first), fields (of the
 * API, if not the sort field), text(row) for the filter here, title, always.
 */
export function table(spec) {
  let memory = {};
  let answer = null;
  let failed = null;
  let timer;
  let choosing = false;
  let typed = null;
  const marked = new Map();

  const state = () => (spec.url ? app.route.query : memory);

  function change(values) {
    if (spec.url) {
      app.setQuery(values);
    } else {
      memory = { ...memory, ...values };
      refresh();
    }
  }

  async function refresh() {
    try {
      await load();
    } catch (error) {
      fail(error);
    }
    app.redraw();
  }

  /** The columns that were chosen, also those with nothing to say now. */
  const wanted = () => choice(`columns.${spec.id}`, null)
    ?? spec.columns.filter((column) => !column.hide).map((column) => column.id);

  function chosen() {
    const ids = wanted();
    return spec.columns.filter((column) => column.always
      || (!column.skip?.() && ids.includes(column.id)));
  }

  const page = () => Math.max(1, Number(state().page) || 1);
  const size = () => choice(`size.${spec.id}`, spec.size ?? 100);
  const sort = () => state().sort ?? spec.sort;
  const reverse = () => (state().sort === undefined ? spec.reverse ?? false : state().desc === '1');
  const filter = () => state().q ?? '';
  const regex = () => state().regex === '1';

  function params() {
    const values = {
      page: page(), page_size: size(), name: filter(), use_regex: regex() ? 'true' : 'false',
      sort: sort(), sort_reverse: reverse() ? 'true' : undefined,
    };
    if (spec.fields) {
      const fields = chosen().flatMap((column) => column.fields ?? [column.sort]);
      values.columns = [...new Set([...spec.fields, ...fields])].filter(Boolean).join(',');
    }
    return values;
  }

  async function load(signal) {
    if (!spec.source) return;
    try {
      answer = await spec.source(params(), signal);
      failed = null;
    } catch (error) {
      // The list became shorter than the page that was shown.
      if (error.status === 400 && page() > 1 && /out of range/i.test(error.reason)) {
        change({ page: undefined });
        return;
      }
      failed = error;
      throw error;
    }
  }

  /** What is shown: {items, total, filtered, pages, page, note}. */
  function shown() {
    const data = spec.source ? answer : spec.rows();
    if (data === null || data === undefined) return null;
    if (!Array.isArray(data)) {
      return {
        items: data.items, total: data.total_count, filtered: data.filtered_count,
        pages: Math.max(1, data.page_count), page: data.page,
      };
    }
    const { found, note } = search(data);
    const field = sort();
    const sorted = field ? [...found].sort((a, b) => compare(at(a, field), at(b, field))) : found;
    if (reverse()) sorted.reverse();
    const pages = Math.max(1, Math.ceil(sorted.length / size()));
    const now = Math.min(page(), pages);
    return {
      items: sorted.slice((now - 1) * size(), now * size()), total: data.length,
      filtered: sorted.length, pages, page: now, note,
    };
  }

  function search(rows) {
    const words = filter();
    if (words === '') return { found: rows };
    const text = (row) => (spec.text ? spec.text(row) : String(row.name ?? ''));
    if (!regex()) {
      const lower = words.toLowerCase();
      return { found: rows.filter((row) => text(row).toLowerCase().includes(lower)) };
    }
    try {
      const pattern = new RegExp(words, 'i');
      return { found: rows.filter((row) => pattern.test(text(row))) };
    } catch (error) {
      return { found: [], note: error.message };
    }
  }

  function onFilter(event) {
    typed = event.currentTarget.value;
    clearTimeout(timer);
    timer = setTimeout(() => {
      change({ q: typed || undefined, page: undefined });
      typed = null;
    }, 200);
  }

  function toolbar(data) {
    const words = typed ?? filter();
    return h('div.toolbar', { role: 'search' },
      spec.filter === false ? null : h('div.filter',
        icon('search'),
        h('input', {
          type: 'search', class: 'filter-field', placeholder: spec.placeholder ?? 'Filter by name',
          'aria-label': spec.placeholder ?? 'Filter by name', value: words, spellcheck: 'false',
          autocomplete: 'off', oninput: onFilter,
          onkeydown: (event) => {
            if (event.key !== 'Escape') return;
            if (event.currentTarget.value === '') event.currentTarget.blur();
            else change({ q: undefined, page: undefined });
          },
        }),
        h('button.toggle', {
          type: 'button', title: 'The filter is a regular expression',
          'aria-label': 'Regular expression', 'aria-pressed': String(regex()),
          onclick: () => change({ regex: regex() ? undefined : '1', page: undefined }),
        }, '.*')),
      data?.note ? h('span.bad', { role: 'alert' }, data.note) : null,
      h('span.spring'),
      spec.choose === false ? null : chooser());
  }

  function chooser() {
    const ids = new Set(wanted());
    const close = () => { choosing = false; app.redraw(); };
    return h('div.dropdown', {
      onfocusout: (event) => {
        if (choosing && !event.currentTarget.contains(event.relatedTarget)) close();
      },
      onkeydown: (event) => {
        if (event.key !== 'Escape' || !choosing) return;
        event.stopPropagation();
        close();
        event.currentTarget.querySelector('button').focus();
      },
    },
    h('button', {
      type: 'button', 'aria-expanded': String(choosing),
      onclick: () => { choosing = !choosing; app.redraw(); },
    }, icon('columns'), h('span.text', 'Columns')),
    choosing ? h('div.panel', { tabindex: '-1' },
      spec.columns.filter((column) => !column.always && !column.skip?.()).map((column) => h('label.check',
        { key: column.id, title: column.title ?? false },
        h('input', {
          type: 'checkbox', checked: ids.has(column.id),
          onchange: (event) => {
            if (event.currentTarget.checked) ids.add(column.id);
            else ids.delete(column.id);
            choose(`columns.${spec.id}`, [...ids]);
            refresh();
          },
        }), column.label)),
      h('button.link', {
        type: 'button', onclick: () => { choose(`columns.${spec.id}`, undefined); refresh(); },
      }, 'As they were')) : null);
  }

  function header(column) {
    const sorted = column.sort && column.sort === sort();
    const label = [column.label, sorted ? h('span.arrow', { 'aria-hidden': 'true' }, reverse() ? '\u2193' : '\u2191') : null];
    return h('th', {
      key: column.id, class: `col-${column.id} ${column.num ? 'num' : ''}`, scope: 'col',
      title: column.title ?? false,
      'aria-sort': sorted ? (reverse() ? 'descending' : 'ascending') : false,
    },
    column.sort ? h('button', {
      type: 'button',
      onclick: () => {
        // Numbers are looked at from the largest.
        const desc = sorted ? !reverse() : Boolean(column.num);
        change({ sort: column.sort, desc: desc ? '1' : '0', page: undefined });
      },
    }, label) : label);
  }

  function row(item, columns) {
    const key = spec.key(item);
    return h('tr', { key, class: marked.has(key) ? 'marked' : '' },
      spec.marks ? h('td.mark', h('input', {
        type: 'checkbox', 'aria-label': 'Mark this row', checked: marked.has(key),
        onchange: (event) => {
          if (event.currentTarget.checked) marked.set(key, item);
          else marked.delete(key);
          app.redraw();
        },
      })) : null,
      columns.map((column) => h('td', { key: column.id, class: `col-${column.id} ${column.num ? 'num' : ''}` },
        column.cell(item))));
  }

  function marksBar() {
    if (marked.size === 0) return null;
    const items = [...marked.values()];
    return h('div.marks', { role: 'status' },
      h('strong', `${count(items.length)} marked`),
      spec.marks.map((mark) => h('button', {
        type: 'button', class: mark.danger ? 'danger' : '',
        onclick: async () => {
          if (await mark.run(items)) marked.clear();
          app.redraw();
        },
      }, mark.label)),
      h('button.link', { type: 'button', onclick: () => { marked.clear(); app.redraw(); } }, 'None'));
  }

  function allMark(items) {
    const here = items.map((item) => spec.key(item));
    const all = here.length > 0 && here.every((key) => marked.has(key));
    return h('th.mark', { scope: 'col' }, h('input', {
      type: 'checkbox', 'aria-label': 'Mark all rows of this page', checked: all,
      onchange: () => {
        items.forEach((item) => (all ? marked.delete(spec.key(item))
          : marked.set(spec.key(item), item)));
        app.redraw();
      },
    }));
  }

  function view() {
    const data = shown();
    const columns = chosen();
    const body = data?.items ?? [];
    return h('section.table', { key: spec.id },
      spec.plain || (spec.inside && few(data)) ? null : toolbar(data),
      spec.marks ? marksBar() : null,
      h('div.scroll', { tabindex: '0', role: 'region', 'aria-label': spec.label ?? spec.unit },
        h('table', { 'aria-busy': String(data === null) },
          h('thead', h('tr', spec.marks ? allMark(body) : null, columns.map(header))),
          h('tbody', body.map((item) => row(item, columns))))),
      body.length === 0 ? h('p.empty', { role: 'status' }, nothing(data)) : null,
      data ? pager(data) : null);
  }

  const few = (data) => (data?.total ?? 0) <= 10 && filter() === '';

  function nothing(data) {
    if (failed && !data) return failed.message;
    if (!data) return 'Loading\u2026';
    if (data.total > 0) return `None of ${plural(data.total, spec.unit, spec.units)} matches.`;
    return spec.empty ?? 'Nothing here.';
  }

  function pager(data) {
    const { pages, filtered, total } = data;
    if (filtered === 0 || (spec.plain && pages === 1) || (spec.inside && few(data))) return null;
    const first = (data.page - 1) * size() + 1;
    const last = Math.min(filtered, data.page * size());
    const turn = (label, text, to) => h('button', {
      type: 'button', 'aria-label': label, title: label, disabled: to < 1 || to > pages || to === data.page,
      class: label.split(' ')[0].toLowerCase(),
      onclick: () => change({ page: to === 1 ? undefined : String(to) }),
    }, text);
    return h('nav.pager', { 'aria-label': 'Pages' },
      h('span.num', `${count(first)}\u2013${count(last)} of ${count(filtered)}`,
        filtered < total ? ` (${count(total)} in all)` : ''),
      h('span.spring'),
      pages > 1 ? [
        turn('First page', '\u00ab', 1), turn('Previous page', '\u2039', data.page - 1),
        h('span.num', `Page ${count(data.page)} of ${count(pages)}`),
        turn('Next page', '\u203a', data.page + 1), turn('Last page', '\u00bb', pages),
      ] : null,
      total > SIZES[0] ? h('label', h('span.dim', 'Rows '), h('select', {
        value: String(size()),
        onchange: (event) => {
          choose(`size.${spec.id}`, Number(event.currentTarget.value));
          change({ page: undefined });
        },
      }, SIZES.map((n) => h('option', { value: String(n) }, String(n))))) : null);
  }

  return { load, view, total: () => shown()?.total, refresh };
}

/** Numbers by size, texts by their letters, what is missing first. */
function compare(a, b) {
  if (a === b) return 0;
  if (a === undefined || a === null) return -1;
  if (b === undefined || b === null) return 1;
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const [left, right] = [typeof a === 'object' ? JSON.stringify(a) : String(a),
    typeof b === 'object' ? JSON.stringify(b) : String(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
