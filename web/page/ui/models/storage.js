// What this browser keeps: how much room there is, and for every model its size, its last use, and whether it is whole; files come
// in and go out here.
import {fail, hearth} from '../../actions.js';
import {h, rearrange, save} from '../../dom.js';
import {megabytes, percent, t} from '../../i18n.js';
import {coming, on, set, state} from '../../store.js';

/** Ends the task under way. */
let ending;

let looks = 0;

/** Looks at what is here. Of several looks at once the one that was begun last counts. */
export async function refresh() {
  const mine = looks += 1;
  const {storage} = await hearth();
  const [stored, room] = await Promise.all([storage.list(), storage.room()]);
  if (mine === looks) set({stored, room, keeps: storage.keeps});
}

/** Runs one of `storage`'s long tasks so that it shows and can be stopped. */
async function run(kind, name, task) {
  ending = new AbortController();
  set({task: {kind, name, loaded: 0, total: 0}, busy: true, error: null});
  try {
    const {storage} = await hearth();
    const onProgress = ({loaded, total}) => set({task: {kind, name, loaded, total}});
    return await task(storage, {onProgress, signal: ending.signal});
  } catch (error) {
    if (error.code !== 'aborted') fail(error);
    return undefined;
  } finally {
    set({task: null, busy: false});
    await refresh().catch(fail);
  }
}

const idOf = key => [key].flat()[0];

async function check({key, name}) {
  const found = await run('verify', name, (storage, options) => storage.verify(key, options));
  if (found) set({checks: {...state.checks, [idOf(key)]: found}});
}

async function give({key, name}) {
  const files = await run('export', name, (storage, options) => storage.export(key, options));
  files?.forEach(file => save(file));
}

async function take(event) {
  const files = [...event.currentTarget.files];
  event.currentTarget.value = '';
  if (files.length > 0) await run('import', files[0].name, (storage, options) => storage.import(files, options));
}

async function remove({key}) {
  try {
    await (await hearth()).remove(key);
    await refresh();
  } catch (error) {
    fail(error);
  }
}

/** "today", "3 days ago". */
function ago(ms) {
  const day = time => Math.floor((time - new Date(time).getTimezoneOffset() * 60_000) / 86_400_000);
  return new Intl.RelativeTimeFormat(state.language, {numeric: 'auto'}).format(day(ms) - day(Date.now()), 'day');
}

/** What the last check found. */
function found({chunks, repaired, whole}) {
  if (repaired > 0) return t('storage.repaired', {n: repaired, all: chunks});
  return t(whole ? 'storage.whole' : 'storage.sound', {all: chunks});
}

function row({plan: {key, name, size_bytes}, stored_bytes, used_ms, whole}) {
  const {busy} = state;
  const here = whole && stored_bytes === size_bytes;
  const checked = state.checks[idOf(key)];
  const size = here ? t('models.size', {size: megabytes(size_bytes)}) : t('models.part', {have: megabytes(stored_bytes), size: megabytes(size_bytes)});
  const act = (label, action, disabled) =>
    h('button', {
      class: 'quiet', id: `${label}-${idOf(key)}`, disabled, 'aria-label': `${t(label)}: ${name}`, onclick: () => action({key, name}),
    }, t(label));
  const using = (state.model && stateUses(key)) || coming();
  return h('li', {'data-key': key},
    h('div', {}, name, h('p', {class: 'small'},
      [size, used_ms && t('storage.used', {when: ago(used_ms)}), checked && found(checked)].filter(Boolean).join(' · '))),
    h('div', {class: 'actions'},
      act('storage.check', check, busy), act('storage.export', give, busy || !here), act('storage.delete', remove, busy || using)));
}

/** Whether the model in use is that of this key. */
function stateUses(key) {
  const entry = state.catalog?.find(({id}) => id === state.source);
  const plan = state.stored.find(({plan}) => idOf(plan.key) === idOf(key))?.plan;
  return plan?.url === state.source || (entry && key === `sha256-${entry.sha256}`);
}

function room() {
  const {usage, quota, persisted} = state.room;
  if (!state.keeps) return [h('p', {class: 'small warn'}, t('storage.memory'))];
  const keep = async () => {
    const {storage} = await hearth();
    const kept = await storage.persist();
    await refresh();
    if (!kept) set({error: {code: 'persist', message: t('storage.refused'), actions: []}});
  };
  if (quota === 0) return [];
  return [
    h('progress', {value: usage, max: quota, 'aria-label': t('storage.title')}),
    h('p', {class: 'small'}, t(persisted ? 'storage.kept' : 'storage.notkept', {used: megabytes(usage), all: megabytes(quota)})),
    !persisted && h('button', {class: 'quiet', onclick: keep}, t('storage.persist')),
  ];
}

/** The task under way, made once and then only changed: Stop stays under the finger that presses it. */
function task() {
  const line = h('span');
  const bar = h('progress', {max: 1});
  const stop = h('button', {class: 'quiet', onclick: () => ending.abort()});
  const element = h('div', {class: 'actions task'}, line, bar, stop);
  on(['task', 'language'], () => {
    element.hidden = !state.task;
    if (element.hidden) return;
    const {kind, name, loaded, total} = state.task;
    bar.value = total > 0 ? loaded / total : 0;
    line.textContent = t(`storage.${kind}.now`, {name, share: percent(bar.value, 0)});
    bar.setAttribute('aria-label', line.textContent);
    stop.textContent = t('ask.stop');
  });
  return element;
}

/** The card of storage. */
export function storage(word) {
  const facts = h('div', {class: 'room'});
  const list = h('ul', {class: 'plain stored'});
  const chooser = h('label', {class: 'file'}, word('span', 'storage.import'),
    h('input', {type: 'file', onchange: take, accept: '.gguf,.safetensors,.json,.jinja', multiple: true}));
  on(['room', 'keeps', 'language'], () => facts.replaceChildren(...room().filter(Boolean)));
  on(['stored', 'checks', 'busy', 'phase', 'model', 'source', 'language'], () => {
    list.hidden = state.stored.length === 0;
    rearrange(list, state.stored.map(row));
  });
  return h('section', {class: 'card', id: 'storage', 'aria-labelledby': 'storage-title'},
    word('h2', 'storage.title', {id: 'storage-title'}), facts, list, task(),
    word('p', 'storage.import.text', {class: 'small'}), h('div', {class: 'actions'}, chooser));
}
