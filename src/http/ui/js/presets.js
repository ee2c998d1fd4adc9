// The common arguments of queues, exchanges and policies, and how long lists name them.

import { badge } from './parts.js';
import { inline } from './format.js';

const OVERFLOW = ['drop-head', 'reject-publish', 'reject-publish-dlx'];
const STRATEGY = ['at-most-once', 'at-least-once'];

// key, label, type, what it does
const QUEUE = [
  ['message-ttl', 'Message TTL', 'number', 'milliseconds until a message expires', { hint: 'ms' }],
  ['expires', 'Queue expires', 'number', 'milliseconds without use until the queue is deleted', { hint: 'ms' }],
  ['max-length', 'Max length', 'number', 'ready messages at most', { hint: 'messages' }],
  ['max-length-bytes', 'Max bytes', 'number', 'bytes of ready messages at most', { hint: 'bytes' }],
  ['overflow', 'Overflow', 'string', 'what happens when the limit is reached', { list: OVERFLOW, value: 'reject-publish' }],
  ['dead-letter-exchange', 'Dead letter exchange', 'string', 'where dropped, expired and rejected messages go', { hint: 'exchange' }],
  ['dead-letter-routing-key', 'Dead letter key', 'string', 'their routing key, instead of the one they had', { hint: 'routing key' }],
  ['dead-letter-strategy', 'Dead letter strategy', 'string', 'of quorum queues', { list: STRATEGY }],
  ['delivery-limit', 'Delivery limit', 'number', 'returns to the queue until a message is dropped or dead lettered', { hint: 'times' }],
  ['consumer-timeout', 'Consumer timeout', 'number', 'milliseconds a consumer may take to acknowledge', { hint: 'ms' }],
  ['queue-leader-locator', 'Leader locator', 'string', 'where the leader of a new queue is', { list: ['client-local', 'balanced'] }],
];

const QUEUE_ONLY = [
  ['max-priority', 'Priorities', 'number', 'the highest priority, 1 to 255; 10 or fewer is wise', { value: '5' }],
  ['single-active-consumer', 'Single active consumer', 'boolean', 'one consumer at a time gets the messages', { value: 'true' }],
  ['retry-delay', 'Retry delay', 'number', 'milliseconds until a returned message is delivered again (Lepus)', { hint: 'ms' }],
  ['retry-delay-max', 'Retry delay, max', 'number', 'the delay doubles with each return up to this (Lepus)', { hint: 'ms' }],
];

const preset = ([key, label, type, about, more], prefix = '') => ({
  key: prefix + key, label, type, about: `${prefix}${key}: ${about}`, ...more,
});

export const queuePresets = [...QUEUE, ...QUEUE_ONLY].map((row) => preset(row, 'x-'));

const ALTERNATE = ['alternate-exchange', 'Alternate exchange', 'string',
  'where messages go that have no route', { hint: 'exchange' }];

export const exchangePresets = [
  preset(ALTERNATE),
  ...[
    ['x-delayed-type', 'Delayed type', 'string', 'how an x-delayed-message exchange routes', { list: ['direct', 'fanout', 'topic', 'headers'], value: 'direct' }],
    ['hash-header', 'Hash header', 'string', 'the header that an x-consistent-hash exchange hashes', { hint: 'header' }],
    ['x-recent-history-length', 'History length', 'number', 'messages that x-recent-history keeps', { value: '20' }],
    ['x-cache-size', 'Cache size', 'number', 'values that x-message-deduplication remembers', { hint: 'values' }],
    ['x-cache-ttl', 'Cache TTL', 'number', 'milliseconds for which it does', { hint: 'ms' }],
  ].map((row) => preset(row)),
];

export const policyPresets = {
  queues: QUEUE.map((row) => preset(row)),
  exchanges: [preset(ALTERNATE)],
  operator: QUEUE.filter(([key]) => ['message-ttl', 'expires', 'max-length', 'max-length-bytes',
    'delivery-limit', 'overflow'].includes(key)).map((row) => preset(row)),
};

export const bindingPresets = [
  { key: 'x-match', type: 'string', value: 'all', list: ['all', 'any', 'all-with-x', 'any-with-x'], about: 'of headers exchanges' },
];

const SHORT = {
  'message-ttl': 'TTL', expires: 'Exp', 'max-length': 'Lim', 'max-length-bytes': 'LimB',
  overflow: 'Ovfl', 'dead-letter-exchange': 'DLX', 'dead-letter-routing-key': 'DLK',
  'delivery-limit': 'DLim', 'max-priority': 'Pri', 'single-active-consumer': 'SAC',
  'retry-delay': 'Retry', 'alternate-exchange': 'AE', 'delayed-type': 'Delay',
};

/** Durable, auto-delete, exclusive, and the arguments in a few letters each. */
export function features(object) {
  const found = [];
  if (object.durable) found.push(badge('D', '', 'durable'));
  if (object.auto_delete) found.push(badge('AD', '', 'auto-delete'));
  if (object.exclusive) found.push(badge('Excl', '', 'exclusive'));
  if (object.internal) found.push(badge('I', '', 'internal'));
  const own = Object.entries(object.arguments ?? {});
  const policy = Object.entries(object.effective_policy_definition ?? {});
  const rest = [];
  for (const [key, value, from] of [...own, ...policy.map((entry) => [...entry, ' (policy)'])]) {
    const bare = key.replace(/^x-/, '');
    if (bare === 'queue-type') continue;
    const said = `${key}: ${inline(value)}${from ?? ''}`;
    if (SHORT[bare]) found.push(badge(SHORT[bare], from ? 'quiet' : '', said));
    else rest.push(said);
  }
  if (rest.length) found.push(badge('Args', '', rest.join('\n')));
  return found.map((one) => [one, ' ']);
}
