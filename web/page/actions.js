// What a person can do: load a model, ask, stop, begin anew.
import {Hearth} from '../hearth.js';
import {answerTurn} from './chat/answers.js';
import {add, fresh, newTurn, open, remove, stay, take} from './chat/conversations.js';
import {weigh} from './chat/weigh.js';
import {counter, network} from './network.js';
import {sizeOf, smallerThan, ways} from './rescue.js';
import {coming, state, set} from './store.js';

let opening;
let loading;
/** What the model in use was loaded from, and the device it runs on: `{source, name, store, device}`. */
let used;
/** Ends what the model is doing for us. */
let working;
/** The work under way, as a promise that never fails; undefined while the engine is free. */
let running;
/** What is to be answered once there is a model and it is free: see `answer`. */
let waiting;

/** The API, opened once. */
export function hearth() {
  opening ??= Hearth.open({networkWorker: 'file'}).catch(error => {
    opening = undefined;
    throw error;
  });
  return opening;
}

export function fail(error, actions = [], kept) {
  console.error(error);
  set({error: {code: error.code ?? 'internal', message: error.message, actions, kept}});
  // On narrow screens the settings hide the place where errors are shown.
  if (state.view === 'settings') set({view: 'chat'});
}

const idle = () => set({phase: state.model ? 'ready' : 'none', progress: null});

/**
 * Loads a model: `source` as for `hearth.load`, `name` for people; `store: false` keeps it in this tab's memory alone. The model in
 * use stays until the new one is ready.
 */
export async function load(source, name, {store = true} = {}) {
  loading?.abort();
  const mine = loading = new AbortController();
  set({wanted: {source, name}, phase: 'load', progress: null, error: null});
  const traffic = counter();
  try {
    const api = await hearth();
    const model = await api.load(source, {
      device: state.device, signal: mine.signal, network: network(), store,
      onProgress: progress => {
        traffic.count(progress.received);
        if (loading !== mine) return;
        // A person asked for something large: the browser should not throw it away.
        if (progress.phase === 'download' && state.phase !== 'download' && store) api.storage.persist();
        set({phase: progress.phase, progress});
      },
    });
    if (loading !== mine) return model.unload();
    // What waits is for the new one.
    const held = waiting;
    waiting = undefined;
    stop();
    await running;
    waiting ??= held;
    // Meanwhile it may have been paused, or another chosen.
    if (loading !== mine) return model.unload();
    state.model?.unload();
    const kept = typeof source === 'string' ? source : null;
    used = {source, name, store, device: model.timings.device};
    model.onlost = (error, device) => lost(model, error, device);
    set({model, verdict: model.verdict, name, source: kept, phase: 'ready', wanted: null, progress: null, timings: null});
  } catch (error) {
    if (loading !== mine) return;
    const kept = state.phase === 'download' ? state.progress : undefined;
    idle();
    if (error.code === 'aborted') return;
    const again = () => load(source, name, {store});
    // Of a download it is the store's worker that was ended.
    const code = kept && error.code === 'crashed' ? 'stopped' : error.code;
    fail({code, message: error.message}, ways(code, {
      again: [kept?.loaded > 0 ? 'error.goon' : 'error.retry', again],
      unstored: store && ['error.memory', () => load(source, name, {store: false})],
      ...otherModels(source, name, store, code === 'gpu' || state.device === 'gpu'),
    }), kept);
    if (error.code === 'network' && !navigator.onLine) goOnOnline(again);
  } finally {
    traffic.end();
    if (!coming()) next();
  }
}

/** Ways to have a model where `source` does not run as it was to, on a GPU or not; `then` does what it is wanted for. */
function otherModels(source, name, store, gpu, then = () => {}) {
  const {model, catalog, stored} = state;
  const instead = (before, ...from) => () => {
    before();
    then();
    load(...from);
  };
  const same = [source, name, {store}];
  const smaller = smallerThan(sizeOf(source, catalog ?? [], stored), catalog ?? []);
  return {
    cpu: gpu && ['error.usecpu', instead(() => set({device: 'cpu'}), ...same)],
    // Two models were in memory.
    alone: model && used.source !== source && ['error.alone', instead(dropModel, ...same), {name: used.name}],
    smaller: smaller && ['error.smaller', instead(() => {}, smaller.id, smaller.name), {name: smaller.name}],
  };
}

function dropModel() {
  state.model?.unload();
  set({model: null});
  if (!coming()) idle();
}

/** The engine of a model has failed; `device` takes over, or the model is gone. */
function lost(model, error, device) {
  if (state.model !== model) return;
  if (device) {
    used.device = device;
    // Who asks for anything waits for the other.
    model.tokenize('').then(() => set({verdict: model.verdict}), () => {});
    return fail({code: 'taken_over', message: error.message});
  }
  dropModel();
  // What is under way fails, too, and tells of it, unless it has been left.
  if (!running || working.signal.aborted) failed(error);
}

/** Goes on with a download when there is a network again, unless the person has turned to something else. */
function goOnOnline(goOn) {
  const {error} = state;
  addEventListener('online', () => {
    if (state.error === error) goOn();
  }, {once: true});
}

/** Uses another device; a model that is in use and can be had again moves there. */
export function useDevice(device) {
  set({device});
  const {model, source, name} = state;
  if (model && source) load(source, name);
}

/** Stops a download; what has arrived stays. */
export function pause() {
  loading?.abort();
  loading = undefined;
  idle();
}

/** Adds a person's turn behind `parent`, by itself the last one, and answers it, or waits for the model if there is none yet. */
export function ask(content, files = [], parent = state.messages.at(-1)?.id ?? null) {
  if (!content.trim() && files.length === 0) return;
  const turn = newTurn(parent, {role: 'user', content, ...files.length > 0 ? {files} : {}});
  set({error: null});
  add(turn);
  answer({to: turn.id});
}

/**
 * Makes an answer to the turn `to`, by itself the last question; if it has answers already, another one, which is shown once it
 * begins. `turn`: an answer that goes on instead; `begin`: tokens to begin with.
 */
export function answer(job = {to: state.messages.findLast(({role}) => role === 'user')?.id}) {
  waiting = {...job, by: state.name};
  // Who asks does not wait for figures.
  if (state.weighing) stop();
  next();
}

function next() {
  if (!waiting || !state.model || running) return;
  const {by, ...asked} = waiting;
  // Tokens mean something else to another model: that one begins anew.
  const job = asked.begin && by !== state.name ? {to: asked.to} : asked;
  waiting = undefined;
  if (!state.turns.has(job.to)) return;
  work(signal => answerTurn(job, signal, failed));
}

/** Does what only one can do at a time, then what waits. */
function work(task) {
  working = new AbortController();
  running = task(working.signal).catch(failed).finally(() => {
    running = undefined;
    next();
  });
}

/** Something that the model did has failed. `rest`: what is left of an answer, see `answer`; what there is of it stays. */
function failed(error, rest) {
  const {source, name, store, device} = used;
  // With no memory left the next thing would fail, too; an engine of its own begins with less.
  if (['crashed', 'out_of_memory'].includes(error.code)) dropModel();
  // Another model is on its way.
  if (coming()) return fail(error);
  const others = otherModels(source, name, store, device === 'gpu', rest && (() => answer({to: rest.to})));
  const withModel = act => () => {
    act();
    if (!state.model) load(source, name, {store});
  };
  fail(error, ways(error.code, {
    ...others,
    again: (rest || !state.model)
      && [rest?.begin?.length > 0 ? 'error.goon' : 'error.retry', withModel(() => rest && answer(rest))],
    fresh: state.messages.length > 0 && ['error.newchat', withModel(newChat)],
  }));
}

/** Finds how likely the model in use finds an answer, token by token. */
export function weighAnswer(turn) {
  if (state.model && !running) work(signal => weigh(turn, signal));
}

/**
 * Measures the model in use by `bench`: that of bench/run.js, which the chat has no use for. The conversation stays; the model will
 * read it again.
 */
export function measure(bench) {
  if (state.model && !running) work(signal => measureNow(bench, signal));
}

async function measureNow(bench, signal) {
  const {model, name} = state;
  set({bench: {done: 0, all: 1}, error: null});
  try {
    set({benchResult: await bench(await hearth(), model, name, {signal, onProgress: bench => set({bench})})});
  } catch (error) {
    if (!signal.aborted) failed(error);
  } finally {
    set({bench: null});
  }
}

export function stop() {
  working?.abort();
}

/** Leaves the conversation; an answer that is being made stays as it is. */
function leave() {
  waiting = undefined;
  stop();
  set({error: null, timings: null, files: [], refused: []});
}

/** The browser has thrown away what it kept for this page; the conversation that is shown has been put back. */
export async function emptied() {
  const {storage} = await hearth();
  const look = async () => set({stored: await storage.list(), room: await storage.room()});
  const shown = state.conversation?.id;
  fail({code: 'evicted', message: 'the database was closed from outside: the disk is full, or the site\'s data were deleted'}, [
    ['storage.persist', () => storage.persist().then(look).catch(fail)],
    // Perhaps it was a person, and meant.
    shown && ['error.forget', () => deleteChats([shown])],
  ].filter(Boolean));
  const files = await globalThis.caches?.keys();
  if (files?.length === 0) set({kept: {message: 'the browser has thrown them away'}});
  await look();
}

export function newChat() {
  leave();
  fresh();
}

export function openChat(id) {
  if (id === state.open) return state.conversation ? stay() : open(id);
  leave();
  return open(id);
}

export function deleteChats(ids) {
  if (ids.includes(state.open)) leave();
  return remove(ids);
}

/** Takes in conversations from a file and shows the first. */
export async function importChats(conversations) {
  await take(conversations);
  leave();
  await open(conversations[0].id);
}
