// The management HTTP API: one request, its path, its errors.

import { session } from './state.js';

/** What the API answered instead of 2xx, or that it did not answer (status 0). */
export class ApiError extends Error {
  constructor(status, reason, path) {
    super(reason);
    this.status = status;
    this.reason = reason;
    this.path = path;
  }
}

/** Builds a path with its names encoded: path`/queues/${vhost}/${name}`. */
export function path(strings, ...names) {
  return strings.reduce((built, text, i) => {
    const value = String(names[i - 1]);
    // Browsers resolve such segments before they send, which would hit another object.
    if (value === '.' || value === '..') {
      throw new ApiError(400, `The name \u201c${value}\u201d can\u2019t be part of a URL. `
        + 'Use lepus ctl for it.', built);
    }
    return built + encodeURIComponent(value) + text;
  });
}

/** `?a=1&b=x`, without what is undefined, null, false or empty. */
export function query(values) {
  const pairs = Object.entries(values)
    .filter(([, value]) => value !== undefined && value !== null && value !== '' && value !== false)
    .map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  return pairs.length ? `?${pairs.join('&')}` : '';
}

/** An exchange's name in a path: the default one has none of its own. */
export function exchangeInPath(name) {
  return name === '' ? 'amq.default' : name;
}

/** UTF-8 and base64, as Basic credentials are sent. */
export function basic(user, password) {
  const text = new TextEncoder().encode(`${user}:${password}`);
  return `Basic ${btoa(String.fromCharCode(...text))}`;
}

let onUnauthorized = () => {};

/** Registers what to do when the credentials stop being good. */
export function whenUnauthorized(callback) {
  onUnauthorized = callback;
}

/** Sends a request; gives the JSON of the answer, or undefined when it has no body. */
async function request(method, target, options = {}) {
  const headers = { ...options.headers };
  const credentials = options.authorization ?? session.authorization;
  if (credentials) headers.authorization = credentials;
  let body;
  if (options.body !== undefined) {
    headers['content-type'] = 'application/json';
    body = typeof options.body === 'string' ? options.body : JSON.stringify(options.body);
  }
  let response;
  let text;
  try {
    // `omit` keeps the browser's own credentials, and its password window, out of it.
    response = await fetch(`api${target}`,
      { method, headers, body, signal: options.signal, credentials: 'omit', cache: 'no-store' });
    text = await response.text();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, 'The broker does not answer.', target);
  }
  let value;
  try {
    value = text === '' ? undefined : JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (response.ok) return value;
  // A proxy in between that finds no broker behind it.
  const gone = value === undefined && [502, 503, 504].includes(response.status);
  const error = new ApiError(gone ? 0 : response.status, reason(response, value), target);
  if (response.status === 401 && !options.authorization && isLogin(value)) onUnauthorized(error);
  throw error;
}

// A refused operation is a 401 as well; only a refused login ends the session.
function isLogin(value) {
  return value?.error === 'not_authorized' || value === undefined
    || value?.reason === 'Not management user';
}

function reason(response, value) {
  const said = value?.reason ?? value?.error;
  if (typeof said === 'string' && said !== '') return said;
  if (said !== undefined) return JSON.stringify(said);
  return `HTTP ${response.status} ${response.statusText}`.trim();
}

export const get = (target, options) => request('GET', target, options);
export const put = (target, body, options) => request('PUT', target, { ...options, body });
export const post = (target, body, options) => request('POST', target, { ...options, body });
export const del = (target, options) => request('DELETE', target, options);
