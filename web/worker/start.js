// How the engine and the lab get going: which build, with what memory, in which workers.
//
//   base              SIMD128; works everywhere
//   threads           and shared memory, which needs a page that is cross-origin isolated (two headers of its server)
//   threads-relaxed   and relaxed SIMD: products of bytes, which the lab does not use

/** An error with a stable `code`, such as 'quota', 'shard_hash', 'prompt_too_long'. */
export class HearthError extends Error {
  constructor(code, message) {
    super(message);
    this.name = 'HearthError';
    this.code = code;
  }
}

const BASE = new URL('../', import.meta.url);
const PAGE = 65536;
const GIB = 2 ** 30;
/** How long a helper may take to be ready. */
const LATE_MS = 10_000;

export async function get(path) {
  const response = await fetch(new URL(path, BASE)).catch(() => {
    throw new HearthError('network', `${path} cannot be fetched: the server does not answer`);
  });
  if (!response.ok) throw new HearthError('not_found', `${path} is missing on the server (${response.status})`);
  return response;
}

const text = async path => (await get(path)).text();

async function compile(path) {
  const response = await get(path);
  const whole = response.clone();
  try {
    // Refused where the server names another type than application/wasm.
    return await WebAssembly.compileStreaming(response);
  } catch {
    return WebAssembly.compile(await whole.arrayBuffer()).catch(error => {
      const what = 'the engine could not be compiled: this browser may lack WebAssembly SIMD';
      throw new HearthError('no_simd', `${what} (${error.message})`);
    });
  }
}

// The smallest module that uses f32x4.relaxed_madd.
const RELAXED = 'AGFzbQEAAAABBQFgAAF7AwIBAAoTAREAQQD9D0EA/Q9BAP0P/YUCCw==';

const validates = base64 => globalThis.WebAssembly?.validate(Uint8Array.from(atob(base64), c => c.charCodeAt(0)));

/** What builds need: `{isolated, shared, relaxed}`. WebKit may be isolated and yet have no SharedArrayBuffer. */
export const offered = () => ({
  isolated: globalThis.crossOriginIsolated === true, shared: typeof SharedArrayBuffer === 'function', relaxed: validates(RELAXED),
});

/** The best build that this browser and the page's headers allow. */
export function bestBuild() {
  const {isolated, shared, relaxed} = offered();
  if (!isolated || !shared) return 'base';
  return relaxed ? 'threads-relaxed' : 'threads';
}

/** A shared memory of at most `bytes`, or undefined if it is refused. Some systems reserve the maximum at once. */
function sharedMemory(bytes) {
  try {
    return new WebAssembly.Memory({initial: 64, maximum: Math.min(65536, Math.ceil(bytes / PAGE)), shared: true});
  } catch {
    return undefined;
  }
}

/** A memory for a file of `size` bytes and its conversation: less and less of it where much is refused. */
export function memoryFor(size) {
  for (const room of [4, 2, 1, 0.5, 0.25].map(part => part * GIB)) {
    const memory = sharedMemory(1.25 * size + room);
    if (memory) return memory;
  }
  return undefined;
}

/** A compiled module of `build`, 'engine' or 'lab', and the text of its JavaScript. */
export async function fetchBuild(build, name = 'engine') {
  const [module, glue] = await Promise.all([
    compile(`engine/${build}/${name}_bg.wasm`), text(`engine/${build}/${name}.js`),
  ]);
  return {build, module, glue};
}

/** The text of the programs that workers run behind the glue. */
export async function fetchPrograms() {
  const [alive, rpc, record, wall, store, engine, lab, helper] = await Promise.all(
    ['alive', 'rpc', 'record', 'wall', 'store', 'engine', 'lab', 'helper'].map(name => text(`worker/${name}.js`)));
  const program = (...parts) => [alive, ...parts].join('\n');
  const behindTheWall = part => program(rpc, record, wall, part);
  return {store: program(rpc, record, store), engine: behindTheWall(engine), lab: behindTheWall(lab), helper: program(helper)};
}

const listeners = new Set();

/** Calls `listener(who, requests, origin)` when a worker, 'store', 'engine' or 'lab', has made requests: see record.js. */
export function onRequests(listener) {
  listeners.add(listener);
}

let locks = 0;

/** A lock for a worker to hold, of which nobody else knows; undefined where there are none. */
const newLock = () => navigator.locks && `hearth/alive/${performance.timeOrigin}/${Math.random()}/${locks++}`;

/** Calls `gone` when nobody holds the lock any more, unless `signal` has come before. */
const watch = (lock, signal, gone) => navigator.locks.request(lock, {signal}, gone).catch(() => {});

const KILLED = 'the browser has ended the worker, perhaps for want of memory';

/** Calls to a worker by message; `who` it is. */
export class Remote {
  #worker;
  #calls = new Map();
  #next = 0;
  #over = new AbortController();
  #reason;
  #tell;

  /** Resolves to the error by which the worker has ended, unless it was ended by `end`. */
  gone = new Promise(resolve => { this.#tell = resolve; });

  /** A promise of whether it holds a lock by which we learn that the browser has killed it. */
  held;

  constructor(worker, who) {
    this.#worker = worker;
    worker.onmessage = ({data: {call: number, step, result, error, ended, requests, origin}}) => {
      if (requests) return listeners.forEach(listener => listener(who, requests, origin));
      const call = this.#calls.get(number);
      if (!call) return;
      if (step !== undefined) return call.step?.(step);
      if (ended) return this.fail(new HearthError(error.code, error.message));
      this.#calls.delete(number);
      if (error) call.reject(new HearthError(error.code, error.message));
      else call.resolve(result);
    };
    const crashed = what => this.fail(new HearthError('crashed', what));
    worker.onerror = event => crashed(event.message || 'the worker could not start');
    worker.onmessageerror = () => crashed('a message to the worker could not be read');
    this.held = this.#hold(() => crashed(KILLED));
  }

  async #hold(killed) {
    const lock = newLock();
    if (!lock) return false;
    try {
      await this.call('hold', {lock});
    } catch {
      return false;
    }
    if (this.#over.signal.aborted) return false;
    watch(lock, this.#over.signal, killed);
    return true;
  }

  call(action, data = {}, {step, transfer = []} = {}) {
    return new Promise((resolve, reject) => {
      if (!this.#worker) return reject(this.#reason);
      const number = this.#next++;
      this.#calls.set(number, {resolve, reject, step});
      this.#worker.postMessage({call: number, action, ...data}, transfer);
    });
  }

  /** Ends a worker that is of no use any more. */
  fail(error) {
    if (!this.#worker) return;
    this.end(error);
    this.#tell(error);
  }

  end(reason = new HearthError('unloaded', 'the model has been unloaded')) {
    this.#over.abort();
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#reason ??= reason;
    for (const {reject} of this.#calls.values()) reject(reason);
    this.#calls.clear();
  }
}

/** A worker whose whole program is `source`, made in `realm` and under its policy. */
export function workerOf(source, realm) {
  const url = realm.URL.createObjectURL(new realm.Blob([source], {type: 'text/javascript'}));
  const worker = new realm.Worker(url);
  // The worker has fetched its program by its first message.
  worker.addEventListener('message', () => realm.URL.revokeObjectURL(url), {once: true});
  return worker;
}

/**
 * The worker that may use the network. Made from its file it has no policy but its own, so that a page's may forbid the page every
 * other host; a page whose policy allows no workers but blobs, or that has this library from another host, gets it from a blob.
 */
export function networkWorker(glue, programs, fromFile) {
  if (fromFile) return new Worker(new URL('worker/network.js', BASE));
  return workerOf(`${glue}\n${programs.store}`, window);
}

/**
 * What the frame may do in which workers that see text are made, and so what they may. 'wasm-unsafe-eval' lets no script be loaded:
 * Firefox wants it for a module that is posted compiled.
 */
export const WALL = "default-src 'none'; script-src 'wasm-unsafe-eval'; worker-src blob:";

/** A frame with nothing in it, under a policy that allows nothing but a worker from a blob of its own. */
async function walledFrame() {
  const frame = document.createElement('iframe');
  frame.hidden = true;
  frame.title = 'Hearth: the engine, behind its wall';
  const loaded = new Promise(resolve => frame.addEventListener('load', resolve, {once: true}));
  frame.srcdoc = `<!doctype html><meta http-equiv="Content-Security-Policy" content="${WALL}">`;
  document.body.append(frame);
  await loaded;
  return frame;
}

/** Waits for a helper to be ready and sends it to work. False if it fails, is ended, or is so late that nobody waits for it. */
function joins(worker, module, memory, lock, signal) {
  return new Promise(resolve => {
    let waiting = true;
    const answer = joined => {
      if (waiting && joined) worker.postMessage('join');
      waiting = false;
      clearTimeout(late);
      resolve(joined);
    };
    const late = setTimeout(answer, LATE_MS, false);
    signal.addEventListener('abort', () => answer(false), {once: true});
    worker.onmessage = ({data: {failed}}) => answer(!failed);
    worker.onerror = event => {
      event.preventDefault(); // the model works without it
      console.warn('Hearth: a helper did not start', event.message);
      answer(false);
    };
    worker.postMessage({module, memory, lock});
  });
}

/** A worker that sees text, 'engine' or 'lab', and its helpers, behind the wall: `{remote, init, join, end}`. */
export async function startEngine({module, glue}, programs, memory, program = 'engine') {
  const frame = await walledFrame();
  const realm = frame.contentWindow;
  const helpers = [];
  const over = new AbortController();
  let remote;
  try {
    remote = new Remote(workerOf(`${glue}\n${programs[program]}`, realm), program);
  } catch (error) {
    frame.remove();
    throw error;
  }
  return {
    remote,
    init: () => remote.call('init', {module, memory}),
    /** Starts helpers; fewer where workers are refused. How many threads there are then. */
    async join(threads) {
      try {
        while (helpers.length < threads - 1) helpers.push(workerOf(`${glue}\n${programs.helper}`, realm));
      } catch (error) {
        console.warn('Hearth: no more helpers', error);
      }
      const joined = await Promise.all(helpers.map(async worker => {
        const lock = await remote.held ? newLock() : undefined;
        if (over.signal.aborted) return false;
        const joined = await joins(worker, module, memory, lock, over.signal);
        // The others wait for its pieces.
        if (joined && lock) watch(lock, over.signal, () => remote.fail(new HearthError('crashed', KILLED)));
        return joined;
      }));
      return 1 + joined.filter(Boolean).length;
    },
    /** Waiting calls fail with `reason`. */
    end(reason) {
      over.abort();
      remote.end(reason);
      helpers.splice(0).forEach(worker => worker.terminate());
      frame.remove();
      memory = module = undefined; // whoever keeps this object does not keep gigabytes
    },
  };
}
