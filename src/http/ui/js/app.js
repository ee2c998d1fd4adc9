// What pages may ask of the shell. `main` fills in the functions.

export const app = {
  /** The route shown: {path: [segments], query: {}}. */
  route: { path: [], query: {} },
  /** Draws again what is shown, with the data at hand. */
  redraw() {},
  /** Loads the page's data again, then draws. */
  reload() {},
  /** Changes the route's query without leaving the page. */
  setQuery() {},
  /** Errors of the page's loading and of its actions, newest last. */
  errors: [],
  toasts: [],
  /** If something that the user asked for is being loaded. */
  busy: false,
  dialogs: [],
};

/** Opens a route. */
export function go(hash) {
  location.hash = hash;
}

let toasts = 0;

/** Says for some seconds that something was done. */
export function toast(text) {
  const entry = { id: ++toasts, text };
  app.toasts.push(entry);
  setTimeout(() => {
    app.toasts = app.toasts.filter((other) => other !== entry);
    app.redraw();
  }, 4000);
  app.redraw();
}

/** Shows an error above the page until it is closed or the page is left. */
export function fail(error) {
  if (error.name === 'AbortError') return;
  const text = error.message || String(error);
  if (error.path === undefined) console.error(error);
  app.errors = app.errors.filter((other) => other.text !== text);
  app.errors.push({ text, status: error.status, path: error.path, key: `${text}` });
  if (app.errors.length > 4) app.errors.shift();
  app.redraw();
}

/** Runs an action of the user: says what was done, or shows the API's reason. True if it went well. */
export async function act(work, done) {
  try {
    const value = await work();
    if (done) toast(typeof done === 'function' ? done(value) : done);
    await app.reload();
    return true;
  } catch (error) {
    fail(error);
    return false;
  }
}
