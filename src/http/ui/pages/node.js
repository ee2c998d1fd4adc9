// A node: what it uses, and what it runs.

import { get, path, query } from '../js/api.js';
import { chart, samplesQuery, spanPicker } from '../js/chart.js';
import { h } from '../js/dom.js';
import { bytes, count, duration, name } from '../js/format.js';
import { badge, card, facts, heading } from '../js/parts.js';
import { nodeMeters } from './overview.js';

export function node(nodeName) {
  let data;
  let memory = {};
  const one = (title, unit, key, label, colour, limit) => chart({
    title, unit, kind: 'level', limit, series: [{ key, label, colour, main: true, area: true }],
  });
  const charts = [
    one('Memory', 'bytes', 'mem_used', 'Used', 'c-publish'),
    one('Disk', 'bytes', 'disk_free', 'Free', 'c-deliver'),
    one('File descriptors', 'count', 'fd_used', 'Used', 'c-confirm'),
    one('Sockets', 'count', 'sockets_used', 'Used', 'c-ack'),
  ];

  async function load(signal) {
    const target = path`/nodes/${nodeName}`;
    [data, memory] = await Promise.all([
      get(target + query(samplesQuery()), { signal }),
      get(`${target}/memory`, { signal }).catch(() => ({})),
    ]);
  }

  function view() {
    if (!data) return h('p.empty', 'Loading\u2026');
    return [
      heading({
        title: nodeName, copied: nodeName, object: data, actions: spanPicker(),
        crumbs: [['Overview', '#/']],
        badges: [data.running === false ? badge('down', 'bad') : badge('running', 'good'),
          data.mem_alarm ? badge('memory alarm', 'bad') : null,
          data.disk_free_alarm ? badge('disk alarm', 'bad') : null],
      }),
      card(undefined, h('div.meters', nodeMeters(data))),
      h('div.grid.two', charts.map((shown) => card(undefined, shown.view(data)))),
      h('div.grid.two', card('Node', facts([
        ['Uptime', duration(data.uptime)], ['Type', data.type], ['Process', data.os_pid],
        ['Cores', count(data.processors)], ['Run queue', count(data.run_queue)],
        ['Rates', data.rates_mode], ['Data', name(data.db_dir)],
        ['Configuration', list(data.config_files)], ['Logs', list(data.log_files)],
      ])), memoryCard()),
      h('div.grid.two',
        card('Plugins', h('p', (data.enabled_plugins ?? []).map((plugin) => [badge(plugin), ' ']))),
        card('Applications', facts((data.applications ?? [])
          .map((app) => [app.name, app.version, app.description])))),
    ];
  }

  function memoryCard() {
    const parts = Object.entries(memory.memory ?? {})
      .filter(([key, value]) => typeof value === 'number' && value > 0 && key !== 'total')
      .sort((a, b) => b[1] - a[1]);
    if (!parts.length) return null;
    return card('Memory', facts(parts.map(([key, value]) => [key.replaceAll('_', ' '), bytes(value)])));
  }

  return { title: nodeName, load, view };
}

function list(files) {
  return (files ?? []).map((file) => h('div', name(file)));
}
