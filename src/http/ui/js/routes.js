// Which page a route shows, and the places of the navigation.

import { session } from './state.js';
import { overview } from '../pages/overview.js';
import { node } from '../pages/node.js';
import { connections, connection } from '../pages/connections.js';
import { channels, channel } from '../pages/channels.js';
import { consumers } from '../pages/consumers.js';
import { exchanges, exchange } from '../pages/exchanges.js';
import { queues } from '../pages/queues.js';
import { queue } from '../pages/queue.js';
import { users, user } from '../pages/users.js';
import { vhosts, vhost } from '../pages/vhosts.js';
import { policies, policy } from '../pages/policies.js';
import { limits } from '../pages/limits.js';
import { cluster } from '../pages/cluster.js';
import { h } from './dom.js';

const PAGES = {
  '': overview,
  'nodes/1': node,
  connections, 'connections/1': connection,
  channels, 'channels/1': channel,
  consumers,
  exchanges, 'exchanges/2': exchange,
  queues, 'queues/2': queue,
  users, 'users/1': user,
  vhosts, 'vhosts/1': vhost,
  policies, 'policies/2': (...names) => policy('policies', ...names),
  'operator-policies/2': (...names) => policy('operator-policies', ...names),
  limits,
  cluster,
};

/** The page of a route's path; its names are the page's parameters. */
export function pageOf(path) {
  const [kind = '', ...names] = path;
  const make = PAGES[names.length ? `${kind}/${names.length}` : kind];
  if (!make) return nowhere();
  return make(...names);
}

function nowhere() {
  return {
    title: 'Not there',
    view: () => h('div.missing', h('h1', { tabindex: '-1' }, 'Not there'),
      h('p', 'There is no such page. ', h('a', { href: '#/' }, 'To the overview'))),
  };
}

/** The navigation, as far as the user's tags allow. */
export function places() {
  const groups = [
    {
      title: 'Broker',
      places: [
        { path: '', label: 'Overview', icon: 'overview', key: 'o', also: ['', 'nodes'] },
        { path: 'connections', label: 'Connections', icon: 'connections', key: 'c' },
        { path: 'channels', label: 'Channels', icon: 'channels', key: 'h' },
        { path: 'exchanges', label: 'Exchanges', icon: 'exchanges', key: 'e' },
        { path: 'queues', label: 'Queues', icon: 'queues', key: 'q' },
        { path: 'consumers', label: 'Consumers', icon: 'consumers', key: 's' },
      ],
    },
    {
      title: 'Administration',
      places: [
        { path: 'users', label: 'Users', icon: 'users', key: 'u', tag: 'administrator' },
        { path: 'vhosts', label: 'Virtual hosts', icon: 'vhosts', key: 'v' },
        {
          path: 'policies', label: 'Policies', icon: 'policies', key: 'p', tag: 'policymaker',
          also: ['policies', 'operator-policies'],
        },
        { path: 'limits', label: 'Limits', icon: 'limits', key: 'l', tag: 'administrator' },
        { path: 'cluster', label: 'Definitions', icon: 'cluster', key: 'd', tag: 'administrator' },
      ],
    },
  ];
  for (const group of groups) {
    group.places = group.places.filter(({ tag }) => !tag || session.can(tag));
  }
  return groups;
}
