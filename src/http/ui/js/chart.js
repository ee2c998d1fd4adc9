// Line charts over time, drawn as SVG: the plot stretches, its labels are plain text around it.

import { app } from './app.js';
import { h } from './dom.js';
import { bytes, byteRate, clock, count, rate, short } from './format.js';
import { choice, choose, session } from './state.js';

/** Spans that a chart can show: seconds, and seconds between two samples. */
const SPANS = {
  '1m': { label: '1 min', age: 60, step: 5 },
  '10m': { label: '10 min', age: 600, step: 5 },
  '1h': { label: '1 h', age: 3600, step: 60 },
  '8h': { label: '8 h', age: 28800, step: 600 },
  '24h': { label: '24 h', age: 86400, step: 1800 },
};

/** The spans that the broker keeps samples for. */
function spans() {
  const kept = Math.max(60, ...session.broker.sample_retention_policies?.global ?? []);
  return Object.entries(SPANS).filter(([, { age }]) => age <= kept);
}

function chosen() {
  const wanted = choice('span', '1m');
  return spans().some(([key]) => key === wanted) ? wanted : '1m';
}

export function span() {
  return SPANS[chosen()];
}

/** The parameters with which the API adds samples of the chosen span. */
export function samplesQuery() {
  const { age, step } = span();
  const values = {};
  for (const kind of ['lengths', 'msg_rates', 'data_rates', 'node_stats']) {
    values[`${kind}_age`] = age;
    values[`${kind}_incr`] = step;
  }
  return values;
}

/** Which span all charts show, as a group of buttons. */
export function spanPicker() {
  const now = chosen();
  return h('div.segments', { role: 'group', 'aria-label': 'Span of the charts' },
    spans().map(([key, { label }]) => h('button', {
      type: 'button', 'aria-pressed': String(key === now),
      onclick: () => { choose('span', key); app.reload(); },
    }, label)));
}

const UNITS = {
  count: { axis: short, exact: count },
  rate: { axis: short, exact: rate },
  bytes: { axis: bytes, exact: bytes },
  byteRate: { axis: bytes, exact: byteRate },
};

/** The points of a level (a gauge): [time, value], oldest first. */
function levels(details) {
  return (details?.samples ?? [])
    .map(({ sample, timestamp }) => [timestamp, sample])
    .sort((a, b) => a[0] - b[0]);
}

/** The points of a counter as its change each second. */
function rates(details) {
  const totals = levels(details);
  return totals.slice(1).map(([time, total], i) => {
    const [before, was] = totals[i];
    return [time, Math.max(0, (total - was) / ((time - before) / 1000))];
  });
}

/** How many polls a chart remembers where the API keeps no samples. */
const REMEMBERED = 720;

/**
 * A chart with its legend. `spec`: title, unit (a key of UNITS), kind ('level' or 'rate'),
 * series ([{key, label, colour, main}]), limit (a horizontal line).
 */
export function chart(spec) {
  const unit = UNITS[spec.unit];
  const seen = new Map();
  let hover = null;
  let shown = [];

  function remember(key, value) {
    if (typeof value !== 'number') return [];
    const points = seen.get(key) ?? [];
    const now = Date.now();
    if (points.length === 0 || now - points.at(-1)[0] > 900) points.push([now, value]);
    if (points.length > REMEMBERED) points.shift();
    seen.set(key, points);
    const since = now - span().age * 1000;
    return points.filter(([time]) => time >= since);
  }

  function points(data, key) {
    const details = data?.[`${key}_details`];
    if (details?.samples?.length > 1) {
      return spec.kind === 'rate' ? rates(details) : levels(details);
    }
    return remember(key, spec.kind === 'rate' ? details?.rate : data?.[key]);
  }

  /** What is true now, for the legend. */
  function now(data, key) {
    return spec.kind === 'rate' ? data?.[`${key}_details`]?.rate : data?.[key];
  }

  function collect(data) {
    return spec.series.map((series) => ({
      ...series,
      points: points(data, series.key),
      now: now(data, series.key),
    })).filter((series) => series.main || series.now > 0
      || series.points.some(([, value]) => value > 0));
  }

  function view(data) {
    shown = collect(data ?? {});
    const hidden = new Set(choice('hidden', []));
    const drawn = shown.filter(({ key }) => !hidden.has(key));
    const frame = scale(drawn, spec);
    const at = hover === null ? null : nearest(drawn, frame, hover);
    return h('figure.chart', { 'aria-label': spec.title },
      h('figcaption', h('h3', spec.title),
        at === null ? null : h('span.dim.num', clock(at))),
      h('div.plot', { role: 'img', 'aria-label': describe(spec, shown, unit) },
        frame.ticks.map((tick) => h('span.ytick',
          { css: { bottom: `${(tick / frame.top) * 100}%` } }, unit.axis(tick))),
        h('svg', {
          viewBox: '0 0 1000 100', preserveAspectRatio: 'none', 'aria-hidden': 'true',
          onpointermove: (event) => {
            const box = event.currentTarget.getBoundingClientRect();
            hover = (event.clientX - box.left) / box.width;
            app.redraw();
          },
          onpointerleave: () => { hover = null; app.redraw(); },
        },
        frame.ticks.map((tick) => h('path.grid', { d: `M0 ${y(tick, frame)}H1000` })),
        spec.limit > 0 && spec.limit <= frame.top
          ? h('path.limit', { d: `M0 ${y(spec.limit, frame)}H1000` }) : null,
        drawn.map((series) => (series.area
          ? h(`path.area.${series.colour}`, { key: `${series.key} area`, d: area(series, frame) })
          : null)),
        drawn.map((series) => h(`path.line.${series.colour}`,
          { key: series.key, d: line(series.points, frame) })),
        at === null ? null : h('path.cursor', { d: `M${x(at, frame)} 0V100` })),
        frame.times.map((time, i) => h('span.xtick', {
          class: ['first', 'odd', '', 'odd', 'last'][i],
          css: { left: `${x(time, frame) / 10}%` },
        }, clock(time, span().age <= 600)))),
      legend(hidden, at));
  }

  function legend(hidden, at) {
    return h('ul.legend', shown.map((series) => h('li', { key: series.key },
      h('button', {
        type: 'button', 'aria-pressed': String(!hidden.has(series.key)),
        title: hidden.has(series.key) ? 'Show' : 'Hide',
        onclick: () => {
          if (!hidden.delete(series.key)) hidden.add(series.key);
          choose('hidden', [...hidden]);
          app.redraw();
        },
      },
      h(`span.swatch.${series.colour}`), h('span.key', series.label),
      h('span.num', unit.exact(at === null ? series.now ?? 0 : valueAt(series.points, at)))))));
  }

  return { view };
}

function describe(spec, shown, unit) {
  const now = shown.map(({ label, now: value }) => `${label} ${unit.exact(value ?? 0)}`);
  return `${spec.title}: ${now.join(', ')}`;
}

/** The range of both axes, with round numbers at the ticks. */
function scale(drawn, spec) {
  let last = 0;
  let top = 0;
  for (const { points } of drawn) {
    for (const [time, value] of points) {
      last = Math.max(last, time);
      top = Math.max(top, value);
    }
  }
  last ||= Date.now();
  if (spec.limit > 0 && top > spec.limit * 0.5) top = Math.max(top, spec.limit);
  const step = round(top, spec.unit);
  top = Math.max(step, Math.ceil((top * 1.02) / step) * step);
  const ticks = [];
  for (let tick = 0; tick <= top * 1.001; tick += step) ticks.push(tick);
  const { age } = span();
  const first = last - age * 1000;
  const times = [0, 0.25, 0.5, 0.75, 1].map((part) => first + part * age * 1000);
  return { first, last, top, ticks, times };
}

function round(top, unit) {
  const base = unit === 'bytes' || unit === 'byteRate' ? 1024 : 1000;
  if (top <= 0) return 1;
  const raw = top / 3;
  let size = 1;
  while (raw / size >= base) size *= base;
  const scaled = raw / size;
  const power = 10 ** Math.floor(Math.log10(scaled));
  const digit = [1, 2, 2.5, 5, 10].find((n) => n * power >= scaled * 0.999) * power;
  return unit === 'count' ? Math.max(1, Math.ceil(digit * size)) : digit * size;
}

function x(time, frame) {
  return ((time - frame.first) / (frame.last - frame.first)) * 1000;
}

function y(value, frame) {
  return 100 - (value / frame.top) * 100;
}

function line(points, frame) {
  return points.filter(([time]) => time >= frame.first)
    .map(([time, value], i) => `${i ? 'L' : 'M'}${x(time, frame).toFixed(1)} `
      + y(value, frame).toFixed(2)).join('');
}

function area(series, frame) {
  const points = series.points.filter(([time]) => time >= frame.first);
  if (points.length < 2) return '';
  return `${line(points, frame)}V100H${x(points[0][0], frame).toFixed(1)}Z`;
}

/** The time of the sample nearest to where the pointer is (0 to 1). */
function nearest(drawn, frame, part) {
  const time = frame.first + part * (frame.last - frame.first);
  let best = null;
  for (const { points } of drawn) {
    for (const [at] of points) {
      if (best === null || Math.abs(at - time) < Math.abs(best - time)) best = at;
    }
  }
  return best;
}

function valueAt(points, time) {
  let best = [Infinity, 0];
  for (const [at, value] of points) {
    if (Math.abs(at - time) < Math.abs(best[0] - time)) best = [at, value];
  }
  return best[1];
}

/** The queued messages of a queue, a virtual host, or everything. */
export function lengthsChart(title = 'Queued messages') {
  return chart({
    title, unit: 'count', kind: 'level',
    series: [
      { key: 'messages', label: 'Total', colour: 'c-total', main: true, area: true },
      { key: 'messages_ready', label: 'Ready', colour: 'c-ready', main: true },
      { key: 'messages_unacknowledged', label: 'Unacked', colour: 'c-unacked', main: true },
    ],
  });
}

const MESSAGE_SERIES = [
  { key: 'publish', label: 'Publish', colour: 'c-publish', main: true },
  { key: 'publish_in', label: 'Publish in', colour: 'c-publish' },
  { key: 'publish_out', label: 'Publish out', colour: 'c-deliver' },
  { key: 'confirm', label: 'Confirm', colour: 'c-confirm', main: true },
  { key: 'deliver', label: 'Deliver', colour: 'c-deliver', main: true },
  { key: 'deliver_no_ack', label: 'Deliver, auto ack', colour: 'c-auto' },
  { key: 'ack', label: 'Ack', colour: 'c-ack', main: true },
  { key: 'redeliver', label: 'Redeliver', colour: 'c-redeliver' },
  { key: 'get', label: 'Get', colour: 'c-get' },
  { key: 'get_no_ack', label: 'Get, auto ack', colour: 'c-get-auto' },
  { key: 'get_empty', label: 'Get, empty', colour: 'c-empty' },
  { key: 'return_unroutable', label: 'Returned, no route', colour: 'c-return' },
  { key: 'drop_unroutable', label: 'Dropped, no route', colour: 'c-drop' },
];

/** Message rates; `main` lists the series that are shown even while they rest. */
export function ratesChart(main = ['publish', 'confirm', 'deliver', 'ack'], title = 'Message rates') {
  return chart({
    title, unit: 'rate', kind: 'rate',
    series: MESSAGE_SERIES.map((series) => ({ ...series, main: main.includes(series.key) })),
  });
}
