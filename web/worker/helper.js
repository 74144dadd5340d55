// A worker that lends its thread to the one that sees text: over the same memory, behind the same wall. It says that it is
// ready and joins when it is told to: whoever is late is not waited for, and must not take work then.
onmessage = async ({data: {module, memory, lock}}) => {
  try {
    if (lock) await alive(lock);
    await wasm_bindgen({module_or_path: module, memory, thread_stack_size: 1 << 20});
  } catch (error) {
    return postMessage({failed: error.message});
  }
  onmessage = () => {
    try {
      wasm_bindgen.help(); // as long as the leader lives
    } catch (error) {
      wasm_bindgen.helper_failed(); // or the others would wait for this one's piece for ever
      throw error;
    }
  };
  postMessage({});
};
