// A small virtual DOM: pages describe what they show, `render` changes what differs.
//
// Names and bodies reach the document only as text nodes and attribute values that are set
// through the DOM; nothing here parses markup. Form fields keep what the user typed, because a
// value is set only when the description of it changes.

const SVG = 'http://www.w3.org/2000/svg';
const PROPERTIES = new Set([
  'value', 'checked', 'selected', 'disabled', 'indeterminate', 'readOnly', 'hidden', 'open',
]);
const REFUSED = new Set(['srcdoc', 'style', 'src', 'action', 'formaction']);

class Node_ {
  constructor(tag, className, id, props, children) {
    this.tag = tag;
    this.className = className;
    this.id = id;
    this.props = props;
    this.children = children;
    this.key = props.key;
    this.el = null;
  }
}

function isProps(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
    && !(value instanceof Node_);
}

/** Describes an element: `h('a.name#id', {href: '#/'}, child, [children], 'text')`. */
export function h(selector, ...rest) {
  const props = isProps(rest[0]) ? rest.shift() : {};
  const parts = selector.split(/(?=[.#])/);
  const classes = [];
  let id;
  for (const part of parts.slice(1)) {
    if (part[0] === '.') classes.push(part.slice(1));
    else id = part.slice(1);
  }
  if (props.class) classes.push(props.class);
  return new Node_(parts[0], classes.join(' '), id, props, flatten(rest, []));
}

function flatten(children, into) {
  for (const child of children) {
    if (Array.isArray(child)) flatten(child, into);
    else if (child === null || child === undefined || child === false || child === true) continue;
    else if (child instanceof Node_) into.push(child);
    else into.push(new Node_('#text', '', undefined, { text: String(child) }, []));
  }
  return into;
}

/** Shows `children` inside `parent`, reusing the elements of the last time. */
export function render(parent, ...children) {
  const next = flatten(children, []);
  patchChildren(parent, parent.shown ?? [], next, parent.namespaceURI === SVG);
  parent.shown = next;
  // Only now are they in the document, where they can be given the focus.
  for (const node of born.splice(0)) node.props.ref(node.el);
}

/** New elements that want to be told. */
const born = [];

function create(node, svg) {
  if (node.tag === '#text') {
    node.el = document.createTextNode(node.props.text);
    return;
  }
  const inside = svg || node.tag === 'svg';
  node.el = inside ? document.createElementNS(SVG, node.tag) : document.createElement(node.tag);
  if (node.className) node.el.setAttribute('class', node.className);
  if (node.id) node.el.id = node.id;
  patchChildren(node.el, [], node.children, inside);
  for (const [name, value] of Object.entries(node.props)) setProp(node.el, name, value, undefined);
}

function patch(old, node, svg) {
  const el = node.el = old.el;
  if (node.tag === '#text') {
    if (old.props.text !== node.props.text) el.data = node.props.text;
    return;
  }
  if (old.className !== node.className) el.setAttribute('class', node.className);
  patchChildren(el, old.children, node.children, svg || node.tag === 'svg');
  for (const name of Object.keys(old.props)) {
    if (!(name in node.props)) setProp(el, name, undefined, old.props[name]);
  }
  for (const [name, value] of Object.entries(node.props)) {
    if (value !== old.props[name]) setProp(el, name, value, old.props[name]);
  }
}

function patchChildren(parent, old, next, svg) {
  const byKey = new Map();
  for (const node of old) if (node.key !== undefined) byKey.set(node.key, node);
  const spare = old.filter((node) => node.key === undefined);
  const reused = new Set();
  const matches = next.map((node) => {
    let match;
    if (node.key !== undefined) {
      match = byKey.get(node.key);
      byKey.delete(node.key);
    } else {
      const at = spare.findIndex((other) => other.tag === node.tag && other.id === node.id);
      // Only a near neighbour is the same thing drawn again.
      if (at >= 0 && at < 8) match = spare.splice(at, 1)[0];
    }
    if (match && match.tag !== node.tag) match = undefined;
    if (match) reused.add(match);
    return match;
  });
  for (const node of old) if (!reused.has(node)) remove(node);
  let place = parent.firstChild;
  next.forEach((node, i) => {
    const match = matches[i];
    if (match) patch(match, node, svg);
    else create(node, svg);
    if (node.el === place) place = place.nextSibling;
    else parent.insertBefore(node.el, place);
    if (!match && node.props.ref) born.push(node);
  });
}

function remove(node) {
  unmount(node);
  node.el.remove();
}

function unmount(node) {
  node.props.gone?.(node.el);
  node.children.forEach(unmount);
}

function setProp(el, name, value, old) {
  if (name === 'key' || name === 'ref' || name === 'gone' || name === 'class') return;
  if (name.startsWith('on')) {
    listen(el, name.slice(2), value);
  } else if (name === 'css') {
    // Through the object model: the content policy refuses style attributes.
    for (const key of Object.keys(old ?? {})) if (!(key in (value ?? {}))) el.style.removeProperty(key);
    for (const [key, text] of Object.entries(value ?? {})) el.style.setProperty(key, text);
  } else if (PROPERTIES.has(name)) {
    el[name] = value ?? (name === 'value' ? '' : false);
  } else if (REFUSED.has(name)) {
    throw new Error(`attribute ${name} is not for pages`);
  } else if (name === 'href' && !/^(#|blob:)/.test(value)) {
    throw new Error('links stay on this page');
  } else if (value === undefined || value === null || value === false) {
    el.removeAttribute(name);
  } else {
    el.setAttribute(name, value === true ? '' : String(value));
  }
}

function listen(el, type, handler) {
  el.handlers ??= {};
  if (!(type in el.handlers)) {
    el.addEventListener(type, (event) => el.handlers[type]?.call(el, event));
  }
  el.handlers[type] = handler;
}

/** An icon of the sprite below, hidden from screen readers: a label stands beside it. */
export function icon(name) {
  return h('svg.icon', { viewBox: '0 0 16 16', 'aria-hidden': 'true' },
    h('path', { d: ICONS[name] }));
}

const ICONS = {
  overview: 'M2 13.5h12M3.5 11V7.5M6.5 11V3.5M9.5 11V6M12.5 11V2.5',
  connections: 'M5.5 2v3M10.5 2v3M3.5 5h9v2.5a4.5 4.5 0 0 1-9 0zM8 12v2.5',
  channels: 'M2 4.5h9.5M9 2l2.5 2.5L9 7M14 11.5H4.5M7 9l-2.5 2.5L7 14',
  exchanges: 'M2 8h4M10 3.5h4M10 12.5h4M6 8c3 0 1.5-4.5 4-4.5M6 8c3 0 1.5 4.5 4 4.5',
  queues: 'M2 4h12v3H2zM2 9.5h12v3H2zM4.5 4v3M4.5 9.5v3',
  consumers: 'M2 8h7M6.5 5.5 9 8l-2.5 2.5M9 2.5h4.5v11H9',
  users: 'M8 8a2.75 2.75 0 1 0 0-5.5A2.75 2.75 0 0 0 8 8zM2.5 14c.5-3 2.5-4 5.5-4s5 1 5.5 4',
  vhosts: 'M2 3h12v4H2zM2 9h12v4H2zM4.5 5h.01M4.5 11h.01',
  policies: 'M4 1.5h5.5L13 5v9.5H4zM9 1.5V5.5h4M6.5 8.5h4M6.5 11h4',
  limits: 'M2.5 12a5.5 5.5 0 1 1 11 0M8 12l3-4.5',
  cluster: 'M8 2v4M8 6 3.5 10M8 6l4.5 4M2 10h3v3.5H2zM11 10h3v3.5h-3z',
  search: 'M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM11 11l3.5 3.5',
  sun: 'M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15'
    + 'M3 3l1 1M12 12l1 1M13 3l-1 1M4 12l-1 1',
  moon: 'M13.5 9.5A6 6 0 0 1 6.5 2.5a6 6 0 1 0 7 7z',
  auto: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 2v12M8 5h3.5M8 8h5M8 11h3.5',
  copy: 'M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3',
  check: 'M3 8.5 6.5 12 13 4.5',
  close: 'M4 4l8 8M12 4l-8 8',
  menu: 'M2 4h12M2 8h12M2 12h12',
  warn: 'M8 2 1.5 13.5h13zM8 6.5v3.5M8 11.8v.1',
  info: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 7.5V11M8 5v.1',
  plus: 'M8 3v10M3 8h10',
  trash: 'M3 4.5h10M6.5 4.5V2.5h3v2M4.5 4.5l.5 9h6l.5-9',
  logout: 'M6.5 2.5H3v11h3.5M6.5 8H14M11 5l3 3-3 3',
  columns: 'M2 3h12v10H2zM6 3v10M10 3v10',
  refresh: 'M13.5 8a5.5 5.5 0 1 1-1.7-4M13.5 1.5V4.5h-3',
  braces: 'M6 2.5c-2.5 0-1 4.5-3 5.5 2 1 .5 5.5 3 5.5M10 2.5c2.5 0 1 4.5 3 5.5-2 1-.5 5.5-3 5.5',
  down: 'M8 2v9M4 7.5 8 11.5l4-4M2.5 14h11',
  up: 'M8 12V3M4 6.5 8 2.5l4 4M2.5 14h11',
  chevron: 'M4 6l4 4 4-4',
  help: 'M5.5 6a2.5 2.5 0 1 1 3.5 2.3c-.8.4-1 .9-1 1.7M8 12.5v.1',
};
