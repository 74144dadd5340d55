// What a person can do: load a model, ask, stop, begin anew.
import {Hearth} from '../hearth.js';
import {state, set} from './store.js';

let opening;
let loading;
let answering;
let queued = false;

/** The API, opened once. */
export function hearth() {
  opening ??= Hearth.open().catch(error => {
    opening = undefined;
    throw error;
  });
  return opening;
}

export function fail(error, actions = []) {
  console.error(error);
  set({error: {code: error.code ?? 'internal', message: error.message, actions}});
}

/** Loads a model: `source` as for `hearth.load`, `name` for people. The model in use stays until the new one is ready. */
export async function load(source, name) {
  loading?.abort();
  const mine = loading = new AbortController();
  const kept = typeof source === 'string';
  const before = state.model;
  set({phase: 'load', name, progress: null, error: null, ...(kept ? {source} : {})});
  try {
    const model = await (await hearth()).load(source, {
      signal: mine.signal,
      onProgress: progress => {
        if (loading === mine) set({phase: progress.phase, progress});
      },
    });
    if (loading !== mine) return model.unload();
    before?.unload();
    set({model, phase: 'ready', progress: null, timings: null});
    if (queued) answer();
  } catch (error) {
    if (loading !== mine) return;
    set({phase: before ? 'ready' : 'none'});
    if (mine.signal.aborted || error.code === 'aborted') return;
    const again = error.code === 'invalid_input' ? [] : [[state.progress?.loaded ? 'error.goon' : 'error.retry', () => load(source, name)]];
    fail(error, again);
  }
}

/** Stops a download; what has arrived stays. */
export function pause() {
  loading?.abort();
  loading = undefined;
  set({phase: state.model ? 'ready' : 'none'});
}

/** Adds a person's turn and answers it, or waits for the model if there is none yet. */
export function ask(content) {
  if (!content.trim()) return;
  set({messages: [...state.messages, {role: 'user', content}], error: null});
  answer();
}

/** Answers the last turn. */
export async function answer() {
  queued = !state.model;
  if (queued || state.answering) return;
  const {system, model} = state;
  const history = state.messages;
  const asked = history.map(({role, content}) => ({role, content}));
  if (system.trim()) asked.unshift({role: 'system', content: system});
  answering = new AbortController();
  let content = '';
  let finish = 'stopped';
  set({answering: true, messages: [...history, {role: 'assistant', content}]});
  const {seed, ...sampling} = state.sampling;
  const options = seed === '' ? sampling : {...sampling, seed: Number(seed)};
  try {
    for await (const step of model.generate({messages: asked, ...options, signal: answering.signal})) {
      content += step.text;
      finish = step.finish ?? finish;
      set({reading: step.prompt_left, messages: [...history, {role: 'assistant', content}]});
    }
    const meta = {...model.timings, finish};
    set({messages: [...history, {role: 'assistant', content, meta}], timings: model.timings});
  } catch (error) {
    // What was said stays; an answer that never began leaves the question alone.
    set({messages: content ? [...history, {role: 'assistant', content}] : history});
    if (error.code === 'crashed') set({model: null, phase: 'none'});
    fail(error, error.code === 'prompt_too_long' ? [['error.newchat', newChat]] : [['error.retry', retry]]);
  } finally {
    answering = undefined;
    set({answering: false, reading: 0});
  }
}

function retry() {
  set({error: null});
  if (!state.model && state.source) {
    queued = true;
    load(state.source, state.name);
  } else {
    answer();
  }
}

/** Makes the last answer again. */
export function regenerate() {
  if (state.answering) return;
  const messages = [...state.messages];
  while (messages.at(-1)?.role === 'assistant') messages.pop();
  set({messages});
  answer();
}

export function stop() {
  answering?.abort();
}

export function newChat() {
  stop();
  queued = false;
  set({messages: [], error: null, timings: null});
}
