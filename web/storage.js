// What this browser keeps of models: how they get here, whether they are whole, and how they leave. `hearth.storage`.
//
// A file is a row of chunks of 4 MiB, each with its SHA-256: what arrived is never fetched again, and a chunk that rots is noticed
// when it is read and fetched anew. All of it happens in a worker that never sees text (worker/store.js).
import {HearthError} from './worker/start.js';
import {direct, grouped, plansAt} from './worker/addresses.js';
import {pathOf, stored} from './worker/files.js';

const HUB = 'https://huggingface.co/';
const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** Throws if it has been asked to stop. */
export function check(signal) {
  if (signal?.aborted) throw new HearthError('aborted', 'stopped; what has arrived is kept');
}

/** Progress of a download or a load, with speed and time left from the last few seconds. */
export function meter(phase, total, onProgress) {
  const seen = [];
  return (loaded, more = {}) => {
    const now = performance.now();
    seen.push([now, loaded]);
    while (seen.length > 2 && now - seen[0][0] > 5000) seen.shift();
    const [then, before] = seen[0];
    const speed = now > then ? Math.max(0, (loaded - before) / (now - then) * 1000) : 0;
    const seconds_left = speed > 0 ? (total - loaded) / speed : undefined;
    onProgress?.({phase, loaded, total, bytes_per_second: speed, seconds_left, ...more});
  };
}

/**
 * What a model of this size needs of this tab's memory to run on the CPU, estimated: `{need_bytes, limit_bytes, verdict}`, the last
 * 'fits', 'tight' or 'too_large'. WebAssembly has 4 GiB; a tab should leave half of the device's memory to others.
 */
export function memoryForecast(size_bytes) {
  const need_bytes = Math.round(1.15 * size_bytes + 64 * MIB);
  const limit_bytes = Math.min(4 * GIB, (navigator.deviceMemory ?? 8) * GIB / 2);
  const share = need_bytes / limit_bytes;
  return {need_bytes, limit_bytes, verdict: share > 1 ? 'too_large' : share > 0.7 ? 'tight' : 'fits'};
}

export class Storage {
  #start;
  #running;
  #catalog;
  #folder;
  #jobs = 0;

  /** Whether models stay when the tab is closed; a private window may refuse, and all is held in memory. */
  keeps;

  /** `start()` starts the store's worker. `catalog()` gives the models we know, `folder` may have their shards. */
  static async open(start, module, catalog, folder) {
    const storage = new Storage();
    storage.#start = async () => {
      const remote = start();
      remote.gone.then(() => { storage.#running = undefined; });
      try {
        ({keeps: storage.keeps} = await remote.call('init', {module}));
        return remote;
      } catch (error) {
        remote.end(error);
        storage.#running = undefined;
        throw error;
      }
    };
    storage.#catalog = catalog;
    storage.#folder = folder;
    await storage.#remote();
    return storage;
  }

  /** The worker: the one there is, or a new one if the browser has ended it. */
  #remote() {
    this.#running ??= this.#start();
    return this.#running;
  }

  async #call(...all) {
    return (await this.#remote()).call(...all);
  }

  /**
   * What is here: `[{plan: {key, name, url, size_bytes}, stored_bytes, whole, used_ms, held}]`, a model in several files as one.
   * `used_ms`: when it was last loaded. `held`: some of it only in this tab's memory.
   */
  async list() {
    return grouped(await this.#call('files'));
  }

  /** Bytes here of a catalog's model. */
  async bytes(id) {
    return this.#call('stored', {plan: await this.#known(id)});
  }

  /** Removes a model. */
  async remove(key) {
    for (const one of [key].flat()) await this.#call('remove', {key: one});
  }

  /** `{usage, quota, persisted}`: bytes this page uses and may use, and whether the browser promised to keep them. */
  async room() {
    const {usage = 0, quota = 0} = await navigator.storage?.estimate?.().catch(() => ({})) ?? {};
    return {usage, quota, persisted: await navigator.storage?.persisted?.().catch(() => false) ?? false};
  }

  /** Asks the browser to keep models even when the disk is full; whether it will. Some ask the person. */
  async persist() {
    return await navigator.storage?.persist?.().catch(() => false) ?? false;
  }

  /**
   * What a model would take before any of it is fetched: `{size_bytes, stored_bytes, need_bytes, free_bytes, memory}`, `memory` as
   * `memoryForecast` has it. `source` as for `hearth.load`, an id or an address.
   */
  async forecast(source, {network, mirrors, signal} = {}) {
    const plans = await this.#stoppable(signal, job => this.#plans(String(source), {job, network, mirrors}));
    const {usage, quota} = await this.room();
    const have = await Promise.all(plans.map(plan => this.#call('stored', {plan})));
    const [size_bytes, stored_bytes] = [plans.reduce((all, plan) => all + plan.size_bytes, 0), have.reduce((a, b) => a + b, 0)];
    const free_bytes = Math.max(0, quota - usage);
    return {size_bytes, stored_bytes, need_bytes: size_bytes - stored_bytes, free_bytes, memory: memoryForecast(size_bytes)};
  }

  /**
   * Reads all that is here of a model and fetches anew what rotted: `{chunks, repaired, whole}`. `whole`: a hash of the file as a
   * whole is known, and it is right.
   */
  async verify(key, {onProgress, signal} = {}) {
    const keys = [key].flat();
    const files = (await this.#call('files')).filter(({plan}) => keys.includes(plan.key));
    const report = meter('verify', files.reduce((sum, file) => sum + file.stored_bytes, 0), onProgress);
    const found = {chunks: 0, repaired: 0, whole: files.length > 0};
    let before = 0;
    for (const {plan, stored_bytes} of files) {
      const step = ({checked}) => report(before + checked);
      const {chunks, repaired, whole} =
        await this.#stoppable(signal, job => this.#call('verify', {job, key: plan.key}, {step}));
      found.chunks += chunks;
      found.repaired += repaired;
      found.whole &&= whole;
      before += stored_bytes;
    }
    return found;
  }

  /**
   * Stores files from a disk, all of one model: what `hearth.load` takes for it from then on. A file of the catalog becomes that
   * model. `onProgress` as for `load`, of the phase 'import'.
   */
  async import(files, {onProgress, signal} = {}) {
    const list = [...files];
    const report = meter('import', list.reduce((sum, {size}) => sum + size, 0), onProgress);
    let before = 0;
    let last;
    for (const file of list) {
      const step = bytes => report(before + bytes);
      const options = {catalog: await this.#catalog(), folder: this.#folder, path: pathOf(file, list), file};
      last = await this.#stoppable(signal, job => this.#call('import', {job, ...options}, {step}));
      before += file.size;
    }
    if (list.length === 1) return last.source;
    return (await this.list()).find(({plan}) => [plan.key].flat().includes(last.key)).plan.url;
  }

  /** The files of a stored model, checked before: `[File]`. */
  async export(key, options = {}) {
    await this.verify(key, options);
    const keys = [key].flat();
    const files = (await this.#call('files')).filter(({plan}) => keys.includes(plan.key));
    return Promise.all(files.map(async ({plan, stored_bytes}) => {
      if (stored_bytes < plan.size_bytes) throw new HearthError('missing_shard', `${plan.name} is not whole: download the rest first`);
      const pieces = Array.from({length: Math.ceil(plan.size_bytes / plan.shard_bytes)}, (_, index) =>
        this.#call('blob', {key: plan.key, index}));
      const name = decodeURIComponent(new URL(plan.url).pathname.split('/').at(-1));
      return new File(await Promise.all(pieces), name);
    }));
  }

  /** Downloads what is missing of a model and gives its files; see `hearth.load`. */
  async fetch(source, {onProgress, signal, network, mirrors, store = true}) {
    return this.#stoppable(signal, async job => {
      const plans = await this.#plans(source, {job, network, mirrors, store});
      const report = meter('download', plans.reduce((sum, plan) => sum + plan.size_bytes, 0), onProgress);
      let [before, received] = [0, 0];
      for (const plan of plans) {
        check(signal);
        let last = 0;
        const step = ({bytes, received: now = 0, elsewhere, checked}) => {
          last = Math.max(last, now);
          report(before + bytes, {elsewhere, received: received + now, checking: checked > 0});
        };
        const left = network?.budget_bytes === undefined ? undefined : Math.max(0, network.budget_bytes - received);
        await this.#call('download', {job, plan, store, limits: {...network, budget_bytes: left}}, {step});
        before += plan.size_bytes;
        received += last;
        await this.#call('used', {key: plan.key}).catch(() => {}); // a full disk takes no notes
      }
      return stored(plans, (key, index) => this.#call('shard', {key, index}));
    });
  }

  /** The plan of a model of the catalog. */
  async #known(id) {
    return this.#call('plan', {catalog: await this.#catalog(), id, folder: this.#folder});
  }

  /** The plans of all files of a model. */
  async #plans(source, {job, network = {}, mirrors = [], store = true}) {
    const {hub, ...limits} = network;
    const elsewhere = url => (hub && url.startsWith(HUB) ? [url.replace(HUB, hub.replace(/\/*$/, '/'))] : []);
    if (!source.includes('/') && !source.startsWith('hf:')) {
      const plan = await this.#known(source);
      return [{...plan, mirrors: [...plan.mirrors, ...mirrors, ...elsewhere(plan.url)]}];
    }
    const address = direct(new URL(direct(source), document.baseURI).href);
    const plan = url =>
      this.#call('plan', {job, url, mirrors: [...url === address ? mirrors : [], ...elsewhere(url)], limits});
    const read = async plan => {
      await this.#call('download', {job, plan, store, limits});
      const pieces = Array.from({length: Math.ceil(plan.size_bytes / plan.shard_bytes)}, (_, index) =>
        this.#call('shard', {key: plan.key, index}));
      return new Blob(await Promise.all(pieces)).text();
    };
    return plansAt(address, plan, read);
  }

  /** Runs `task(job)` so that `signal` ends it. */
  async #stoppable(signal, task) {
    check(signal);
    const job = this.#jobs++;
    const abort = () => this.#call('abort', {job}).catch(() => {}); // it has ended by itself
    signal?.addEventListener('abort', abort);
    try {
      return await task(job);
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }
}
