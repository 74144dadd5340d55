// The common part of the workers that see text, behind rpc.js: each begins by making sure that it stands behind the wall.

/** Every way out that a worker has; an address is asked for by each. */
const WAYS = {
  fetch: url => fetch(url),
  XMLHttpRequest: url => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open('GET', url);
    request.onload = resolve;
    request.onerror = reject;
    request.send();
  }),
  WebSocket: url => new Promise((resolve, reject) => {
    const socket = new WebSocket(url.replace(/^http/, 'ws'));
    socket.onopen = resolve;
    socket.onerror = reject;
  }),
  EventSource: url => new Promise((resolve, reject) => {
    const source = new EventSource(url);
    source.onopen = resolve;
    source.onerror = reject;
  }),
  WebTransport: url => new WebTransport(url.replace(/^http:/, 'https:')).ready,
  caches: async url => {
    const cache = await caches.open('hearth escape');
    await cache.add(url).finally(() => caches.delete('hearth escape'));
  },
  FontFace: url => new FontFace('escape', `url("${url}")`).load(),
  import: url => import(url),
  importScripts: url => importScripts(url),
  Worker: url => new Promise((resolve, reject) => {
    const worker = new Worker(url);
    worker.onmessage = resolve;
    worker.onerror = reject;
  }),
};

/** So long after a way has failed the browser may still tell why: at once, but a busy one later. */
const TELLING_MS = 1000;

/** Hears what the policy refuses from now on: the directive by which it refuses the first, and an end to hearing. */
function refusals() {
  const heard = new AbortController();
  const first = new Promise(resolve => {
    addEventListener('securitypolicyviolation', event => resolve(event.effectiveDirective), {once: true, signal: heard.signal});
  });
  return {first, end: () => heard.abort()};
}

const wait = ms => new Promise(resolve => setTimeout(resolve, ms));

const walled = {
  async init({module, memory}) {
    // The policy of the frame must hold here, or this worker is not to see any text. (A data: address reaches no server.)
    const reached = await fetch('data:,').then(() => true, () => false);
    if (reached) throw Object.assign(new Error('this browser does not keep the worker from connecting'), {code: 'wall'});
    await wasm_bindgen({module_or_path: module, memory});
  },

  // The names of the ways out that this browser has.
  ways() {
    return Object.keys(WAYS).filter(way => way === 'import' || way in self);
  },

  // Tries one of them and says how it ended: 'out'; 'refused: ...' with the policy's directive that did; 'failed: ...', which need not
  // mean that nothing got out.
  async escape({way, url}) {
    const {first, end} = refusals();
    try {
      await WAYS[way](url);
      return 'out';
    } catch (error) {
      const name = error.name ?? error.type;
      // Not every browser says.
      const by = await Promise.race([first, wait(TELLING_MS)]);
      return by ? `refused: ${name} (${by})` : `failed: ${name}`;
    } finally {
      end();
    }
  },
};
