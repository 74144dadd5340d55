// Keyboard shortcuts, and the sheet that tells them.
import {answer, newChat, stop} from '../../actions.js';
import {$, composing, h} from '../../dom.js';
import {t} from '../../i18n.js';
import {on, set, state} from '../../store.js';
import {editLast, toggleLastTokens} from './flow.js';
import {searchList} from './list.js';

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

/** What single keys do while nothing is being written: [key, text, action]. */
const SINGLE = [
  ['/', 'keys.ask', () => $('ask').focus()],
  ['r', 'keys.again', () => state.model && !state.answering && state.messages.length > 0 && answer()],
  ['e', 'keys.edit', editLast],
  ['t', 'keys.tokens', toggleLastTokens],
  ['[', 'keys.earlier', () => branch('earlier')],
  [']', 'keys.later', () => branch('later')],
  ['?', 'keys.help', () => help()],
];

/** Walks the branches at the last turn that has some. */
function branch(name) {
  [...$('messages').querySelectorAll(`button.${name}`)].at(-1)?.click();
}

const begin = () => {
  newChat();
  set({view: 'chat'});
  $('ask').focus();
};

/** With Ctrl, or Command: [whether with Shift, key, text, action]. */
const CONTROL = [
  [true, 'o', 'keys.new', begin],
  [false, 'k', 'keys.find', searchList],
];

const sheet = h('dialog', {class: 'sheet', 'aria-labelledby': 'keys-title'});

function row(keys, text) {
  return [h('dt', {}, t(text)), h('dd', {}, keys.map(key => h('kbd', {}, key)))];
}

function drawSheet() {
  const control = MAC ? '⌘' : 'Ctrl';
  const single = h('input', {
    type: 'checkbox', id: 'single-keys', checked: state.singleKeys,
    onchange: event => set({singleKeys: event.currentTarget.checked}),
  });
  sheet.replaceChildren(
    h('div', {class: 'head'}, h('h2', {id: 'keys-title'}, t('keys')),
      h('button', {type: 'button', class: 'more', 'aria-label': t('close'), onclick: () => sheet.close()}, '×')),
    h('dl', {},
      row(['Enter'], 'keys.send'), row(['Shift', 'Enter'], 'keys.line'), row(['Esc'], 'keys.stop'), row(['↑'], 'keys.up'),
      CONTROL.flatMap(([shift, key, text]) => row([control, ...shift ? ['Shift'] : [], key.toUpperCase()], text))),
    h('h3', {}, t('keys.single')),
    h('dl', {class: state.singleKeys ? '' : 'off'}, SINGLE.flatMap(([key, text]) => row([key.toUpperCase()], text))),
    h('label', {class: 'check', for: 'single-keys'}, single, t('keys.singlekeys')));
}

/** Shows the sheet. */
export function help() {
  drawSheet();
  if (!sheet.open) sheet.showModal();
}

const writing = ({target}) => target.closest?.('input, textarea, select, [contenteditable]');

function press(event) {
  if (composing(event) || event.defaultPrevented) return;
  const {key, ctrlKey, metaKey, altKey, shiftKey} = event;
  if (key === 'Escape' && state.answering && !document.querySelector('dialog[open]')) return stop();
  if (MAC ? metaKey && !ctrlKey : ctrlKey && !metaKey) {
    const found = !altKey && CONTROL.find(([shift, name]) => shift === shiftKey && name === key.toLowerCase());
    if (!found) return undefined;
    event.preventDefault();
    return found[3]();
  }
  if (ctrlKey || metaKey || altKey || !state.singleKeys || writing(event)) return undefined;
  if (document.querySelector('dialog[open]')) return undefined;
  const found = SINGLE.find(([name]) => name === key.toLowerCase());
  if (!found || !(state.view === 'chat' || state.view === 'settings' || key === '?')) return undefined;
  event.preventDefault();
  return found[2]();
}

export function keys() {
  document.body.append(sheet);
  sheet.addEventListener('click', event => {
    if (event.target === sheet) sheet.close();
  });
  const button = h('button', {type: 'button', class: 'quiet keys-button', id: 'keys', onclick: help}, '?');
  document.querySelector('.foot').append(button);
  document.addEventListener('keydown', press);
  on(['language', 'singleKeys'], () => {
    button.setAttribute('aria-label', t('keys'));
    button.title = t('keys');
    if (sheet.open) drawSheet();
  });
}
