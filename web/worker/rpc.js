// The common part of both workers; hearth.js puts it in front of each, behind the engine's glue.
// In: {call, action, ...}. Out: {call, result} or {call, error: {code, message}}; on the way any number of {call, step}.
function serve(actions) {
  onmessage = async ({data}) => {
    const {call, action} = data;
    try {
      const result = await actions[action](data, (step, transfer = []) => postMessage({call, step}, transfer));
      const transfer = result instanceof ArrayBuffer ? [result] : [];
      postMessage({call, result}, transfer);
    } catch (error) {
      // A trap leaves the module unusable: its own code lets the page say so.
      const code = error instanceof WebAssembly.RuntimeError ? 'crashed' : error.code ?? 'internal';
      postMessage({call, error: {code: String(code), message: String(error.message ?? error)}});
    }
  };
}
