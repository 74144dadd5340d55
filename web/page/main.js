// Starts the page: texts, panels, and the model that was used last if it is all here.
import {hearth, load, fail, newChat} from './actions.js';
import {$, h, icon} from './dom.js';
import {LANGUAGES, loadOtherTexts, loadTexts, speak, t} from './i18n.js';
import {isolate, isStale, keepPage, watchVersions} from './shell/keeper.js';
import {keepLedger} from './privacy/ledger.js';
import {on, set, state} from './store.js';
import {chat} from './ui/chat.js';
import {chip} from './ui/chip.js';
import {models} from './ui/models.js';
import {notice} from './ui/notice.js';
import {settings} from './ui/settings.js';
import {update} from './ui/update.js';

const VIEWS = {
  chat: 'M4 5h16v11H9l-5 4z',
  lab: 'M9 3h6M10 3v6l-5 9a2 2 0 0 0 2 3h10a2 2 0 0 0 2-3l-5-9V3M8 14h8',
  models: 'M4 7l8-4 8 4v10l-8 4-8-4zM4 7l8 4 8-4M12 11v10',
  bench: 'M4 17a8.5 8.5 0 1 1 16 0M12 15l4-5',
  privacy: 'M12 3l8 3v6c0 5-4 8-8 9-4-1-8-4-8-9V6zM8.5 12l2.5 2.5 4.5-5',
  settings: 'M4 7h10M18 7h2M4 17h2M10 17h10M14 4v6M8 14v6',
};

const tabs = Object.entries(VIEWS).map(([name, path]) =>
  [name, h('button', {class: `tab ${name}`, onclick: () => set({view: name})}, icon(path), h('span'))]);

function frame() {
  const {view, language, theme} = state;
  document.documentElement.lang = language;
  document.documentElement.dataset.theme = theme;
  document.querySelector('.app').dataset.view = view;
  // The settings stand beside the chat.
  $('chat').hidden = view !== 'chat' && view !== 'settings';
  for (const name of ['lab', 'models', 'bench', 'privacy']) $(name).hidden = view !== name;
  $('skip').href = view === 'chat' ? '#ask' : `#${view}`;
  $('skip').textContent = t(view === 'chat' ? 'skip' : 'skip.view');
  for (const element of document.querySelectorAll('[data-i18n]')) element.textContent = t(element.dataset.i18n);
  for (const [name, tab] of tabs) {
    tab.lastChild.textContent = t(`view.${name}`);
    if (view === name) tab.setAttribute('aria-current', 'page');
    else tab.removeAttribute('aria-current');
  }
  $('new-chat').textContent = t('chat.new');
  $('language').textContent = t('language');
  $('language').lang = language === 'zh' ? 'en' : 'zh';
  $('theme').textContent = t(isDark() ? 'theme.light' : 'theme.dark');
}

const isDark = () => state.theme === 'dark' || (!state.theme && matchMedia('(prefers-color-scheme: dark)').matches);

/** Panels that are fetched when they are first looked at. */
const LATER = {lab: () => import('./ui/lab.js'), bench: () => import('./ui/bench.js'), privacy: () => import('./ui/privacy.js')};
const fetched = new Set();

function fetchPanel() {
  const {view} = state;
  if (!(view in LATER) || fetched.has(view)) return;
  if (isStale()) return $(view).replaceChildren(h('p', {class: 'coming', role: 'status', 'data-i18n': 'error.stale'}, t('error.stale')));
  fetched.add(view);
  const coming = h('p', {class: 'coming', role: 'status'}, t('view.coming'));
  $(view).append(coming);
  LATER[view]().then(panel => {
    coming.remove();
    panel[view]();
  }).catch(error => {
    coming.remove();
    fetched.delete(view);
    fail(error);
  });
}

async function start() {
  keepLedger();
  await loadTexts();
  $('views').append(...tabs.map(([, tab]) => tab));
  on(['view', 'language', 'theme'], frame);
  $('language').onclick = () => {
    const names = Object.keys(LANGUAGES);
    speak(names[(names.indexOf(state.language) + 1) % names.length]).catch(fail);
  };
  $('theme').onclick = () => set({theme: isDark() ? 'light' : 'dark'});
  document.querySelector('.wall').onclick = () => set({view: 'privacy'});
  $('new-chat').onclick = () => {
    newChat();
    set({view: 'chat'});
    $('ask').focus();
  };
  notice();
  update();
  chip();
  chat();
  models();
  settings();
  on(['view'], fetchPanel);
  delete document.querySelector('.app').dataset.waiting;
  if (await isolate()) return;
  watchVersions().catch(console.warn); // it is asked for again
  try {
    const api = await hearth();
    const {models: known} = await api.catalog();
    set({catalog: known, stored: await api.stored()});
    keepPage(api.build).catch(console.warn); // the page works without
    loadOtherTexts().catch(console.warn); // they are asked for again
    await resume();
  } catch (error) {
    // A newer version may start where this one does not.
    fail(error, [['error.retry', () => state.update ? state.update() : location.reload()]]);
  }
}

/** Starts the model that was used last, without asking and without a network, if it is whole. */
async function resume() {
  const {catalog, stored, phase} = state;
  const source = state.source ?? catalog[0].id;
  const sha256 = catalog.find(({id}) => id === source)?.sha256;
  const file = stored.find(({plan}) => plan.url === source || plan.key === `sha256-${sha256}`);
  if (phase === 'none' && file?.whole && file.stored_bytes === file.plan.size_bytes) await load(source, file.plan.name);
}

start().catch(error => {
  document.body.textContent = `Hearth could not start: ${error.message}. Reload the page; nothing is lost.`;
});
