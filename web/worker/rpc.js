// The common part of both workers; hearth.js puts it in front of each, behind the engine's glue.
// In: {id, action, ...}. Out: {id, result} or {id, error: {code, message}}; on the way any number of {id, step}.
// eslint-disable-next-line no-unused-vars
function serve(actions) {
  onmessage = async ({data}) => {
    const {id, action} = data;
    try {
      const result = await actions[action](data, (step, transfer = []) => postMessage({id, step}, transfer));
      const transfer = result instanceof ArrayBuffer ? [result] : [];
      postMessage({id, result}, transfer);
    } catch (error) {
      // A trap leaves the module unusable: its own code lets the page say so.
      const code = error instanceof WebAssembly.RuntimeError ? 'crashed' : error.code ?? 'internal';
      postMessage({id, error: {code: String(code), message: String(error.message ?? error)}});
    }
  };
}
