// What a person can do: load a model, ask, stop, begin anew.
import {Hearth} from '../hearth.js';
import {bench} from './bench/run.js';
import {counter, network} from './network.js';
import {state, set} from './store.js';

let opening;
let loading;
let answering;
/** The answer under way, as a promise that never fails. */
let running;
/** The last turn waits for a model, or for the answer before it to end. */
let queued = false;
/** Counts conversations: an answer belongs to the one it was asked in. */
let chat = 0;

/** The API, opened once. */
export function hearth() {
  opening ??= Hearth.open().catch(error => {
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
    stop();
    await running;
    state.model?.unload();
    const kept = typeof source === 'string' ? source : null;
    set({model, verdict: model.verdict, name, source: kept, phase: 'ready', wanted: null, progress: null, timings: null});
    if (queued) answer();
  } catch (error) {
    if (loading !== mine) return;
    const kept = state.phase === 'download' ? state.progress : undefined;
    idle();
    if (error.code === 'aborted') return;
    const again = [kept?.loaded > 0 ? 'error.goon' : 'error.retry', () => load(source, name, {store})];
    const inMemory = ['error.memory', () => load(source, name, {store: false})];
    const onCpu = ['error.usecpu', () => {
      set({device: 'cpu'});
      load(source, name);
    }];
    const unstored = ['quota', 'database', 'forgotten'].includes(error.code) && store;
    fail(error, {invalid_input: [], gpu: [onCpu, again]}[error.code] ?? (unstored ? [inMemory, again] : [again]), kept);
    if (error.code === 'network' && !navigator.onLine) goOnOnline(again[1]);
  } finally {
    traffic.end();
  }
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

/** Adds a person's turn and answers it, or waits for the model if there is none yet. */
export function ask(content) {
  if (!content.trim()) return;
  set({messages: [...state.messages, {role: 'user', content}], error: null});
  answer();
}

/** Answers the last turn; if it has an answer already, makes another, which takes its place once it begins. */
export function answer() {
  queued = !state.model || state.answering || state.bench !== null;
  if (!queued) running = reply();
}

async function reply() {
  const mine = chat;
  const {model, system} = state;
  const history = [...state.messages];
  while (history.at(-1)?.role === 'assistant') history.pop();
  const messages = history.map(({role, content}) => ({role, content}));
  if (system.trim()) messages.unshift({role: 'system', content: system});
  const {seed, ...sampling} = state.sampling;
  const options = seed === '' ? sampling : {...sampling, seed: Math.max(0, Math.floor(Number(seed)))};
  const show = (turn, more = {}) => {
    if (mine === chat) set({messages: [...history, {role: 'assistant', ...turn}], ...more});
  };
  answering = new AbortController();
  let content = '';
  let reasoning = '';
  let finish = 'stopped';
  set({answering: true});
  try {
    for await (const step of model.generate({messages, ...options, signal: answering.signal})) {
      content += step.content ?? step.text;
      reasoning += step.reasoning ?? '';
      finish = step.finish ?? finish;
      set({reading: step.prompt_left, verdict: model.verdict});
      if (content || reasoning) show({content, reasoning});
    }
    if (content || reasoning) show({content, reasoning, meta: {...model.timings, finish}}, {timings: model.timings});
  } catch (error) {
    if (error.code === 'crashed') {
      model.unload();
      set({model: null});
      idle();
    }
    if (mine === chat) fail(error, [error.code === 'prompt_too_long' ? ['error.newchat', newChat] : ['error.retry', retry]]);
  } finally {
    set({answering: false, reading: 0});
  }
  if (queued) answer();
}

function retry() {
  answer();
  const {model, source, name} = state;
  if (!model && source) load(source, name);
}

/** Measures the model in use. The conversation stays; the model will read it again. */
export function measure() {
  if (!state.model || state.answering || state.bench) return;
  running = measureNow();
}

async function measureNow() {
  const {model, name} = state;
  const {signal} = answering = new AbortController();
  set({bench: {done: 0, all: 1}, error: null});
  try {
    set({benchResult: await bench(await hearth(), model, name, {signal, onProgress: bench => set({bench})})});
  } catch (error) {
    if (error.name !== 'AbortError') fail(error);
  } finally {
    set({bench: null});
  }
  if (queued) answer();
}

export function stop() {
  answering?.abort();
}

export function newChat() {
  chat += 1;
  queued = false;
  stop();
  set({messages: [], error: null, timings: null});
}
