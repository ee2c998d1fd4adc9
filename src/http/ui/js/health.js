// Problems that an operator wants to see at once, found by a few small questions to the API.

import { get, query } from './api.js';
import { bytes, count, duration, rate } from './format.js';
import { queueHref, route } from './parts.js';
import { scope, session } from './state.js';

/** How often it asks, at most, in milliseconds. */
const EVERY = 4500;
/** How many queues are looked at: those with the most messages. */
const LOOKED_AT = 25;
/** For how long unacknowledged messages may rest before they are named, in milliseconds. */
const STUCK = 30000;

/** What was found: [{level: 'bad' | 'warn' | 'note', text, href}], and the longest queues. */
export const health = { problems: [], longest: [], known: false };

let asked = 0;
let took = 0;
let asking = null;
const resting = new Map();

export function forgetHealth() {
  asking?.abort();
  asking = null;
  asked = 0;
  resting.clear();
  Object.assign(health, { problems: [], longest: [], known: false });
}

const inScope = (kind) => (scope.vhost === undefined ? `/${kind}`
  : `/${kind}/${encodeURIComponent(scope.vhost)}`);
const connectionsInScope = () => (scope.vhost === undefined ? '/connections'
  : `/vhosts/${encodeURIComponent(scope.vhost)}/connections`);

const QUEUE_FIELDS = ['name', 'vhost', 'type', 'state', 'consumers', 'messages', 'messages_ready',
  'messages_unacknowledged', 'messages_ready_details.rate', 'message_stats.ack_details.rate',
  'message_stats.deliver_get_details.rate', 'message_stats.publish_details.rate'].join(',');

function largest(field) {
  return inScope('queues') + query({
    page: 1, page_size: LOOKED_AT, sort: field, sort_reverse: 'true', columns: QUEUE_FIELDS,
  });
}

/** Asks, if the last answer is old enough. A question that fails finds nothing. */
export async function checkHealth() {
  // A broker that answers slowly is asked less often.
  if (asking || Date.now() - asked < Math.max(EVERY, 5 * took)) return;
  asked = Date.now();
  const mine = asking = new AbortController();
  const { signal } = mine;
  const quiet = (promise) => promise.catch(() => undefined);
  const [nodes, ready, unacked, states, overview] = await Promise.all([
    session.can('monitoring') ? quiet(get('/nodes', { signal })) : undefined,
    quiet(get(largest('messages_ready'), { signal })),
    quiet(get(largest('messages_unacknowledged'), { signal })),
    quiet(get(connectionsInScope() + query({
      page: 1, page_size: LOOKED_AT, sort: 'state', columns: 'name,state',
    }), { signal })),
    quiet(get('/overview?columns=message_stats,churn_rates', { signal })),
  ]);
  if (signal.aborted) return;
  asking = null;
  took = Date.now() - asked;
  const problems = [
    ...(nodes ?? []).flatMap(ofNode),
    ...items(ready).flatMap(ofLength),
    ...items(unacked).flatMap(ofUnacked),
    ...ofConnections(items(states)),
    ...ofOverview(overview),
  ];
  const rank = { bad: 0, warn: 1, note: 2 };
  problems.sort((a, b) => rank[a.level] - rank[b.level]);
  Object.assign(health, { problems, longest: items(ready), known: true });
}

function items(answer) {
  return Array.isArray(answer) ? answer.slice(0, LOOKED_AT) : answer?.items ?? [];
}

function ofNode(node) {
  const found = [];
  const href = route('nodes', node.name);
  const say = (level, text) => found.push({ level, text: `${node.name}: ${text}`, href });
  if (node.running === false) say('bad', 'the node is down');
  if (node.mem_alarm) {
    say('bad', `memory alarm: ${bytes(node.mem_used)} of ${bytes(node.mem_limit)}, publishers wait`);
  } else if (node.mem_used > 0.85 * node.mem_limit) {
    say('warn', `memory is near its limit: ${bytes(node.mem_used)} of ${bytes(node.mem_limit)}`);
  }
  if (node.disk_free_alarm) {
    say('bad', `disk alarm: ${bytes(node.disk_free)} free, publishers wait`);
  } else if (node.disk_free < 2 * node.disk_free_limit) {
    say('warn', `little disk is free: ${bytes(node.disk_free)}`);
  }
  if (node.fd_total > 0 && node.fd_used > 0.85 * node.fd_total) {
    say('warn', `${count(node.fd_used)} of ${count(node.fd_total)} file descriptors are used`);
  }
  if (node.partitions?.length) say('bad', 'the cluster is partitioned');
  return found;
}

function title(queue) {
  return scope.vhost === undefined && session.vhosts.length > 1
    ? `${queue.name} in ${queue.vhost}` : queue.name;
}

function ofLength(queue) {
  const href = queueHref(queue.vhost, queue.name);
  const growth = queue.messages_ready_details?.rate ?? 0;
  const found = [];
  if (queue.state === 'down' || queue.state === 'crashed' || queue.state === 'minority') {
    found.push({ level: 'bad', text: `Queue ${title(queue)} is ${queue.state}`, href });
  }
  if (!(queue.messages_ready > 0) || queue.type === 'stream') return found;
  const length = `${count(queue.messages_ready)} ready`;
  if (queue.consumers === 0) {
    found.push(growth > 0
      ? { level: 'warn', text: `Queue ${title(queue)} grows by ${rate(growth)} and has no consumer: ${length}`, href }
      : { level: 'note', text: `Queue ${title(queue)} has no consumer: ${length}`, href });
  } else if (growth > 0 && queue.messages_ready > 1000) {
    found.push({
      level: 'warn', href,
      text: `Queue ${title(queue)} grows by ${rate(growth)}, faster than it is consumed: ${length}`,
    });
  }
  return found;
}

function ofUnacked(queue) {
  const key = JSON.stringify([queue.vhost, queue.name]);
  const stats = queue.message_stats ?? {};
  const moves = (stats.ack_details?.rate ?? 0) > 0 || (stats.deliver_get_details?.rate ?? 0) > 0;
  if (!(queue.messages_unacknowledged > 0) || moves) {
    resting.delete(key);
    return [];
  }
  if (!resting.has(key)) resting.set(key, Date.now());
  const rested = Date.now() - resting.get(key);
  if (rested < STUCK) return [];
  return [{
    level: 'warn', href: queueHref(queue.vhost, queue.name),
    text: `Queue ${title(queue)}: ${count(queue.messages_unacknowledged)} unacked, `
      + `none acknowledged for ${duration(rested)} or more`,
  }];
}

function ofConnections(connections) {
  return ['blocked', 'blocking', 'flow'].flatMap((state) => {
    const many = connections.filter((connection) => connection.state === state);
    if (!many.length) return [];
    const text = many.length >= LOOKED_AT ? `${LOOKED_AT} or more connections are in ${state}`
      : many.length === 1 ? `Connection ${many[0].name} is in ${state}`
        : `${many.length} connections are in ${state}`;
    return [{ level: state === 'flow' ? 'note' : 'warn', text, href: '#/connections?sort=state&desc=0' }];
  });
}

function ofOverview(overview) {
  const found = [];
  const dropped = overview?.message_stats?.drop_unroutable_details?.rate ?? 0;
  const returned = overview?.message_stats?.return_unroutable_details?.rate ?? 0;
  if (dropped > 0) {
    found.push({
      level: 'warn', href: '#/exchanges',
      text: `${rate(dropped)} of the messages published have no route and are dropped`,
    });
  }
  if (returned > 0) {
    found.push({
      level: 'note', href: '#/exchanges', text: `${rate(returned)} of the messages have no route and are returned`,
    });
  }
  const opened = overview?.churn_rates?.connection_created_details?.rate ?? 0;
  if (opened > 20) {
    found.push({
      level: 'warn', href: '#/connections',
      text: `${rate(opened)} connections are opened: clients should keep theirs`,
    });
  }
  return found;
}
