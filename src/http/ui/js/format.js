// Numbers, sizes, times and hostile names, as people read them.

import { h } from './dom.js';

const WHOLE = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** A count with separators; nothing for what the API left out. */
export function count(n) {
  return typeof n === 'number' ? WHOLE.format(n) : '';
}

/** A number in at most four characters and a letter: 12.3k. */
export function short(n) {
  if (typeof n !== 'number') return '';
  const abs = Math.abs(n);
  for (const [size, letter] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']]) {
    if (abs >= size) return trim(n / size) + letter;
  }
  return trim(n);
}

function trim(n) {
  const digits = Math.abs(n) >= 100 || Number.isInteger(n) ? 0 : Math.abs(n) >= 10 ? 1 : 2;
  return n.toFixed(digits).replace(/\.0+$/, '').replace(/(\.\d)0$/, '$1');
}

/** Something each second. */
export function rate(n) {
  return typeof n === 'number' ? `${short(n)}/s` : '';
}

/** Bytes in powers of 1024. */
export function bytes(n) {
  if (typeof n !== 'number') return '';
  const abs = Math.abs(n);
  for (const [size, unit] of [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [1024, 'KiB']]) {
    if (abs >= size) return `${trim(n / size)} ${unit}`;
  }
  return `${trim(n)} B`;
}

/** Bytes each second. */
export function byteRate(n) {
  return typeof n === 'number' ? `${bytes(n)}/s` : '';
}

/** A length of time given in milliseconds, in its two largest units. */
export function duration(ms) {
  if (typeof ms !== 'number' || !Number.isFinite(ms)) return '';
  let rest = Math.max(0, Math.round(ms / 1000));
  const parts = [];
  for (const [size, unit] of [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']]) {
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n > 0 || (unit === 's' && parts.length === 0)) parts.push(`${n} ${unit}`);
  }
  return parts.slice(0, 2).join(' ');
}

/** The time of day of milliseconds since 1970. */
export function clock(ms, seconds = true) {
  const options = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
  if (seconds) options.second = '2-digit';
  return new Date(ms).toLocaleTimeString('en-GB', options);
}

/** A local date and time; its title has the exact one. */
export function when(time) {
  const date = new Date(time);
  if (time === undefined || time === null || Number.isNaN(date.getTime())) return '';
  const pad = (n) => String(n).padStart(2, '0');
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return h('time', { title: date.toISOString(), datetime: date.toISOString() },
    `${day} ${clock(date.getTime())}`);
}

/** How long ago, with the exact time as its title. */
export function ago(time) {
  const date = new Date(time);
  if (time === undefined || time === null || Number.isNaN(date.getTime())) return '';
  return h('time', { title: date.toISOString() }, duration(Date.now() - date.getTime()));
}

// Characters that draw nothing or change the direction of their neighbours: a name with them
// could pass for another one.
const INVISIBLE = new RegExp('([\\u0000-\\u001f\\u007f-\\u00a0\\u00ad\\u061c\\u115f\\u1160\\u180e'
  + '\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000\\u3164\\ufeff\\uffa0\\ufff9-\\ufffc'
  + '\\ud800-\\udfff]|^ | $)', 'u');

/** A name as text, with what can't be seen made visible, and its own direction. */
export function name(text, empty = '') {
  const value = String(text ?? '');
  if (value === '') return empty === '' ? '' : h('span.dim', empty);
  const parts = value.split(INVISIBLE).map((part, i) => (i % 2 === 0
    ? part
    : h('span.unseen', { title: 'a character that can\u2019t be seen' }, escape(part))));
  return h('bdi', parts);
}

function escape(character) {
  return character === ' '
    ? '\u2423'
    : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** Any JSON value, indented, as text. */
export function json(value) {
  return JSON.stringify(value, null, 2);
}

/** A JSON value on one line: strings without quotes. */
export function inline(value) {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** `1 queue`, `2 queues`. */
export function plural(n, one, many = `${one}s`) {
  return `${count(n)} ${n === 1 ? one : many}`;
}
