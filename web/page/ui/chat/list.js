// The conversations: found, opened, renamed, deleted, taken along. Beside the chat on a wide screen, in a drawer on a phone.
import {deleteChats, fail, newChat, openChat} from '../../actions.js';
import {search} from '../../chat/archive.js';
import {dropUndo, rename, undo} from '../../chat/conversations.js';
import {$, arrange, choose, composing, h, icon} from '../../dom.js';
import {t} from '../../i18n.js';
import {on, set, state} from '../../store.js';
import {exportAll, exportOne, importFiles} from './files.js';
import {menu} from './menu.js';

const MORE = 'M6 12h.01M12 12h.01M18 12h.01';
const LIST = 'M4 6h16M4 12h16M4 18h10';
const UNDO_MS = 12_000;
const LATE_MS = 150;

const narrow = matchMedia('(max-width: 720px)');

let renaming = '';
/** What the search has found in texts: a Map by id, or undefined while nothing is looked for. */
let found;

const find = h('input', {type: 'search', id: 'find', autocomplete: 'off'});
const head = h('div', {class: 'head'});
const rows = h('ul', {class: 'plain'});
const note = h('p', {class: 'small'});
const element = h('div', {class: 'conversations'}, head, find, rows, note);
const drawer = h('dialog', {class: 'drawer'});

const menuButton = (attributes, items) => {
  const button = h('button', {
    type: 'button', class: 'more', 'aria-haspopup': 'menu', 'aria-expanded': 'false', ...attributes,
    onclick: () => menu(button, items()),
  }, icon(MORE));
  return button;
};

function close() {
  if (drawer.open) drawer.close();
}

async function go(id) {
  close();
  await openChat(id);
  set({view: 'chat'});
  if (!narrow.matches && !renaming) $('ask').focus(); // a second click renames
}

function renameRow({id, title}) {
  const input = h('input', {type: 'text', value: title, maxlength: 200, 'aria-label': t('list.rename')});
  let left = false;
  const done = keep => {
    if (left) return;
    left = true;
    renaming = '';
    if (keep) rename(id, input.value);
    draw();
    rows.querySelector(`[data-id="${id}"] button`)?.focus();
  };
  input.addEventListener('keydown', event => {
    if (composing(event)) return;
    if (!['Enter', 'Escape'].includes(event.key)) return;
    event.stopPropagation();
    event.preventDefault(); // the title, which has the focus then, is not pressed
    done(event.key === 'Enter');
  });
  input.addEventListener('blur', () => done(true));
  return h('li', {'data-id': id}, input);
}

function makeRow(conversation) {
  const {id, title} = conversation;
  if (renaming === id) return renameRow(conversation);
  const here = found?.get(id);
  const startRename = () => {
    renaming = id;
    draw();
    rows.querySelector('input')?.select();
  };
  const open = {type: 'button', class: 'title', title, onclick: () => go(id).catch(fail), ondblclick: startRename};
  return h('li', {'data-id': id},
    h('button', open, h('span', {}, title), here && h('span', {class: 'found'}, here.before && '…', ...marked(here.text))),
    menuButton({'aria-label': t('list.more', {title})}, () => [
      [t('list.rename'), startRename],
      [t('list.markdown'), () => exportOne(id, 'markdown')],
      [t('list.json'), () => exportOne(id, 'json')],
      [t('list.delete'), () => deleteChats([id])],
    ]));
}

/** The rows that are shown, by id: `{element, look}`. A row that looks the same stays: who is pressing it presses what was there. */
const drawn = new Map();

function row(conversation) {
  const {id, title} = conversation;
  const {before, text} = found?.get(id) ?? {};
  const look = JSON.stringify([title, state.language, renaming === id, before, text, text && find.value]);
  if (drawn.get(id)?.look !== look) drawn.set(id, {element: makeRow(conversation), look});
  const {element} = drawn.get(id);
  element.classList.toggle('here', id === state.open);
  element.querySelector('.title')?.setAttribute('aria-current', id === state.open);
  return element;
}

/** A text with what is looked for marked. */
function marked(text) {
  const words = find.value.trim();
  const at = text.toLocaleLowerCase().indexOf(words.toLocaleLowerCase());
  if (at < 0) return [text];
  return [text.slice(0, at), h('mark', {}, text.slice(at, at + words.length)), text.slice(at + words.length)];
}

function draw() {
  // What is being typed stays; whoever ends that draws.
  if (renaming && document.activeElement === rows.querySelector('input')) return;
  const {conversations, archived} = state;
  const words = find.value.trim().toLocaleLowerCase();
  const shown = conversations.filter(({id, title}) => !words || title.toLocaleLowerCase().includes(words) || found?.has(id));
  find.hidden = conversations.length === 0;
  const focused = rows.contains(document.activeElement) && document.activeElement.closest('li');
  const at = [...rows.children].indexOf(focused);
  for (const id of drawn.keys()) if (!shown.some(one => one.id === id)) drawn.delete(id);
  arrange(rows, shown.map(row));
  if (focused && !rows.contains(document.activeElement) && renaming !== focused.dataset.id) {
    // Where it is gone: what stands there now.
    const next = rows.querySelector(`[data-id="${focused.dataset.id}"]`) ?? rows.children[at] ?? rows.lastElementChild;
    (next?.querySelector('.title') ?? find).focus({preventScroll: true});
  }
  const about = !archived ? 'list.unkept' : conversations.length === 0 ? 'list.empty' : 'list.nothing';
  note.hidden = archived && shown.length > 0;
  note.textContent = note.hidden ? '' : t(about);
}

function drawHead() {
  const all = () => state.conversations.map(({id}) => id);
  const more = menuButton({id: 'list-more', 'aria-label': t('list.all')}, () => [
    [t('list.import'), () => choose(importFiles, '.json,.md,application/json,text/markdown')],
    state.conversations.length > 0 && [t('list.export'), exportAll],
    state.conversations.length > 0 && [t('list.deleteall'), () => deleteChats(all())],
  ]);
  head.replaceChildren(h('h2', {}, t('list')), more);
  find.placeholder = t('list.find');
  find.setAttribute('aria-label', t('list.find'));
}

let late;
function look() {
  clearTimeout(late);
  const words = find.value.trim();
  if (!words) found = undefined;
  draw();
  if (words) late = setTimeout(async () => {
    const all = await search(words);
    if (find.value.trim() !== words) return;
    found = all;
    draw();
  }, LATE_MS);
}

/** Says what was deleted, for as long as it can be had back. */
function toast() {
  const bar = h('div', {class: 'toast', role: 'status', hidden: true});
  let end;
  document.querySelector('main').append(bar);
  on(['undo', 'language'], () => {
    const gone = state.undo;
    clearTimeout(end);
    bar.hidden = !gone;
    if (!gone) return bar.replaceChildren();
    end = setTimeout(function drop() {
      // Not under a finger that is about to press it.
      if (bar.matches(':hover, :focus-within')) end = setTimeout(drop, UNDO_MS);
      else dropUndo();
    }, UNDO_MS);
    const [one, another] = gone;
    const words = another ? t('list.deleted.many', {n: gone.length}) : t('list.deleted', {title: one.title});
    return bar.replaceChildren(h('span', {}, words),
      h('button', {type: 'button', id: 'undo', onclick: undo}, t('list.undo')),
      h('button', {type: 'button', class: 'more', 'aria-label': t('error.dismiss'), onclick: dropUndo}, '×'));
  });
}

/** In the drawer on narrow screens, else beside the chat. */
function place() {
  close();
  if (narrow.matches) drawer.append(element);
  else $('conversations').append(element);
}

/** Shows the list, if it is not there, with the search ready. */
export function searchList() {
  if (narrow.matches && !drawer.open) drawer.showModal();
  find.focus();
  find.select();
}

export function list() {
  const button = h('button', {type: 'button', id: 'drawer', class: 'drawer-button', onclick: () => drawer.showModal()}, icon(LIST));
  const start = h('button', {type: 'button', class: 'quiet new', onclick: () => {
    close();
    newChat();
    set({view: 'chat'});
  }});
  const shut = h('button', {type: 'button', class: 'more', onclick: close}, '×');
  drawer.append(h('div', {class: 'top'}, start, shut));
  drawer.addEventListener('click', event => {
    if (event.target === drawer) close(); // beside it
  });
  document.querySelector('header').prepend(button);
  document.body.append(drawer);
  narrow.addEventListener('change', place);
  place();
  toast();
  find.addEventListener('input', look);
  find.addEventListener('keydown', event => {
    if (event.key === 'ArrowDown') rows.querySelector('.title')?.focus();
    if (event.key !== 'Escape' || !find.value) return;
    event.preventDefault();
    event.stopPropagation();
    find.value = '';
    look();
  });
  rows.addEventListener('keydown', event => {
    const titles = [...rows.querySelectorAll('.title')];
    const at = titles.indexOf(document.activeElement);
    if (at < 0) return;
    if (event.key === 'F2') titles[at].dispatchEvent(new MouseEvent('dblclick'));
    if (event.key === 'Delete') deleteChats([titles[at].closest('li').dataset.id]);
    const next = {ArrowDown: titles[at + 1], ArrowUp: titles[at - 1] ?? find}[event.key];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  on(['language'], () => {
    for (const element of [button, drawer]) element.setAttribute('aria-label', t('list'));
    start.textContent = t('chat.new');
    shut.setAttribute('aria-label', t('close'));
    drawHead();
  });
  on(['conversations', 'open', 'archived', 'language'], draw);
}
