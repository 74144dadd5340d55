// The common part of all workers; start.js puts it in front of each, behind the engine's glue.
// In: {call, action, ...}. Out: {call, result} or {call, error: {code, message}, ended}; on the way any number of {call, step}.
// `ended`: the worker is of no use any more.

// A trap leaves the module unusable: its own code lets the page say so. One that no panic explains is memory that was refused.
function trapped({message}) {
  if (!/unreachable/i.test(message) || wasm_bindgen.panicked()) return {code: 'crashed', message};
  const used = Math.round(wasm_bindgen.memory_bytes() / 1e6);
  const what = `out of memory: ${used} MB are in use, and more was refused`;
  return {code: 'out_of_memory', message: `${what}; close other tabs or choose a smaller model`};
}

function serve(actions) {
  actions.hold = ({lock}) => alive(lock);
  // Whoever called would wait for ever.
  onmessageerror = () => { throw new Error('a message to the worker could not be read'); };
  onmessage = async ({data}) => {
    const {call, action} = data;
    try {
      const result = await actions[action](data, (step, transfer = []) => postMessage({call, step}, transfer));
      const transfer = result instanceof ArrayBuffer ? [result] : [];
      postMessage({call, result}, transfer);
    } catch (error) {
      const ended = error instanceof WebAssembly.RuntimeError;
      const {code = 'internal', message = error} = ended ? trapped(error) : error;
      postMessage({call, error: {code: String(code), message: String(message)}, ended});
    }
  };
}
