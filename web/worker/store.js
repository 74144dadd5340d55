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
  let theirs = true;
  const watch = setInterval(async () => {
    const stored = await models.storedBytes(plan);
    if (theirs) progress({stored, arriving: 0}, true);
  }, 500);
  const ours = () => {
    theirs = false;
    clearInterval(watch);
  };
  try {
    await navigator.locks.request(name, {signal}, () => {
      ours();
      return task();
    });
  } finally {
    ours();
  }
}

/** Calls `tell` a few times a second, and with the last of what there is to tell. */
function seldom(tell) {
  let last = -Infinity;
  let rest;
  const now = step => {
    last = performance.now();
    rest = undefined;
    tell(step);
  };
  return {
    step(step) {
      if (performance.now() - last >= 50) now(step);
      else rest = step;
    },
    end() {
      if (rest) now(rest);
    },
  };
}

/** The plan for a file that is imported: that of a model of the catalog, if it begins as that one. */
async function planOf({catalog, folder, path, file}) {
  for (const {id} of catalog.models.filter(({size_bytes}) => size_bytes === file.size)) {
    const plan = models.planCatalog(catalog, id, folder);
    const first = await crypto.subtle?.digest('SHA-256', await file.slice(0, plan.shard_bytes).arrayBuffer());
    if (first && hex(first) === plan.hashes[0]) return {plan, source: id};
  }
  const plan = {...models.planFile(path, file.size, file.lastModified), name: file.name};
  return {plan, source: plan.url};
}

const hex = buffer => [...new Uint8Array(buffer)].map(byte => byte.toString(16).padStart(2, '0')).join('');

serve({
  async init({module}) {
    await wasm_bindgen({module_or_path: module});
    models = await wasm_bindgen.Models.open();
    return {keeps: models.keeps};
  },

  // The plan for a catalog's id or an address.
  plan({job, catalog, id, folder, url, mirrors = [], limits = {}}) {
    if (url === undefined) return models.planCatalog(catalog, id, folder);
    return stoppable(job, signal => models.planUrl(url, mirrors, limits, signal));
  },

  stored({plan}) {
    return models.storedBytes(plan);
  },

  // Fetches what is missing; steps are {bytes, received, checked, elsewhere}. `store`: false holds it in memory.
  async download({job, plan, store = true, limits = {}}, post) {
    if (store) await models.store(plan.key);
    else models.hold(plan.key);
    const told = seldom(post);
    const progress = ({stored, arriving, received, checked}, elsewhere = false) =>
      told.step({bytes: stored + arriving, received, checked, elsewhere});
    try {
      await stoppable(job, signal => alone(plan, signal, progress, () => models.download(plan, limits, signal, step => progress(step))));
    } finally {
      told.end();
    }
  },

  // Reads all that is there of a file and mends it; steps are {checked}.
  async verify({job, key}, post) {
    const told = seldom(post);
    const report = await stoppable(job, signal => models.verify(key, signal, told.step));
    told.end();
    return report;
  },

  // Stores a file from a disk; steps are bytes. Its key, and what it is to be loaded by: {key, source}.
  import({job, ...about}, post) {
    return stoppable(job, async signal => {
      const {file} = about;
      const {plan, source} = await planOf(about);
      await models.begin(plan);
      for (let index = 0; index * plan.shard_bytes < file.size; index++) {
        signal.throwIfAborted();
        const [from, to] = [index, index + 1].map(number => number * plan.shard_bytes);
        await models.give(plan, index, new Uint8Array(await file.slice(from, to).arrayBuffer()));
        post(Math.min(to, file.size));
      }
      await models.end(plan);
      return {key: plan.key, source};
    });
  },

  abort({job}) {
    jobs.get(job)?.abort();
  },

  shard({key, index}) {
    return models.shard(key, index);
  },

  blob({key, index}) {
    return models.blob(key, index);
  },

  used({key}) {
    return models.used(key);
  },

  files() {
    return models.files();
  },

  remove({key}) {
    return models.remove(key);
  },
});
