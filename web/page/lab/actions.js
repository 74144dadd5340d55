// What a person can do in the lab. One thing at a time; each can be stopped, and the base stays as it was.
import {hearth} from '../actions.js';
import {answer, compared, led, prompt, together} from './compare.js';
import {clock} from './clock.js';
import {edit, redo, undo} from './history.js';
import {fromRecipe, summary, toRecipe} from './recipe.js';
import {baseOf, groupOf, hash, isOf, nextNumber} from './runs.js';
import {fewestBits} from './search.js';
import {speed} from './speed.js';
import {contextOf, lab, set} from './state.js';
import {sample} from './texts.js';
import {joined} from '../pieces.js';
import {isStale} from '../shell/keeper.js';
import {set as setPage} from '../store.js';

let stopping;

/** Addresses that this page itself has asked for. */
let asked = 0;
if (globalThis.PerformanceObserver) {
  new PerformanceObserver(list => {
    asked += list.getEntries().filter(({name}) => name.startsWith('http')).length;
  }).observe({type: 'resource'});
}

/** Runs a task that can be stopped, `task({signal, onProgress})`; what goes wrong is told. Undefined if it came to no end. */
async function job(kind, task) {
  if (lab.busy) return undefined;
  const {signal} = stopping = new AbortController();
  const tick = clock();
  const before = asked;
  const onProgress = progress => {
    if (!signal.aborted) set({job: {kind, ...tick(progress), requests: asked - before}});
  };
  set({busy: kind, job: {kind, ...tick({what: 'starting'})}, error: null});
  try {
    const result = await task({signal, onProgress});
    signal.throwIfAborted();
    return result;
  } catch (error) {
    if (!signal.aborted) {
      console.error(error);
      set({error: {code: error.code ?? 'internal', message: error.message}});
    }
    return undefined;
  } finally {
    set({busy: null, job: null});
  }
}

export function stop() {
  stopping?.abort();
}

/** Opens a base: `source` as for `hearth.lab`. */
export async function open(source, name) {
  if (isStale()) return set({error: {code: 'stale', message: 'the lab of another version would be fetched'}});
  const session = await job('open', async ({signal, onProgress}) => (await hearth()).lab(source, {
    signal, onProgress: ({phase, loaded, total}) => onProgress({what: phase, done: loaded, of: total}),
  }));
  if (!session) return undefined;
  lab.session?.close();
  const protocols = session.protocols.map(({name}) => name);
  const protocol = protocols.includes(lab.check.protocol) ? lab.check.protocol : protocols[0];
  set({
    session, name, opened: source, source: typeof source === 'string' ? source : null,
    check: {...lab.check, protocol}, map: null, tensor: null, comparison: null,
  });
  setPage({stored: await (await hearth()).stored()});
  // A recipe of another Hearth may have steps that this one has not.
  const known = ({method}) => session.methods.some(({name}) => name === method);
  if (!lab.recipe.steps.every(known)) change({...lab.recipe, steps: lab.recipe.steps.filter(known)});
}

const go = edits => set({edits, recipe: edits.now});
export const change = bench => go(edit(lab.edits, bench));
export const undoChange = () => go(undo(lab.edits));
export const redoChange = () => go(redo(lab.edits));
export const take = recipe => change(fromRecipe(recipe, lab.session.methods));

/** What has a use, with its name: a text, `{name, text}`, or, to calibrate, an importance matrix, `{name, imatrix}`. */
export async function textOf(use) {
  const choice = lab.chosen[use];
  if (choice === 'imatrix') return {name: lab.imatrix?.name ?? '', imatrix: lab.imatrix};
  if (choice === 'own') return lab.own[use];
  return {name: `${choice}-${use}.txt`, text: await sample(choice, use)};
}

const stem = name => name.replace(/\.(gguf|safetensors)$/i, '').replace(/[^\w.-]+/g, '-');

/** Makes a smaller model by a recipe, measures it, and keeps the run. */
async function make(recipe, {signal, onProgress}) {
  const {session, check} = lab;
  const [calibration, test] = await Promise.all([textOf('calibration'), textOf('test')]);
  const before = asked;
  const made = await session.compress(recipe, {...calibration, signal, onProgress});
  const {protocol, tokens} = check;
  const context = contextOf(lab);
  const quality = await session.evaluate(made.file, {
    text: test.text, calibration: calibration.text, protocol, context, tokens, signal, onProgress,
  });
  const [work, base_work] = [await session.work(made.file), await session.work(null)];
  const requests = asked - before;
  const timed = check.speed && !session.info.encoder;
  const fast = timed ? await speed(await hearth(), made.file, {signal, onProgress}) : undefined;
  signal.throwIfAborted();
  const name = summary(recipe, session.methods);
  const run = {
    id: crypto.randomUUID?.() ?? String(Date.now()), when: new Date().toISOString(), name,
    base: {name: lab.name, ...baseOf(session.info), work: base_work}, recipe: made.recipe,
    calibration: {name: calibration.name || 'own', ...made.recipe.calibration},
    test: {name: test.name || 'own', hash: hash(test.text), protocol, context, tokens},
    quality, work, speed: fast, requests, ms: made.ms, peak_memory_bytes: made.peak_memory_bytes,
    sizes: {file_bytes: made.file.size, tensor_bytes: made.info.tensor_bytes, resident_bytes: work.resident_bytes},
    device: {agent: navigator.userAgent, cores: navigator.hardwareConcurrency},
  };
  const group = groupOf(run);
  run.n = nextNumber(lab.runs, group);
  const file = new File([made.file], `${stem(lab.name)}-${stem(name)}.gguf`);
  set({runs: [...lab.runs, run], files: new Map([...lab.files, [run.id, file]]), shown: run.id, group});
  return run;
}

/** Follows the recipe on the bench. */
export const run = () => job('run', about => make(toRecipe(lab.recipe), about));

/** Looks for the fewest bits with which the recipe's gates hold; every try is a run. The best is taken to the bench. */
export async function search() {
  const best = await job('search', async about => {
    const tries = fewestBits(toRecipe(lab.recipe));
    let next = tries.next();
    while (!next.done) next = tries.next(await make(next.value, about));
    return next.value;
  });
  if (best) {
    set({shown: best.id});
    take(best.recipe);
  }
}

const keep = (id, more) => set({runs: lab.runs.map(run => run.id === id ? {...run, ...more} : run)});

/** How fast a run's model is, or, with the id 'base', the base itself. */
export async function measureSpeed(id) {
  const source = id === 'base' ? lab.opened : lab.files.get(id);
  const found = await job('speed', async about => speed(await hearth(), source, about));
  if (!found) return;
  if (id !== 'base') return keep(id, {speed: found});
  set({runs: lab.runs.map(run => isOf(run, lab.session.info) ? {...run, base_speed: found} : run)});
}

export function forget(id) {
  const files = new Map(lab.files);
  files.delete(id);
  set({runs: lab.runs.filter(run => run.id !== id), files, shown: null});
}

/** The text that calibrates; throws where there is none. */
async function calibrating() {
  const {name, text} = await textOf('calibration');
  if (text === undefined) throw Object.assign(new Error('this reads a text: choose one to calibrate with'), {code: 'no_text'});
  return {name, text};
}

/** Measures which tensors bear how much. */
export async function drawMap(formats) {
  const map = await job('map', async about => {
    const {text} = await calibrating();
    return lab.session.sensitivity({text, formats, ...about});
  });
  if (map) set({map});
}

/** The calibration text as an importance matrix; undefined if it was stopped. */
export const makeImatrix = () => job('imatrix', async about => {
  const {calibration: {tokens, length}} = lab.recipe;
  return lab.session.imatrix({...await calibrating(), tokens, length, ...about});
});

/** An adapter that brings a run's model nearer to the base; undefined if it was stopped. */
export const makeAdapter = id => job('adapter', async about => {
  const {tokens, length} = lab.runs.find(run => run.id === id).recipe.calibration;
  const {text} = await calibrating();
  const {file} = await lab.session.adapter(lab.files.get(id), {text, tokens, length, ...about});
  return new File([file], lab.files.get(id).name.replace(/\.gguf$/, '-lora.gguf'));
});

/** The base's and a run's answers to a prompt, one model after the other in memory. */
export async function compare(id, text, count) {
  const comparison = await job('compare', async ({signal, onProgress}) => {
    const api = await hearth();
    const load = source => api.load(source, {device: 'cpu', signal});
    const told = what => ({signal, onStep: done => onProgress({what, done, of: count})});
    const base = await load(lab.opened);
    let tokens, said;
    try {
      tokens = await prompt(base, text);
      said = await answer(base, tokens, count, told('answering'));
    } finally {
      base.unload();
    }
    const other = await load(lab.files.get(id));
    try {
      const guessed = await led(other, tokens, said.map(({id}) => id), told('comparing'));
      const own = await answer(other, tokens, count, told('answering'));
      const words = joined(own.map(({bytes}) => bytes));
      return {id, prompt: text, tokens: compared(said, guessed), own: words, together: together(said, own)};
    } finally {
      other.unload();
    }
  });
  if (comparison) set({comparison});
}
