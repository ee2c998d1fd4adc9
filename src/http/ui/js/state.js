// What outlives a page: who is logged in, and what the user chose.

function read(storage, key, fallback) {
  try {
    const text = storage().getItem(`lepus.${key}`);
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return fallback;
  }
}

function write(storage, key, value) {
  try {
    if (value === undefined) storage().removeItem(`lepus.${key}`);
    else storage().setItem(`lepus.${key}`, JSON.stringify(value));
  } catch {
    // Storage is full or switched off: the choice lasts as long as the page.
  }
}

const local = () => localStorage;
const tab = () => sessionStorage;

/** The login of this tab. Credentials stay in the tab's storage, or in memory alone. */
export const session = {
  authorization: read(tab, 'authorization', undefined),
  /** Of `/whoami`: name and tags. */
  user: undefined,
  /** The broker's `/overview` as it was last seen: versions and exchange types. */
  broker: {},
  /** Names of the virtual hosts that the user may see. */
  vhosts: [],

  login(authorization, user, keep) {
    this.authorization = authorization;
    this.user = user;
    write(tab, 'authorization', keep ? authorization : undefined);
  },

  logout() {
    this.authorization = undefined;
    this.user = undefined;
    this.vhosts = [];
    write(tab, 'authorization', undefined);
  },

  /** If the user has a tag, or one that includes it. */
  can(tag) {
    const tags = this.user?.tags ?? [];
    const list = Array.isArray(tags) ? tags : String(tags).split(',');
    return list.includes(tag) || list.includes('administrator');
  },
};

const remembered = new Map();

/** A choice that this browser remembers. */
export function choice(key, fallback) {
  if (!remembered.has(key)) remembered.set(key, read(local, key, fallback));
  return remembered.get(key) ?? fallback;
}

/** Remembers a choice; undefined forgets it. */
export function choose(key, value) {
  remembered.set(key, value);
  write(local, key, value);
}

/** The virtual host that lists are of; undefined for all. Of this tab. */
export const scope = {
  vhost: read(tab, 'vhost', undefined),
  set(vhost) {
    this.vhost = vhost;
    write(tab, 'vhost', vhost);
  },
};

/** What the broker is and which version, of its overview. */
export function product(overview) {
  // Lepus names itself where RabbitMQ names its runtime; the rest is for RabbitMQ's tools.
  if (/^Lepus /.test(overview.erlang_full_version ?? '')) return overview.erlang_full_version;
  return `${overview.product_name ?? 'RabbitMQ'} ${overview.product_version ?? overview.rabbitmq_version ?? ''}`;
}

/** Light, dark, or undefined for the system's. */
export function theme() {
  return document.documentElement.dataset.theme;
}

/** Changes to the next theme: the system's, light, dark. */
export function nextTheme() {
  const next = { undefined: 'light', light: 'dark', dark: undefined }[theme()];
  if (next) document.documentElement.dataset.theme = next;
  else delete document.documentElement.dataset.theme;
  try {
    if (next) localStorage.setItem('lepus.theme', next);
    else localStorage.removeItem('lepus.theme');
  } catch {
    // As in `write`.
  }
}
