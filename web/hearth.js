// Hearth's JavaScript API: language models that run in this tab.
//
//   import {Hearth} from './hearth.js';
//   const hearth = await Hearth.open();
//   const model = await hearth.load('smollm2-135m-instruct-q4_1', {onProgress: p => console.log(p.loaded, p.total)});
//   for await (const step of model.generate({messages: [{role: 'user', content: 'Hello'}]})) show(step.text);
//   console.log(model.timings);
//
// Two workers do the work. One may use the network and never sees text; one sees text and can connect to nothing. The
// second is made inside an empty frame whose policy (`WALL`) has no source but blobs for workers: one made there inherits that
// policy, so it can neither connect nor load a script, on any static host and from the first visit on. The page compiles
// the module and posts it. Helpers of the second stand behind the same wall, and so does the compression lab's (lab.js).

import {
  bestBuild, fetchBuild, fetchPrograms, get, HearthError, memoryFor, networkWorker, onRequests, Remote, startEngine, WALL,
} from './worker/start.js';
import {Lab} from './lab.js';
import {Model} from './model.js';
import {check, memoryForecast, meter, Storage} from './storage.js';
import {direct, titleOf, typed} from './worker/addresses.js';
import {fileBytes, given, nameOf, wanted} from './worker/files.js';
import {arePlain, findAdapter, judge, kernelsOf, PLAIN, verdicts} from './worker/device.js';

export {direct, HearthError, Lab, memoryForecast, Model, nameOf, onRequests, Storage, titleOf, typed, WALL};

const BASE = new URL('./', import.meta.url);
const BUILDS = ['base', 'threads', 'threads-relaxed'];
const DEVICES = ['auto', 'cpu', 'gpu'];
/** What a team in the engine takes. */
const MOST_THREADS = 64;
/** Bytes that `measure` reads. */
const MEASURED = 128 << 20;

const json = async path => (await get(path)).json();

/** What was found best on this device for a build and a model's size, `{kernel, threads}`; kept where the browser lets us. */
const tuning = {
  key: (build, {weight_bytes_per_token}) =>
    `hearth.tuning.1/${build}/${navigator.hardwareConcurrency}/${weight_bytes_per_token}`,
  read(...about) {
    try {
      const {kernel, threads} = JSON.parse(localStorage.getItem(tuning.key(...about)));
      if (typeof kernel !== 'string' || !(threads === undefined || (Number.isInteger(threads) && threads >= 1))) return {};
      return {kernel, threads};
    } catch {
      return {};
    }
  },
  keep(found, ...about) {
    try {
      localStorage.setItem(tuning.key(...about), JSON.stringify(found));
    } catch {
      // It is timed again at the next load.
    }
  },
};

/** How many threads to start; 'auto' starts one for each core, up to eight, and lets timing decide how many to use. */
function threadsFor(asked, build) {
  const cores = navigator.hardwareConcurrency || 1;
  if (asked !== 'auto' && !(Number.isInteger(asked) && asked >= 1)) {
    throw new HearthError('invalid_input', `threads is ${asked}; give a whole number from 1 on, or 'auto'`);
  }
  if (build === 'base') return 1;
  return Math.min(asked === 'auto' ? 8 : asked, cores, MOST_THREADS);
}

export class Hearth {
  #build;
  #modules = new Map();
  #programs;
  #catalog;

  /** What this browser keeps of models: see storage.js. */
  storage;

  /**
   * Compiles the engine and opens the browser's storage. `build`: 'threads-relaxed', 'threads' or 'base'; by itself the best
   * that this browser and the page's headers allow. `networkWorker`: 'file' for a page whose policy keeps it from other hosts, and
   * allows `worker-src 'self'`; by itself 'blob', which also works where this library lies on another host.
   */
  static async open({build, networkWorker: made = 'blob'} = {}) {
    const hearth = new Hearth();
    if (typeof WebAssembly !== 'object') throw new HearthError('no_wasm', 'this browser has no WebAssembly');
    const best = bestBuild();
    build ??= best;
    if (!BUILDS.includes(build) || BUILDS.indexOf(build) > BUILDS.indexOf(best)) {
      throw new HearthError('invalid_input', `build is ${build}; the best that runs here is ${best}`);
    }
    hearth.#build = build;
    const [store, programs] = await Promise.all([fetchBuild('store'), fetchPrograms(), hearth.#module(build, 'engine')]);
    hearth.#programs = programs;
    const start = () => new Remote(networkWorker(store.glue, programs, made === 'file'), 'store');
    hearth.storage = await Storage.open(start, store.module, () => hearth.catalog(), new URL('models/shards', BASE).href);
    return hearth;
  }

  /** The build in use. */
  get build() {
    return this.#build;
  }

  /** The models we know: `{models: [{id, name, size_bytes, licence, ...}]}`. */
  async catalog() {
    this.#catalog ??= await json('models/catalog.json');
    return this.#catalog;
  }

  /** What is stored: `[{plan: {key, name, url, size_bytes}, stored_bytes, whole, used_ms, held}]`, a model in several files as one. */
  async stored() {
    return this.storage.list();
  }

  /** Bytes stored of a catalog's model. */
  async storedBytes(id) {
    return this.storage.bytes(id);
  }

  /** Removes a stored model. */
  async remove(key) {
    await this.storage.remove(key);
  }

  /**
   * Loads a model. `source`: an id of the catalog; the address (with a slash in it, or a URL) of a GGUF file, of one of its
   * parts, of a safetensors file (its folder's other files are fetched, too), or of a Hugging Face model or folder
   * (`https://huggingface.co/ORG/NAME`, `.../resolve/main/`, `hf:ORG/NAME/FILE`, `hf:ORG/NAME`); the file itself (File,
   * Blob, ArrayBuffer); or an array of files or a FileList: all parts of a GGUF file, or a Hugging Face folder's config.json,
   * tokenizer.json and safetensors, and what lies beside them.
   * `device`: 'cpu', 'gpu' where the browser has WebGPU, or 'auto', which takes the GPU if a trial of both finds it right and
   * faster; the trial, of some seconds, is made once for each adapter, browser and size of model, after one of kernels, of a
   * second or two, made once for each adapter and browser. `threads`: a number (at most
   * the device's cores are used), or 'auto'. `context`: positions at most, by itself 8192 on the CPU and 4096 on the GPU, and of
   * models whose positions turn otherwise in long contexts (LongRoPE, dynamic NTK) no more than do not.
   * `adapter`: a LoRA file for the model, GGUF (File, Blob, ArrayBuffer), applied beside the weights; on the CPU.
   * `onProgress({phase: 'download' | 'load' | 'trial', loaded, total, bytes_per_second, seconds_left, elsewhere, checking,
   * received})`; `received`: all bytes that came over the network. `signal` stops it; what was downloaded stays.
   * `network`: `{connections, attempts, budget_bytes, hub}`: requests at once (4), failures in a row after which a server is given
   * up (7), bytes that may be received, and an address that has what https://huggingface.co has. `mirrors`: other addresses of the
   * same file. `store: false` keeps the model in this tab's memory alone.
   */
  async load(source, {device = 'auto', threads = 'auto', context, adapter, onProgress, signal, network, mirrors, store} = {}) {
    const start = performance.now();
    threadsFor(threads, this.build);
    if (!DEVICES.includes(device)) {
      throw new HearthError('invalid_input', `device is ${device}; ${DEVICES.join(', ')} are known`);
    }
    if (adapter && device === 'gpu') {
      throw new HearthError('invalid_input', 'adapters run on the CPU: load the model there, or merge the two in the lab');
    }
    const set = await this.#files(source, {onProgress, signal, network, mirrors, store});
    const lora = adapter && await fileBytes('the adapter', adapter);
    const run = (device, options = {}) =>
      this.#run(set, {device, threads, context, adapter: lora, phase: 'load', signal, onProgress, ...options});
    const [running, verdict, failed] = device === 'auto' && adapter ? [await run('cpu'), {device: 'cpu', why: 'adapter'}]
      : device === 'auto'
      ? await this.#choose(run, {size: set.size, threads, signal})
      : [await run(device), {device, why: 'asked'}];
    // Only a GPU needs somebody to take over, and the file for it.
    const lost = async error => {
      failed?.(error);
      // Perhaps it was its kernels.
      kernelsOf.forget(this.build, (await findAdapter())?.key);
    };
    const spare = running.fixed.device === 'gpu'
      ? {run: () => run('cpu', {signal: undefined, onProgress: undefined}), lost}
      : undefined;
    return new Model(running, {...verdict, load_ms: performance.now() - start}, spare);
  }

  /**
   * Opens the compression lab on a model, the base; `source` and options as for `load`. See lab.js.
   */
  async lab(source, options = {}) {
    const {threads = 'auto', onProgress, signal} = options;
    threadsFor(threads, this.build);
    const set = await this.#files(source, options);
    const start = async () => {
      // What is made lies beside the base.
      const engine = await this.#start(2 * set.size, 'lab');
      return {...engine, threads: threadsFor(threads, engine.build)};
    };
    return Lab.open(set, start, {report: meter('load', set.size, onProgress), signal});
  }

  /** The files of a model, fetched if they are not given. */
  async #files(source, options) {
    check(options.signal);
    const address = typeof source === 'string' || source instanceof URL;
    const set = address ? await this.storage.fetch(String(source), options) : given(source);
    check(options.signal);
    return set;
  }

  /** A model in an engine of its own: `{engine, started, info, fixed}`. */
  async #run(set, {device, threads, context, adapter: lora, phase, kernels, onProgress, signal}) {
    const engine = await this.#start(set.size);
    const {remote} = engine;
    try {
      const gpu = device === 'gpu';
      const count = gpu ? 1 : threadsFor(threads, engine.build);
      await engine.init();
      const about = gpu && [engine.build, (await findAdapter())?.key];
      if (gpu) kernels ??= kernelsOf.read(...about);
      const {adapter, kernels: used} = await remote.call('begin', {
        device, threads: count, context, kernels, files: set.files, adapter: lora,
      });
      // A tab in the background is slowed down.
      if (gpu && !kernels && !document.hidden) kernelsOf.keep(used, ...about);
      const joined = engine.join(count); // never fails
      const report = meter(phase, set.size, onProgress);
      let loaded = 0;
      for await (const bytes of wanted(set, () => remote.call('wants'))) {
        check(signal);
        loaded += bytes.byteLength;
        await remote.call('push', {bytes}, {transfer: [bytes]});
        // Beginnings and small files come on top of the weights.
        report(Math.min(loaded, set.size));
      }
      const info = await remote.call('finish');
      const started = await joined;
      const tuned = gpu
        ? await remote.call('use', {tuning: {kernel: '', threads: 1}})
        : await this.#tune(remote, engine.build, info, {started, all: started === count, auto: threads === 'auto'});
      check(signal);
      return {engine, started, info, kernels: used, fixed: {...tuned, device, adapter, build: engine.build}};
    } catch (error) {
      engine.end();
      throw error;
    }
  }

  /**
   * The running model on the device that suits it, why that one (see `judge`), and what to call with an error if the GPU fails
   * later.
   */
  async #choose(run, {size, threads, signal}) {
    const adapter = await findAdapter();
    if (!adapter) return [await run('cpu'), {device: 'cpu', why: navigator.gpu ? 'no_adapter' : 'no_webgpu'}];
    const about = [this.build, threads, size, adapter.key];
    const failed = error => {
      const verdict = {device: 'cpu', why: 'failed', adapter: adapter.name, message: error.message};
      if (['gpu', 'crashed', 'out_of_memory'].includes(error.code)) verdicts.keep(verdict, ...about);
      return verdict;
    };
    const known = verdicts.read(...about);
    if (known?.device === 'cpu') return [await run('cpu'), known];
    if (known) {
      try {
        return [await run('gpu', {kernels: known.kernels}), known, failed];
      } catch (error) {
        check(signal);
        return [await run('cpu'), failed(error)];
      }
    }
    // The CPU's model stays until the other has shown what it can.
    const cpu = await run('cpu');
    let gpu;
    const end = () => {
      cpu.engine.end();
      gpu?.engine.end();
    };
    signal?.addEventListener('abort', end);
    try {
      const said = await cpu.engine.remote.call('trial');
      let verdict;
      // Should the adapter take the whole tab down, the next load knows.
      failed(new HearthError('gpu', 'the trial did not come to its end'));
      // With the kernels that are best on a made-up matrix; with plain ones, should those be wrong here.
      for (const kernels of [undefined, PLAIN]) {
        gpu?.engine.end();
        gpu = undefined;
        try {
          gpu = await run('gpu', {phase: 'trial', kernels});
          verdict = {...judge(said, await gpu.engine.remote.call('trial')), adapter: adapter.name, kernels: gpu.kernels};
          if (verdict.why !== 'wrong') {
            // Those that were wrong are not to come back.
            if (kernels) kernelsOf.keep(PLAIN, this.build, adapter.key);
            break;
          }
          if (arePlain(gpu.kernels)) break;
        } catch (error) {
          verdicts.forget(...about);
          check(signal);
          verdict = failed(error);
          if (error.code !== 'gpu') break;
        }
      }
      // A tab in the background is slowed down.
      if (document.hidden) verdicts.forget(...about);
      else if (verdict.why !== 'failed') verdicts.keep(verdict, ...about);
      const [chosen, other] = verdict.device === 'gpu' ? [gpu, cpu] : [cpu, gpu];
      check(signal);
      other?.engine.end();
      return [chosen, verdict, failed];
    } catch (error) {
      end();
      check(signal);
      throw error;
    } finally {
      signal?.removeEventListener('abort', end);
    }
  }

  /**
   * What this device can do, without a model: `{build, bandwidth: {[threads]: bytes a second}, kernels: [{format, kernel,
   * tokens, gmacs, gigabytes}]}`. Bandwidth is that of reading memory with each of `threads` threads; `kernels: true` times
   * every kernel too, for some seconds. `signal` ends it.
   */
  async measure({threads = [1], kernels = false, budget_ms = 20, signal} = {}) {
    const engine = await this.#start(MEASURED);
    const {remote, build} = engine;
    const end = () => engine.end();
    signal?.addEventListener('abort', end);
    try {
      check(signal);
      const most = Math.max(...threads.map(count => threadsFor(count, build)));
      await engine.init();
      await remote.call('meter', {threads: most});
      const started = await engine.join(most);
      check(signal);
      const bandwidth = {};
      for (const count of threads.filter(count => count <= started)) {
        bandwidth[count] = await remote.call('bandwidth', {threads: count, budget_ms});
      }
      return {build, bandwidth, kernels: kernels ? await remote.call('kernels', {budget_ms}) : undefined};
    } catch (error) {
      check(signal);
      throw error;
    } finally {
      signal?.removeEventListener('abort', end);
      end();
    }
  }

  /** A module of a build, fetched and compiled once; again where that failed. */
  #module(build, name) {
    const key = `${build}/${name}`;
    if (!this.#modules.has(key)) {
      const coming = fetchBuild(build, name);
      coming.catch(() => this.#modules.delete(key));
      this.#modules.set(key, coming);
    }
    return this.#modules.get(key);
  }

  /**
   * Makes a worker like those that see text and tries every way out of it there is, to `url`: `[{way, outcome}]`. Where the wall
   * stands, all outcomes are 'refused: ...', with the policy's directive that did.
   */
  async tryToEscape(url) {
    const engine = await this.#start(MEASURED);
    try {
      await engine.init();
      const tried = [];
      for (const way of await engine.remote.call('ways')) {
        tried.push({way, outcome: await engine.remote.call('escape', {way, url})});
      }
      return tried;
    } finally {
      engine.end();
    }
  }

  /** A worker of this program for `size` bytes; in the build without threads where no memory can be shared. */
  async #start(size, program = 'engine') {
    const memory = this.#build === 'base' ? undefined : memoryFor(size);
    const build = memory ? this.#build : 'base';
    // The lab multiplies no bytes: relaxed SIMD would give it nothing.
    const module = await this.#module(program === 'lab' && memory ? 'threads' : build, program);
    return {...await startEngine(module, this.#programs, memory, program), build};
  }

  /**
   * Uses the fastest kernel and, if we may choose, number of the `started` threads: as found before on this device for a model
   * of this size, or by timing. What was found in a tab that is hidden or lacks helpers is not kept.
   */
  async #tune(remote, build, info, {started, all, auto}) {
    let {kernel, threads} = tuning.read(build, info);
    if (!kernel || (auto && !threads)) {
      const found = await remote.call('tune', {threads: started, fewer: auto});
      if (!found) return {kernel: 'naive', threads: 1};
      ({kernel, threads} = found);
      if (all && !document.hidden) tuning.keep(auto ? found : {kernel}, build, info);
    }
    return remote.call('use', {tuning: {kernel, threads: auto ? Math.min(threads, started) : started}});
  }
}
