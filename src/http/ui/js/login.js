// The login: Basic credentials, tried with `/whoami`.

import { basic, get } from './api.js';
import { app } from './app.js';
import { h, icon } from './dom.js';
import { session } from './state.js';

let error = null;
let busy = false;

export function login({ enter }) {
  async function submit(event) {
    event.preventDefault();
    if (busy) return;
    const { username, password, keep } = event.currentTarget.elements;
    const authorization = basic(username.value, password.value);
    busy = true;
    error = null;
    app.loginNote = undefined;
    app.redraw();
    try {
      const user = await get('/whoami', { authorization });
      session.login(authorization, user, keep.checked);
      await enter();
    } catch (problem) {
      session.logout();
      error = problem.status === 401 && /^not_authori[sz]ed$/i.test(problem.reason)
        ? 'This user name and password are not known here.' : problem.message;
    }
    busy = false;
    app.redraw();
    if (error) document.querySelector('.login [name=password]')?.select();
  }

  return h('main.login', h('form', { onsubmit: submit, 'aria-labelledby': 'login-title' },
    h('div.brand', h('span.logo', { role: 'img', 'aria-label': '' }), h('h1#login-title', 'Lepus')),
    app.loginNote ? h('p.note', { role: 'status' }, app.loginNote) : null,
    h('label.field', h('span', 'User name'), h('input', {
      type: 'text', name: 'username', autocomplete: 'username', required: true,
      autocapitalize: 'none', spellcheck: 'false', ref: (el) => el.focus(),
    })),
    h('label.field', h('span', 'Password'), h('input', {
      type: 'password', name: 'password', autocomplete: 'current-password',
    })),
    h('label.check', h('input', { type: 'checkbox', name: 'keep', checked: true }),
      'Stay logged in while this tab is open'),
    error ? h('p.error', { role: 'alert' }, icon('warn'), h('span', error)) : null,
    h('button.primary', { type: 'submit', disabled: busy }, busy ? 'Logging in\u2026' : 'Log in')));
}
