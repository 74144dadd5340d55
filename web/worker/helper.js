// A worker that lends its thread to the one that sees text: over the same memory, behind the same wall.
onmessage = async ({data: {module, memory}}) => {
  await wasm_bindgen({module_or_path: module, memory, thread_stack_size: 1 << 20});
  postMessage('ready');
  try {
    wasm_bindgen.help(); // does not return
  } catch (error) {
    wasm_bindgen.helper_failed(); // or the others would wait for this one's piece for ever
    throw error;
  }
};
