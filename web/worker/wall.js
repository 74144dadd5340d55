// The common part of the workers that see text, behind rpc.js: each begins by making sure that it stands behind the wall.
const walled = {
  async init({module, memory}) {
    // The policy of the frame must hold here, or this worker is not to see any text. (A data: address reaches no server.)
    const reached = await fetch('data:,').then(() => true, () => false);
    if (reached) throw Object.assign(new Error('this browser does not keep the worker from connecting'), {code: 'wall'});
    await wasm_bindgen({module_or_path: module, memory});
  },

  // For the test of the wall: tries one way out and says how it ended. `way` is a key of the table.
  async escape({way, url}) {
    const ways = {
      fetch: () => fetch(url),
      XMLHttpRequest: () => new Promise((resolve, reject) => {
        const request = new XMLHttpRequest();
        request.open('GET', url);
        request.onload = resolve;
        request.onerror = reject;
        request.send();
      }),
      WebSocket: () => new Promise((resolve, reject) => {
        const socket = new WebSocket(url.replace(/^http/, 'ws'));
        socket.onopen = resolve;
        socket.onerror = reject;
      }),
      EventSource: () => new Promise((resolve, reject) => {
        const source = new EventSource(url);
        source.onopen = resolve;
        source.onerror = reject;
      }),
      import: () => import(url),
      importScripts: () => importScripts(url),
      Worker: () => new Promise((resolve, reject) => {
        const worker = new Worker(url);
        worker.onmessage = resolve;
        worker.onerror = reject;
      }),
    };
    try {
      await ways[way]();
      return 'out';
    } catch (error) {
      return `refused: ${error.name ?? error.type}`;
    }
  },
};
