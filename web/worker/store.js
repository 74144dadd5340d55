// The worker that may use the network. It is never handed text: it fetches models and keeps them in IndexedDB.
let models;
const jobs = new Map();

/** Runs `task(signal)` so that `abort` with the same job ends it, with the code 'aborted'. */
async function stoppable(job, task) {
  const controller = new AbortController();
  jobs.set(job, controller);
  try {
    return await task(controller.signal);
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    throw Object.assign(new Error('stopped; what has arrived is kept'), {code: 'aborted'});
  } finally {
    jobs.delete(job);
  }
}

// One download of a file at a time, whichever tab it runs in. While another tab has it, `progress` follows what it stores.
async function alone(plan, signal, progress, task) {
  if (!navigator.locks) return task();
  const name = `hearth/${plan.key}`;
  const done = await navigator.locks.request(name, {ifAvailable: true}, async lock => {
    if (!lock) return false;
    await task();
    return true;
  });
  if (done) return;
  const watch = setInterval(async () => progress(await models.storedBytes(plan), 'elsewhere'), 500);
  try {
    await navigator.locks.request(name, {signal}, task);
  } finally {
    clearInterval(watch);
  }
}

serve({
  async init({module}) {
    await wasm_bindgen({module_or_path: module});
    models = await wasm_bindgen.Models.open();
  },

  // The plan for a catalog's id or an address.
  plan({job, catalog, id, folder, url}) {
    if (url === undefined) return models.planCatalog(catalog, id, folder);
    return stoppable(job, signal => models.planUrl(url, signal));
  },

  stored({plan}) {
    return models.storedBytes(plan);
  },

  // Fetches what is missing; steps are {bytes, elsewhere}.
  async download({job, plan}, post) {
    let last = -Infinity;
    const progress = (bytes, elsewhere) => {
      const now = performance.now();
      if (now - last < 50 && bytes < plan.size_bytes) return;
      last = now;
      post({bytes, elsewhere: elsewhere === 'elsewhere'});
    };
    await stoppable(job, signal => alone(plan, signal, progress, () => models.download(plan, signal, progress)));
  },

  abort({job}) {
    jobs.get(job)?.abort();
  },

  shard({key, index}) {
    return models.shard(key, index);
  },

  files() {
    return models.files();
  },

  remove({key}) {
    return models.remove(key);
  },
});
