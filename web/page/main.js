// Starts the page: texts, panels, and the model that was used last if it is all here.
import {hearth, load, fail, newChat} from './actions.js';
import {$, h, icon} from './dom.js';
import {LANGUAGES, loadTexts, t} from './i18n.js';
import {on, set, state} from './store.js';
import {chat} from './ui/chat.js';
import {chip} from './ui/chip.js';
import {models} from './ui/models.js';
import {notice} from './ui/notice.js';
import {settings} from './ui/settings.js';

const VIEWS = {
  chat: 'M4 5h16v11H9l-5 4z',
  models: 'M4 7l8-4 8 4v10l-8 4-8-4zM4 7l8 4 8-4M12 11v10',
  settings: 'M4 7h10M18 7h2M4 17h2M10 17h10M14 4v6M8 14v6',
};

function frame() {
  const {view, language, theme} = state;
  document.documentElement.lang = language;
  document.documentElement.dataset.theme = theme;
  document.querySelector('.app').dataset.view = view;
  $('chat').hidden = view === 'models';
  $('models').hidden = view !== 'models';
  for (const element of document.querySelectorAll('[data-i18n]')) element.textContent = t(element.dataset.i18n);
  $('views').replaceChildren(...Object.entries(VIEWS).map(([name, path]) => h(
    'button',
    {class: `tab ${name}`, 'aria-current': view === name ? 'page' : null, onclick: () => set({view: name})},
    icon(path), h('span', {}, t(`view.${name}`)),
  )));
  $('new-chat').textContent = t('chat.new');
  $('language').textContent = t('language');
  $('language').lang = language === 'zh' ? 'en' : 'zh';
  $('theme').textContent = t(isDark() ? 'theme.light' : 'theme.dark');
}

const isDark = () => state.theme === 'dark' || (!state.theme && matchMedia('(prefers-color-scheme: dark)').matches);

async function start() {
  await loadTexts();
  on(['view', 'language', 'theme'], frame);
  $('language').onclick = () => {
    const names = Object.keys(LANGUAGES);
    set({language: names[(names.indexOf(state.language) + 1) % names.length]});
  };
  $('theme').onclick = () => set({theme: isDark() ? 'light' : 'dark'});
  $('new-chat').onclick = () => {
    newChat();
    set({view: 'chat'});
    $('ask').focus();
  };
  notice();
  chip();
  chat();
  models();
  settings();
  try {
    const api = await hearth();
    const {models: known} = await api.catalog();
    set({catalog: known});
    await resume(api, known);
  } catch (error) {
    fail(error, [['error.retry', () => location.reload()]]);
  }
}

/** Starts the model that was used last, without asking and without a network, if it is whole. */
async function resume(api, known) {
  const stored = await api.stored();
  set({stored});
  const source = state.source ?? known[0].id;
  const file = stored.find(({plan}) => plan.url === source || plan.key === `sha256-${known.find(({id}) => id === source)?.sha256}`);
  if (!file || state.phase !== 'none') return;
  if (file.stored_bytes === file.plan.size_bytes) await load(source, file.plan.name);
}

start();
