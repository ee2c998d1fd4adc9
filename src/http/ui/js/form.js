// Forms from a list of fields, dialogs, and the editor of argument tables.

import { app, toast } from './app.js';
import { h, icon } from './dom.js';
import { inline, name } from './format.js';

let serial = 0;

/**
 * A form. A field: name, label, type (text, password, number, select, check, area, arguments,
 * file, note), value, options ([value, label]), hint, required, when(values), attrs, presets
 * (of an argument editor). `spec`: fields, submit(values), label, danger, done, extra.
 */
export function form(spec) {
  const id = `form${++serial}`;
  let values = {};
  let editors = {};
  let error = null;
  let busy = false;
  let generation = 0;

  function reset() {
    values = {};
    editors = {};
    error = null;
    generation += 1;
    for (const field of spec.fields) {
      if (field.type === 'arguments') editors[field.name] = argumentEditor(field);
      else values[field.name] = field.value ?? (field.type === 'check' ? false : '');
    }
  }
  reset();

  function visible() {
    return spec.fields.filter((field) => !field.when || field.when(values));
  }

  async function submit(event) {
    event?.preventDefault();
    if (busy) return;
    busy = true;
    error = null;
    app.redraw();
    try {
      const all = { ...values };
      for (const field of visible()) {
        if (field.type === 'arguments') all[field.name] = editors[field.name].read();
        if (field.type === 'number') all[field.name] = numberOf(field, all[field.name]);
      }
      const answer = await spec.submit(all);
      if (spec.done) toast(typeof spec.done === 'function' ? spec.done(answer, all) : spec.done);
      if (!spec.keep) reset();
      spec.after?.(answer, all);
      app.reload();
    } catch (problem) {
      error = problem;
      if (problem.path === undefined && !(problem instanceof FormError)) console.error(problem);
    }
    busy = false;
    app.redraw();
  }

  function view() {
    return h('form', { key: `${id}.${generation}`, onsubmit: submit, novalidate: false },
      h('div.fields', visible().map(fieldView)),
      error ? h('p.error', { role: 'alert' }, icon('warn'), h('span', error.message)) : null,
      h('div.buttons',
        spec.cancel ? h('button', { type: 'button', onclick: spec.cancel }, 'Cancel') : null,
        h('button', { type: 'submit', class: spec.danger ? 'danger' : 'primary', disabled: busy },
          spec.label),
        spec.extra?.(values)));
  }

  function fieldView(field) {
    if (field.type === 'note') return h('p.note', { key: field.name }, field.label);
    const input = `${id}-${field.name}`;
    const hint = field.hint ? `${input}-hint` : false;
    const attrs = { id: input, 'aria-describedby': hint, ...field.attrs };
    const label = field.type === 'check' || field.type === 'arguments'
      ? null : h('label', { for: input }, field.label);
    return h(`div.field.${field.type ?? 'text'}`, { key: field.name, class: field.class },
      label, control(field, attrs),
      field.hint ? h('p.hint', { id: hint }, field.hint) : null);
  }

  function control(field, attrs) {
    const set = (event) => { values[field.name] = event.currentTarget.value; };
    const setAndDraw = (event) => { set(event); app.redraw(); };
    switch (field.type) {
      case 'select':
        return h('select', { ...attrs, value: values[field.name], onchange: setAndDraw },
          (typeof field.options === 'function' ? field.options(values) : field.options)
            .map(([value, text]) => h('option', { value }, text)));
      case 'check':
        return h('label.check', h('input', {
          ...attrs, type: 'checkbox', checked: values[field.name],
          onchange: (event) => { values[field.name] = event.currentTarget.checked; app.redraw(); },
        }), field.label);
      case 'area':
        return h('textarea', {
          rows: '5', spellcheck: 'false', ...attrs, value: values[field.name], oninput: set,
          required: field.required,
        });
      case 'arguments':
        return editors[field.name].view(field.label);
      case 'file':
        return h('input', {
          ...attrs, type: 'file', required: field.required,
          onchange: (event) => {
            [values[field.name]] = event.currentTarget.files;
            app.redraw();
          },
        });
      default:
        return h('input', {
          autocomplete: 'off', spellcheck: 'false', ...attrs, type: field.type ?? 'text',
          value: values[field.name], required: field.required, oninput: field.live ? setAndDraw : set,
        });
    }
  }

  return {
    view, submit, reset,
    values: () => values,
    set(more) { Object.assign(values, more); generation += 1; app.redraw(); },
    setArguments(field, table) { editors[field].write(table); app.redraw(); },
  };
}

/** What a form says about its own fields, before anything is sent. */
export class FormError extends Error {}

function numberOf(field, text) {
  if (text === '' || text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isFinite(value)) throw new FormError(`${field.label}: ${text} is no number.`);
  return value;
}

const TYPES = [['string', 'String'], ['number', 'Number'], ['boolean', 'Boolean'], ['json', 'JSON']];

/** Rows of key, value and type that make a table; `presets` ([{key, type, hint, value}]) add one. */
function argumentEditor({ presets = [], value = {} }) {
  let rows = [];
  let last = 0;
  const id = `args${++serial}`;

  const add = (row) => rows.push({ id: ++last, key: '', type: 'string', text: '', ...row });

  function write(table) {
    rows = [];
    for (const [key, held] of Object.entries(table ?? {})) {
      const type = ['string', 'number', 'boolean'].includes(typeof held) ? typeof held : 'json';
      add({ key, type, text: inline(held) });
    }
  }
  write(value);

  function read() {
    const table = {};
    for (const row of rows) {
      if (row.key === '' && row.text === '') continue;
      if (row.key === '') throw new FormError('An argument has a value but no name.');
      table[row.key] = parse(row);
    }
    return table;
  }

  function parse({ key, type, text }) {
    if (type === 'string') return text;
    if (type === 'boolean') return text === 'true';
    if (type === 'number') {
      const number = Number(text);
      if (text.trim() === '' || !Number.isFinite(number)) {
        throw new FormError(`${key}: \u201c${text}\u201d is no number.`);
      }
      return number;
    }
    try {
      return JSON.parse(text);
    } catch (error) {
      throw new FormError(`${key}: not JSON (${error.message}).`);
    }
  }

  function rowView(row) {
    const update = (key) => (event) => {
      row[key] = event.currentTarget.value;
      if (key === 'type') {
        if (row.type === 'boolean' && row.text !== 'false') row.text = 'true';
        app.redraw();
      }
    };
    return h('div.row', { key: row.id },
      h('input', {
        type: 'text', 'aria-label': 'Name', placeholder: 'name', value: row.key,
        oninput: update('key'), spellcheck: 'false', autocomplete: 'off',
      }),
      row.type === 'boolean'
        ? h('select.value', {
          'aria-label': `Value of ${row.key}`, value: row.text, onchange: update('text'),
          ref: row.fresh ? (el) => el.focus() : undefined,
        },
          h('option', { value: 'true' }, 'true'), h('option', { value: 'false' }, 'false'))
        : h('input.value', {
          type: 'text', 'aria-label': `Value of ${row.key}`, placeholder: row.hint ?? 'value',
          value: row.text, oninput: update('text'), list: row.list ? `${id}-${row.id}` : false,
          spellcheck: 'false', autocomplete: 'off',
          ref: row.fresh ? (el) => el.focus() : undefined,
        }),
      row.list ? h('datalist', { id: `${id}-${row.id}` },
        row.list.map((option) => h('option', { value: option }))) : null,
      h('select', { 'aria-label': `Type of ${row.key}`, value: row.type, onchange: update('type') },
        TYPES.map(([type, label]) => h('option', { value: type }, label))),
      h('button.plain', {
        type: 'button', title: 'Remove', 'aria-label': `Remove ${row.key}`,
        onclick: () => { rows = rows.filter((other) => other !== row); app.redraw(); },
      }, icon('close')));
  }

  function view(label) {
    const used = new Set(rows.map((row) => row.key));
    return h('fieldset.arguments', h('legend', label),
      rows.map(rowView),
      h('div.chips',
        h('button', { type: 'button', onclick: () => { add({}); app.redraw(); } },
          icon('plus'), h('span', 'Add')),
        presets.filter((preset) => !used.has(preset.key)).map((preset) => h('button.chip', {
          key: preset.key, type: 'button', title: preset.about ?? '',
          onclick: () => {
            add({
              key: preset.key, type: preset.type ?? 'string', text: String(preset.value ?? ''),
              hint: preset.hint, list: preset.list, fresh: true,
            });
            app.redraw();
          },
        }, preset.label ?? preset.key))));
  }

  return { view, read, write };
}

/** Opens a dialog: {title, body() of vnodes, wide, light (a click outside closes it)}. */
export function openDialog(dialog) {
  const entry = { ...dialog, id: ++serial, before: document.activeElement };
  entry.close = () => {
    if (!app.dialogs.includes(entry)) return;
    app.dialogs = app.dialogs.filter((other) => other !== entry);
    app.redraw();
    entry.closed?.();
    entry.before?.focus?.();
  };
  app.dialogs.push(entry);
  app.redraw();
  return entry;
}

export function dialogView(entry) {
  return h('dialog', {
    key: entry.id, class: entry.wide ? 'wide' : '', 'aria-labelledby': `dialog${entry.id}`,
    ref: (el) => {
      el.showModal();
      (el.querySelector('.first, form input[required], form textarea[required]')
        ?? el.querySelector('form input:not([type=checkbox]), form select, form textarea'))?.focus();
    },
    oncancel: (event) => { event.preventDefault(); entry.close(); },
    onclick: (event) => { if (entry.light && event.target === event.currentTarget) entry.close(); },
  },
  h('header', h('h2', { id: `dialog${entry.id}` }, entry.title),
    h('button.plain', { type: 'button', 'aria-label': 'Close', onclick: entry.close }, icon('close'))),
  h('div.body', entry.body()));
}

/** A form in a dialog of its own, which closes when the form was accepted. */
export function formDialog({ title, wide, ...spec }) {
  let entry;
  const shown = form({
    ...spec,
    cancel: () => entry.close(),
    after: (...answer) => {
      spec.after?.(...answer);
      entry.close();
    },
  });
  entry = openDialog({ title, wide, body: () => [spec.intro ?? null, shown.view()] });
  return entry;
}

/** Asks before something that can't be undone; with `type` that text must be typed. */
export function confirm({ title, text, action, type }) {
  return new Promise((resolve) => {
    let typed = '';
    let entry;
    const finish = (answer) => { resolve(answer); entry.close(); };
    entry = openDialog({
      title,
      closed: () => resolve(false),
      body: () => h('form', {
        onsubmit: (event) => {
          event.preventDefault();
          if (type === undefined || typed === type) finish(true);
        },
      },
      h('p', text),
      type === undefined ? null : h('label.field', h('span', 'Type ', name(type), ' to confirm'),
        h('input', {
          type: 'text', autocomplete: 'off', spellcheck: 'false',
          oninput: (event) => { typed = event.currentTarget.value; app.redraw(); },
        })),
      h('div.buttons',
        h('button', {
          type: 'button', class: type === undefined ? 'first' : '', onclick: () => finish(false),
        }, 'Cancel'),
        h('button.danger', {
          type: 'submit', disabled: type !== undefined && typed !== type,
        }, action))),
    });
  });
}

/** Puts text on the clipboard, also where the page came over plain HTTP. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'offscreen';
    (document.querySelector('dialog[open]') ?? document.body).append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  toast('Copied');
}

/** A button that copies a name or a text. */
export function copyButton(text, label = 'Copy the name') {
  return h('button.plain.copy', {
    type: 'button', title: label, 'aria-label': label, onclick: () => copy(text),
  }, icon('copy'));
}

/** Shows any object as the API gave it. */
export function jsonDialog(title, value) {
  const text = JSON.stringify(value, null, 2);
  openDialog({
    title, wide: true, light: true,
    body: () => [
      h('div.buttons.start', h('button.first', { type: 'button', onclick: () => copy(text) },
        icon('copy'), h('span', 'Copy')),
      h('button', {
        type: 'button', onclick: () => download('object.json', text, 'application/json'),
      }, icon('down'), h('span', 'Download'))),
      h('pre.json', { tabindex: '0' }, text),
    ],
  });
}

/** Saves text or bytes as a file. */
export function download(filename, content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = filename;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}
