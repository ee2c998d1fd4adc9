// Publishing a message and looking at messages.

import { exchangeInPath, path, post } from '../js/api.js';
import { app, fail } from '../js/app.js';
import { h, icon } from '../js/dom.js';
import { copy, download, form, FormError } from '../js/form.js';
import { bytes, count, name, plural } from '../js/format.js';
import { badge, tableOf } from '../js/parts.js';

/** Bytes of a payload that `get` asks for; a longer one is cut. */
const SHOWN_BYTES = 50000;

const PROPERTIES = [
  { key: 'content_type', value: 'application/json', list: ['application/json', 'text/plain', 'application/octet-stream'] },
  { key: 'content_encoding' }, { key: 'priority', type: 'number', hint: '0 to 255' },
  { key: 'correlation_id' }, { key: 'reply_to' },
  { key: 'expiration', hint: 'ms, as text' }, { key: 'message_id' },
  { key: 'timestamp', type: 'number', hint: 'seconds since 1970' },
  { key: 'type' }, { key: 'user_id' }, { key: 'app_id' },
];

/** A form that publishes to an exchange; `key` is the routing key it begins with. */
export function publishForm({ vhost, exchange, key = '', fixed = false }) {
  const made = form({
    fields: [
      ...(fixed ? [] : [{ name: 'key', label: 'Routing key', value: key }]),
      {
        name: 'mode', label: 'Delivery mode', type: 'select', value: '2',
        options: [['2', 'Persistent'], ['1', 'Transient']],
      },
      {
        name: 'encoding', label: 'Payload is', type: 'select', value: 'string',
        options: [['string', 'Text'], ['base64', 'Base64'], ['file', 'A file']],
      },
      { name: 'times', label: 'Times', type: 'number', value: '1', attrs: { min: 1, max: 10000 } },
      { name: 'properties', label: 'Properties', type: 'arguments', presets: PROPERTIES },
      { name: 'headers', label: 'Headers', type: 'arguments' },
      {
        name: 'payload', label: 'Payload', type: 'area', attrs: { rows: '6', class: 'mono' },
        when: ({ encoding }) => encoding !== 'file',
      },
      { name: 'file', label: 'File', type: 'file', when: ({ encoding }) => encoding === 'file' },
    ],
    keep: true, label: 'Publish',
    done: (routed, { times }) => `Published ${plural(times ?? 1, 'message')}, ${
      routed === times ? 'routed' : routed === 0 ? 'but no queue got it' : `${count(routed)} routed`}`,
    submit: async (values) => {
      const message = await read(values);
      const times = values.times ?? 1;
      if (!(times >= 1 && times <= 10000)) throw new FormError('Times: 1 to 10000.');
      let routed = 0;
      for (let i = 0; i < times; i += 1) {
        const answer = await post(path`/exchanges/${vhost}/${exchangeInPath(exchange)}/publish`,
          { ...message, routing_key: fixed ? key : values.key });
        if (answer?.routed) routed += 1;
      }
      if (routed === 0) throw new FormError('Published, but the message was not routed to any queue.');
      return routed;
    },
  });
  return made;
}

async function read({ properties, headers, mode, payload, encoding, file }) {
  const all = { ...properties, delivery_mode: Number(mode) };
  if (Object.keys(headers).length) all.headers = { ...all.headers, ...headers };
  if (encoding !== 'file') return { properties: all, payload, payload_encoding: encoding };
  if (!file) throw new FormError('Choose a file.');
  return { properties: all, payload: base64(await file.arrayBuffer()), payload_encoding: 'base64' };
}

function base64(buffer) {
  const content = new Uint8Array(buffer);
  let text = '';
  for (let i = 0; i < content.length; i += 8192) {
    text += String.fromCharCode(...content.subarray(i, i + 8192));
  }
  return btoa(text);
}

/** Gets messages from a queue and shows them. */
export function getForm({ vhost, queue, again }) {
  let messages = null;
  const asked = form({
    fields: [
      {
        name: 'ackmode', label: 'What happens to them', type: 'select', value: 'ack_requeue_true',
        options: [
          ['ack_requeue_true', 'They stay in the queue (nack, requeue)'],
          ['reject_requeue_true', 'They stay in the queue (reject, requeue)'],
          ['ack_requeue_false', 'They are removed (ack)'],
          ['reject_requeue_false', 'They are removed or dead lettered (reject)'],
        ],
      },
      { name: 'count', label: 'Messages', type: 'number', value: '1', attrs: { min: 1, max: 1000 } },
      {
        name: 'encoding', label: 'Payloads', type: 'select', value: 'auto',
        options: [['auto', 'Text where it is UTF-8'], ['base64', 'Base64']],
      },
    ],
    label: 'Get', keep: true,
    submit: async (values) => {
      messages = await post(path`/queues/${vhost}/${queue}/get`, {
        count: values.count ?? 1, ackmode: values.ackmode, encoding: values.encoding,
        truncate: SHOWN_BYTES,
      });
    },
  });
  return {
    view: () => [
      asked.view(),
      asked.values().ackmode === 'ack_requeue_true' || asked.values().ackmode === 'reject_requeue_true'
        ? h('p.note', 'Messages that go back are marked as redelivered, and count towards a delivery limit.')
        : h('p.note.warn', 'The messages leave the queue.'),
      messages === null ? null : h('div.messages', { 'aria-live': 'polite' },
        messages.length === 0 ? h('p.empty', 'The queue is empty.') : [
          h('p.dim', `${plural(messages.length, 'message')}; ${
            count(messages.at(-1).message_count)} more in the queue.`),
          messages.map((message, i) => messageView(message, i, again)),
        ]),
    ],
  };
}

function messageView(message, i, again) {
  const { headers, ...properties } = Array.isArray(message.properties) ? {} : message.properties;
  const cut = message.payload_encoding === 'string' && message.payload_bytes > SHOWN_BYTES;
  return h('article.message', { key: i },
    h('header',
      h('strong', `${i + 1}`),
      h('span', h('span.dim', 'from '), name(message.exchange, '(default exchange)')),
      h('span', h('span.dim', 'key '), name(message.routing_key, '(empty)')),
      message.redelivered ? badge('redelivered', 'warn') : null,
      h('span.spring'),
      h('span.dim.num', bytes(message.payload_bytes)),
      h('button.plain', { type: 'button', onclick: () => copy(message.payload) }, icon('copy'), h('span', 'Copy')),
      h('button.plain', { type: 'button', onclick: () => save(message, i) }, icon('down'), h('span', 'Save')),
      cut ? null : h('button.plain', { type: 'button', onclick: () => again(message) },
        icon('refresh'), h('span', 'Publish again\u2026'))),
    h('div.parts',
      Object.keys(properties).length ? h('div', h('h4', 'Properties'), tableOf(properties)) : null,
      headers && Object.keys(headers).length ? h('div', h('h4', 'Headers'), tableOf(headers)) : null),
    payload(message),
    cut ? h('p.note', `The first ${bytes(SHOWN_BYTES)} are shown.`) : null);
}

function payload(message) {
  if (message.payload_bytes === 0) return h('p.dim', 'No payload.');
  if (message.payload_encoding === 'base64') {
    const content = decode(message.payload);
    return content ? h('pre.payload', { tabindex: '0' }, dump(content)) : h('pre.payload', message.payload);
  }
  return h('pre.payload', { tabindex: '0' }, pretty(message.payload));
}

/** JSON is indented; all else is shown as it is. */
function pretty(text) {
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function decode(text) {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}

/** Bytes in hexadecimal beside what of them is ASCII. */
function dump(content) {
  const lines = [];
  for (let at = 0; at < Math.min(content.length, 4096); at += 16) {
    const row = [...content.subarray(at, at + 16)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ').padEnd(47);
    const text = row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${at.toString(16).padStart(6, '0')}  ${hex}  ${text}`);
  }
  if (content.length > 4096) lines.push('\u2026');
  return lines.join('\n');
}

function save(message, i) {
  const content = message.payload_encoding === 'base64' ? decode(message.payload) : message.payload;
  if (content === null) fail(new Error('The payload is not valid base64.'));
  else download(`message-${i + 1}.${extension(message)}`, content, 'application/octet-stream');
  app.redraw();
}

function extension(message) {
  const type = message.properties?.content_type ?? '';
  if (type.includes('json')) return 'json';
  return message.payload_encoding === 'base64' ? 'bin' : 'txt';
}

/** What a publish form must hold to send a message that was got once more. */
export function asForm(message) {
  const { headers, delivery_mode: mode, ...properties } = Array.isArray(message.properties)
    ? {} : message.properties;
  return {
    values: {
      key: message.routing_key, mode: String(mode ?? 1), payload: message.payload, times: '1',
      encoding: message.payload_encoding === 'base64' ? 'base64' : 'string',
    },
    properties, headers: headers ?? {},
  };
}
