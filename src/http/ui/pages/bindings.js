// Bindings: tables of them, and the forms that make and remove them.

import { del, exchangeInPath, path, post } from '../js/api.js';
import { act } from '../js/app.js';
import { h } from '../js/dom.js';
import { confirm, form } from '../js/form.js';
import { name } from '../js/format.js';
import { brief, exchangeLink, queueLink } from '../js/parts.js';
import { bindingPresets } from '../js/presets.js';
import { table } from '../js/table.js';

function target({ vhost, source, destination, destination_type: type }) {
  const kind = type === 'exchange' ? 'e' : 'q';
  return `${path`/bindings/${vhost}/e/${exchangeInPath(source)}/`}${kind}${path`/${destination}`}`;
}

async function unbind(binding) {
  const sure = await confirm({
    title: 'Unbind',
    text: ['Remove the binding from ', name(binding.source), ' to ', name(binding.destination),
      ' with the key \u201c', name(binding.routing_key), '\u201d?'],
    action: 'Unbind',
  });
  if (sure) await act(() => del(target(binding) + path`/${binding.properties_key}`), 'Unbound');
}

/** A table of bindings; `from` says if their sources are of interest, else their destinations. */
export function bindingTable({ id, rows, from, empty }) {
  const other = from
    ? {
      id: 'source', label: 'From', sort: 'source', always: true,
      cell: (row) => (row.source === '' ? h('span.dim', '(default exchange)')
        : exchangeLink(row.vhost, row.source)),
    }
    : {
      id: 'destination', label: 'To', sort: 'destination', always: true,
      cell: (row) => [row.destination_type === 'exchange'
        ? exchangeLink(row.vhost, row.destination) : queueLink(row.vhost, row.destination),
      h('span.dim', ` ${row.destination_type}`)],
    };
  return table({
    id, rows, unit: 'binding', empty, sort: other.sort, placeholder: 'Filter bindings',
    choose: false, inside: true,
    key: (row) => JSON.stringify([row.source, row.destination_type, row.destination,
      row.properties_key]),
    text: (row) => `${from ? row.source : row.destination} ${row.routing_key}`,
    columns: [
      other,
      { id: 'key', label: 'Routing key', sort: 'routing_key', always: true, cell: (row) => name(row.routing_key) },
      { id: 'arguments', label: 'Arguments', always: true, cell: (row) => brief(row.arguments) },
      {
        id: 'actions', label: '', always: true,
        cell: (row) => (row.source === '' ? '' : h('button.plain', {
          type: 'button', onclick: () => unbind(row),
        }, 'Unbind')),
      },
    ],
  });
}

/** A form that binds `fixed` (what is known of the binding) to what the user names. */
export function bindForm({ vhost, source, destination, destinationType }) {
  const fields = [];
  if (source === undefined) {
    fields.push({ name: 'source', label: 'From exchange', required: true });
  }
  if (destination === undefined) {
    fields.push({
      name: 'type', label: 'To', type: 'select', value: 'queue',
      options: [['queue', 'Queue'], ['exchange', 'Exchange']],
    }, { name: 'destination', label: 'Name', required: true });
  }
  fields.push(
    { name: 'key', label: 'Routing key' },
    { name: 'arguments', label: 'Arguments', type: 'arguments', presets: bindingPresets },
  );
  return form({
    fields, label: 'Bind', done: 'Bound',
    submit: (values) => post(target({
      vhost, source: source ?? values.source, destination: destination ?? values.destination,
      destination_type: destinationType ?? values.type,
    }), { routing_key: values.key, arguments: values.arguments }),
  });
}
