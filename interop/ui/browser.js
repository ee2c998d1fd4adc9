// The browser, the page under test, and what must never happen on it.

const assert = require('node:assert/strict');
const { chromium } = require('playwright-core');

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome'];

/** The installed browser: CHROMIUM, or the first of the usual names. */
function program() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const { execFileSync } = require('node:child_process');
  for (const name of PROGRAMS) {
    try {
      return execFileSync('which', [name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    } catch {
      // The next one, then.
    }
  }
  throw new Error(`no browser: none of ${PROGRAMS.join(', ')} is installed`);
}

/**
 * Opens the page at `base` in a browser with an empty profile and gives it to `work`. Fails if the
 * page asks anything of another origin, writes an error or a warning to the console, throws, or
 * opens a window of the browser's own. `refusals` are statuses that the API is meant to answer.
 */
async function withPage(base, work, { refusals = [], viewport = { width: 1280, height: 900 } } = {}) {
  const browser = await chromium.launch({ executablePath: program(), args: FLAGS });
  const wrong = [];
  try {
    const context = await browser.newContext({ viewport, acceptDownloads: true });
    context.setDefaultTimeout(30_000);
    const page = await context.newPage();
    page.on('request', (request) => {
      const url = new URL(request.url());
      if (url.origin !== new URL(base).origin && url.protocol !== 'blob:') wrong.push(`asked ${url}`);
    });
    page.on('console', (message) => {
      if (!['error', 'warning'].includes(message.type())) return;
      const status = /Failed to load resource: .*status of (\d+)/.exec(message.text())?.[1];
      if (status && refusals.includes(Number(status)) && message.location().url.includes('/api/')) return;
      wrong.push(`console: ${message.text()} ${message.location().url}`);
    });
    page.on('pageerror', (error) => wrong.push(`thrown: ${error.stack}`));
    page.on('dialog', (dialog) => {
      wrong.push(`a dialog of the browser: ${dialog.message()}`);
      dialog.dismiss();
    });
    await page.goto(base);
    await work(page, context);
    assert.equal(await page.evaluate(() => window.pwned), undefined, 'a name ran as a script');
    assert.deepEqual(wrong, []);
  } catch (error) {
    if (process.env.INTEROP_SHOTS) {
      const [page] = browser.contexts()[0]?.pages() ?? [];
      await page?.screenshot({ path: `${process.env.INTEROP_SHOTS}/failed.png`, fullPage: true });
    }
    if (wrong.length) error.message += `\nbesides: ${wrong.join('\n')}`;
    throw error;
  } finally {
    await browser.close();
  }
}

/** Logs in as a user does. */
async function login(page, { username, password }) {
  await page.getByLabel('User name').fill(username);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Log in' }).click();
  await page.locator('#main h1').waitFor();
}

/** Opens a route of the page. */
async function open(page, ...segments) {
  await page.evaluate((hash) => { location.hash = hash; }, `#/${segments.map(encodeURIComponent).join('/')}`);
}

/** Asks again until `check` does not throw, for as long as a slow machine may need. */
async function until(check, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

module.exports = { withPage, login, open, until };
