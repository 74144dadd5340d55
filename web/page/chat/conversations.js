// The conversation that is shown and the list of all: opening, renaming, deleting, files. What changes is kept at once, and other
// tabs are told.
import {keepAll, set, state} from '../store.js';
import * as kept from './archive.js';
import {forgive, owe, owing} from './owed.js';
import {leafBelow, newId, path} from './tree.js';

const TITLE = 60;

/** Tells other tabs that something has changed. */
const others = typeof BroadcastChannel === 'function' ? new BroadcastChannel('hearth-chat') : null;

/** A browser that ends a connection ends what is being written, and only then says so. */
const CLOSING_MS = 1000;

/** Called where something could not be kept; not again before all is, another conversation is shown, or a person asks for it. */
let unkept = () => {};
let complained = false;

/** Reads what is kept and shows what was open last. `fail`: is told what could not be kept; `emptied`: that all was thrown away. */
export async function restore(fail, emptied) {
  unkept = fail;
  kept.onReopened(archive => reopened(archive, emptied).catch(fail));
  others?.addEventListener('message', () => refresh().catch(console.warn)); // what comes next tells of it again
  set({archived: (await kept.archive()).kept});
  await migrate();
  await kept.purgeDeleted();
  await refresh();
  // Who was quick has asked something already.
  if (state.conversation) return;
  if (state.conversations.some(({id}) => id === state.open)) await open(state.open);
  else set({open: ''});
}

/** Until this page had a database the one conversation was in localStorage. */
async function migrate() {
  let old;
  try {
    old = JSON.parse(localStorage.getItem('hearth.messages'));
  } catch {
    // Unreadable is as good as never kept.
  }
  if (Array.isArray(old) && old.length > 0) {
    const now = Date.now();
    // Ids first, and where they stay: another tab, or this one after a reload, may begin with it, too, and both then add the same.
    const conversation = newId();
    old = old.map(message => ({id: newId(), conversation, ...message}));
    try {
      localStorage.setItem('hearth.messages', JSON.stringify(old));
    } catch {
      // Full: then it may be here twice.
    }
    const turns = old.map(({id, role, content, reasoning, meta}, i) => ({id, parent: old[i - 1]?.id ?? null, role, content, reasoning, meta}));
    const [{conversation: id, content}] = old;
    await kept.add([{id, title: titleOf(content), created: now, changed: now, leaf: turns.at(-1).id, turns}]);
    set({open: id});
  }
  if ((await kept.archive()).kept) localStorage.removeItem('hearth.messages');
}

/**
 * Goes on with another connection. Where only the former one was lost, what it did not write is written now; where all was thrown
 * away, what is shown and what was chosen is kept anew.
 */
async function reopened({kept: archived, anew}, emptied) {
  set({archived});
  if (!anew && await allThere()) {
    if (owing()) await keep();
    return refresh();
  }
  const {conversation, turns} = state;
  forgive();
  keepAll();
  set({undo: null});
  const back = !conversation || await keep({conversations: [conversation], turns: [...turns.values()]});
  await refresh();
  return back && emptied();
}

/** Whether everything that is listed is in the archive. */
async function allThere() {
  const ids = (await kept.list()).map(({id}) => id);
  return state.conversations.every(({id}) => ids.includes(id));
}

async function refresh() {
  const conversations = await kept.list();
  const {conversation} = state;
  const title = conversations.find(({id}) => id === conversation?.id)?.title ?? conversation?.title;
  set({conversations, ...title === conversation?.title ? {} : {conversation: {...conversation, title}}});
}

/** Whether a conversation is here or can be had back. */
const known = id => [state.conversation, ...state.conversations, ...state.undo ?? []].some(one => one?.id === id);

/** Writes records, and what could not be written before; whether all of it is. */
export async function keep({conversations = [], turns = [], tokens = []} = {}) {
  // An answer that winds down may outlive its conversation.
  const [said, told] = [turns, tokens].map(records => records.filter(({conversation}) => known(conversation)));
  owe({conversations, turns: said, tokens: told});
  const archive = kept.archive();
  try {
    await (await archive).settle();
    others?.postMessage('changed');
    complained = false;
    if (state.error?.code === 'unkept') set({error: null});
    return true;
  } catch (error) {
    await new Promise(resolve => setTimeout(resolve, CLOSING_MS));
    // With another connection it is written after all, see `reopened`.
    if (kept.archive() === archive && owing() && !complained) {
      complained = true;
      unkept(Object.assign(new Error(error.message), {code: 'unkept'}), [['error.retry', again]]);
    }
    return false;
  }
}

/** A person asked for it, and hears how it went. */
function again() {
  complained = false;
  return keep();
}

function titleOf(text) {
  const line = text.trim().split('\n')[0];
  return line.length > TITLE ? `${line.slice(0, TITLE).trimEnd()}…` : line;
}

function listed(conversation) {
  const rest = state.conversations.filter(({id}) => id !== conversation.id);
  return [...rest, conversation].sort((a, b) => b.changed - a.changed);
}

/** Whether a conversation is in the list: what is shown here, another tab may have deleted, and then all of it is kept anew. */
const isListed = ({id}) => state.conversations.some(one => one.id === id);

/** Id of the conversation that is being read, to be shown, if no other is chosen or begun meanwhile. */
let coming = '';

/** The one that is shown was chosen. */
export function stay() {
  coming = '';
}

/** Shows an empty conversation, which is kept once something is said. */
export function fresh() {
  coming = '';
  complained = false;
  set({open: '', conversation: null, turns: new Map(), messages: [], growing: null});
}

export async function open(id) {
  coming = id;
  complained = false;
  const {turns: all, ...conversation} = await kept.whole(id).catch(error => {
    if (coming === id) throw error;
    return {};
  });
  if (coming !== id) return;
  coming = '';
  const turns = new Map(all.map(turn => [turn.id, {...turn, conversation: id}]));
  // An answer that was cut off by a crash lies below the leaf.
  set({open: id, conversation, turns, messages: path(turns, leafBelow(turns, conversation.leaf)), growing: null});
}

/** A new turn of the conversation that is shown, behind `parent`; the first one begins the conversation. */
export function newTurn(parent, turn) {
  return {id: newId(), conversation: state.conversation?.id ?? newId(), parent, ...turn};
}

/** Adds a turn, or puts it in the place of its former self, and shows the path down to it. */
export function add(turn) {
  if (!state.conversation) coming = '';
  const now = Date.now();
  const about = turn.content || turn.files?.[0].name || '';
  const before = state.conversation ?? {id: turn.conversation, title: titleOf(about), created: now};
  const conversation = {...before, changed: now, leaf: turn.id};
  const turns = new Map(state.turns).set(turn.id, turn);
  const there = isListed(conversation);
  set({
    open: conversation.id, conversation, turns, messages: path(turns, turn.id), conversations: listed(conversation),
  });
  return keep({conversations: [conversation], turns: there ? [turn] : [...turns.values()]});
}

/** Puts a turn in the place of its former self, wherever that is. */
export function update(turn) {
  if (state.conversation?.id === turn.conversation) {
    set({turns: new Map(state.turns).set(turn.id, turn), messages: state.messages.map(one => one.id === turn.id ? turn : one)});
  }
  return keep({turns: [turn]});
}

/** Shows the branch that a turn is on. */
export function showBranch(id) {
  const {turns} = state;
  const conversation = {...state.conversation, leaf: leafBelow(turns, id)};
  const there = isListed(conversation);
  set({conversation, messages: path(turns, conversation.leaf), conversations: listed(conversation)});
  return keep({conversations: [conversation], turns: there ? [] : [...turns.values()]});
}

export function rename(id, title) {
  const name = title.trim().slice(0, 200);
  const before = state.conversations.find(one => one.id === id);
  if (!name || !before || before.title === name) return undefined;
  const conversation = {...before, title: name};
  set({conversations: listed(conversation), ...state.conversation?.id === id ? {conversation} : {}});
  return keep({conversations: [conversation]});
}

/** Deletes conversations; `undo` has them until it is dropped. */
export async function remove(ids) {
  if (state.undo) await dropUndo();
  const gone = state.conversations.filter(({id}) => ids.includes(id));
  if (gone.length === 0) return;
  const deleted = Date.now();
  set({conversations: state.conversations.filter(({id}) => !ids.includes(id)), undo: gone});
  const next = ids.includes(coming) ? '' : coming;
  if (ids.includes(state.open)) fresh();
  coming = next;
  await keep({conversations: gone.map(one => ({...one, deleted}))});
}

/** Has back what was deleted last. */
export async function undo() {
  const back = state.undo;
  if (!back) return;
  set({undo: null});
  await keep({conversations: back});
  await refresh();
}

/** Forgets for good what was deleted last. */
export async function dropUndo() {
  const gone = state.undo;
  set({undo: null});
  if (!gone) return;
  await kept.purge(gone.map(({id}) => id));
  // There may be room now.
  if (owing()) await keep();
}

/** Takes in conversations from a file. */
export async function take(conversations) {
  await kept.add(conversations);
  others?.postMessage('changed');
  await refresh();
}
