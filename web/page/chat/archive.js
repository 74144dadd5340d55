// Where conversations are kept: a database of their own, which only this page reads. Turns are records by themselves, so that
// a long conversation is not written anew for each answer. Where the browser refuses storage, they last as long as the tab.
import {openDB} from '../../vendor/idb/index.js';
import {STORES, withOwed} from './owed.js';

/** What another tab has deleted can be had back there for so long. */
const UNDO_MS = 60_000;

/** The same few calls over Maps. */
function inMemory() {
  const stores = Object.fromEntries(STORES.map(name => [name, new Map()]));
  return {
    kept: false,
    get: async (name, id) => stores[name].get(id),
    all: async name => [...stores[name].values()],
    of: async (name, conversation) => [...stores[name].values()].filter(one => one.conversation === conversation),
    async write({put = {}, remove = {}}) {
      for (const name of STORES) {
        for (const record of put[name] ?? []) stores[name].set(record.id, record);
        for (const id of remove[name] ?? []) stores[name].delete(id);
      }
    },
  };
}

async function inDatabase() {
  let anew = false;
  const db = await openDB('hearth-chat', 1, {
    upgrade(db) {
      anew = true;
      db.createObjectStore('conversations', {keyPath: 'id'});
      for (const name of ['turns', 'tokens']) {
        db.createObjectStore(name, {keyPath: 'id'}).createIndex('conversation', 'conversation');
      }
    },
    // A tab of a newer version waits for us.
    blocking: (_, __, event) => event.target.close(),
    terminated() {
      opening = again().then(withOwed);
      opening.then(reopened);
    },
  });
  /** What `ask` of a store gives. Should the connection be ended meanwhile, that tells; the transaction need not tell, too. */
  const read = (name, ask) => {
    const transaction = db.transaction(name);
    transaction.done.catch(() => {});
    return ask(transaction.store);
  };
  return {
    kept: true,
    anew,
    get: (name, id) => read(name, store => store.get(id)),
    all: name => read(name, store => store.getAll()),
    of: (name, conversation) => read(name, store => store.index('conversation').getAll(conversation)),
    async write({put = {}, remove = {}}) {
      const change = db.transaction(STORES, 'readwrite');
      const done = STORES.flatMap(name => [
        ...(put[name] ?? []).map(record => change.objectStore(name).put(record)),
        ...(remove[name] ?? []).map(id => change.objectStore(name).delete(id)),
      ]);
      await Promise.all([...done, change.done]);
    },
  };
}

/** The database once more, when the browser is done with what has ended the connection. */
async function again() {
  for (let wait = 100; wait < 10_000; wait *= 2) {
    await new Promise(resolve => setTimeout(resolve, wait));
    try {
      return await inDatabase();
    } catch (error) {
      console.warn('Hearth: the database is not to be had yet', error);
    }
  }
  return inMemory();
}

let opening;
let reopened = () => {};

/** Calls `call(archive)` when the connection to the database was ended under us and there is another; `anew`: to an empty one. */
export function onReopened(call) {
  reopened = call;
}

/** The archive, opened once. */
export function archive() {
  opening ??= inDatabase().catch(error => {
    console.warn('Hearth: conversations are not kept', error);
    return inMemory();
  }).then(withOwed);
  return opening;
}

/** Records of all conversations that are not deleted, what changed last first. */
export async function list() {
  const all = await (await archive()).all('conversations');
  return all.filter(({deleted}) => !deleted).sort((a, b) => b.changed - a.changed);
}

/** A conversation and its turns as a file has them. Throws an error of the code 'gone' where there is none. */
export async function whole(id) {
  const kept = await archive();
  const [record, turns] = await Promise.all([kept.get('conversations', id), kept.of('turns', id)]);
  if (!record) throw Object.assign(new Error(`there is no conversation ${id}`), {code: 'gone'});
  const {deleted, ...conversation} = record;
  return {...conversation, turns: turns.map(({conversation, ...turn}) => turn)};
}

/** Forgets conversations for good, but not those that live again: imported, or gone on with in another tab. */
export async function purge(ids) {
  const kept = await archive();
  for (const id of ids) {
    const record = await kept.get('conversations', id);
    if (record && !record.deleted) continue;
    const [turns, tokens] = await Promise.all(['turns', 'tokens'].map(name => kept.of(name, id)));
    const idsOf = records => records.map(record => record.id);
    await kept.write({remove: {conversations: [id], turns: idsOf(turns), tokens: idsOf(tokens)}});
  }
}

/** Forgets what was deleted and not had back. */
export async function purgeDeleted(now = Date.now()) {
  const all = await (await archive()).all('conversations');
  await purge(all.filter(({deleted}) => deleted && now - deleted >= UNDO_MS).map(({id}) => id));
}

/** Adds conversations from a file; of turns that are here already nothing changes. */
export async function add(conversations) {
  const kept = await archive();
  for (const {turns, ...conversation} of conversations) {
    const before = await kept.get('conversations', conversation.id);
    const known = await Promise.all(turns.map(({id}) => kept.get('turns', id)));
    const record = before && !before.deleted && before.changed > conversation.changed ? before : conversation;
    const fresh = turns.filter((_, i) => !known[i]).map(turn => ({...turn, conversation: conversation.id}));
    await kept.write({put: {conversations: [record], turns: fresh}});
  }
}

/** Where `words` are found: a Map from a conversation's id to the text around the first of them. */
export async function search(words) {
  const wanted = words.trim().toLocaleLowerCase();
  const found = new Map();
  for (const {conversation, content, files = []} of await (await archive()).all('turns')) {
    if (found.has(conversation)) continue;
    for (const text of [content, ...files.map(file => file.text)]) {
      const at = text.toLocaleLowerCase().indexOf(wanted);
      if (at < 0) continue;
      const from = Math.max(0, at - 20);
      found.set(conversation, {text: text.slice(from, at + 80).replace(/\s+/g, ' '), before: from > 0});
      break;
    }
  }
  return found;
}
