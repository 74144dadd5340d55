// The worker that sees text. It runs under a policy that forbids every connection and every further script (see
// hearth.js); it gets the compiled module and the model's bytes by message, and gives text back by message.
let loader, meter, model, stopping;
let busy = false;
let timings = {};

// Steps are told of as often as a screen draws: a message for each would take the page's thread, and so a core, from the helpers.
const FRAME_MS = 16;

// Lets messages in between two steps. (setTimeout would wait four milliseconds.)
const channel = new MessageChannel();
const breathe = () => new Promise(resolve => {
  channel.port1.onmessage = resolve;
  channel.port2.postMessage(0);
});

// wgpu has no name for subgroups in browsers (gfx-rs/wgpu#10146): they are asked for here, and the module is told.
if (typeof GPUAdapter === 'function') {
  const {requestDevice} = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = function (descriptor = {}) {
    self.hearth_subgroups = this.features.has('subgroups');
    const wanted = self.hearth_subgroups ? ['subgroups'] : [];
    return requestDevice.call(this, {...descriptor, requiredFeatures: [...descriptor.requiredFeatures ?? [], ...wanted]});
  };
}

// Runs a task that nothing else may run beside.
async function alone(task) {
  if (busy) throw Object.assign(new Error('this model is answering already'), {code: 'busy'});
  busy = true;
  try {
    return await task();
  } finally {
    busy = false;
  }
}

serve({
  ...walled,

  // Gives what the adapter calls itself and which kernels it has, `kernels` or what is found best, if there is an adapter.
  async begin({device, threads, context, kernels, files, adapter}) {
    const {Loader} = wasm_bindgen;
    loader = device === 'gpu' ? await Loader.onGpu(context, kernels, files) : new Loader(device, threads, context, files);
    if (adapter) loader = loader.adapted(new Uint8Array(adapter));
    return {adapter: loader.adapter, kernels: loader.kernels};
  },

  // Which bytes of which file to push next: {file, offset, bytes}, or null.
  wants() {
    return loader.wants();
  },

  push({bytes}) {
    loader.push(new Uint8Array(bytes));
  },

  async finish() {
    const whole = loader;
    loader = undefined;
    model = await whole.finish();
    return {...model.info(), peak_memory_bytes: wasm_bindgen.memory_bytes()};
  },

  // Times the kernels and, if they may be fewer, how many threads are best: {kernel, threads}.
  tune({threads, fewer}) {
    return model.tune(threads, fewer);
  },

  // What the model says to a few tokens, and how fast: {logits, prompt_per_second, decode_per_second}.
  async trial() {
    const trial = await model.trial();
    const {logits, prompt_per_second, decode_per_second} = trial;
    trial.free();
    return {logits, prompt_per_second, decode_per_second};
  },

  use({tuning}) {
    return model.use(tuning);
  },

  // For timing the machine without a model.
  meter({threads}) {
    meter = new wasm_bindgen.Meter(threads);
  },

  bandwidth({threads, budget_ms}) {
    return meter.bandwidth(threads, budget_ms);
  },

  kernels({budget_ms}) {
    return meter.kernels(budget_ms);
  },

  tokenize({text}) {
    return [...model.tokenize(text)];
  },

  detokenize({tokens}) {
    return model.decode(Uint32Array.from(tokens));
  },

  render({chat}) {
    return model.render(chat);
  },

  // A text, or tokens, as one vector: {vector, tokens}.
  async embed({input, how}) {
    const tokens = typeof input === 'string' ? model.encode(input) : Uint32Array.from(input);
    return alone(async () => ({vector: await model.embed(tokens, how), tokens: tokens.length}));
  },

  // The conversation as bytes; `read`: with everything of it in the cache.
  save: ({read}) => alone(async () => {
    while (read && await model.read() > 0) await breathe();
    return model.save();
  }),

  // The conversation as bytes, without what is cached of it: also where the GPU has failed.
  saveTokens: async () => {
    while (busy) await breathe(); // it will fail, too
    return model.saveTokens();
  },

  restore: ({saved}) => alone(async () => model.restore(saved)),

  // Makes an answer. Steps are posted several together, each {token, text, prompt_left, prompt_tokens, finish}; the result is the
  // answer's timings.
  // `chat`: a conversation instead of a prompt, {messages, tools, ...}; its steps say what of the text is what: {content, reasoning,
  // tool_calls}. `told`: tokens of the answer that were told of before, by another engine, and `told_text`, their text. `begun`: they
  // were not; a first step, `{begun: true}`, tells what they are.
  async generate({prompt, chat, tokens, told = [], told_text = '', begun = false, options}, post) {
    if (busy) throw Object.assign(new Error('this model is answering already'), {code: 'busy'});
    const start = performance.now();
    const asked = tokens ?? model.tokenize(chat ? model.converse(chat, options.seed) : prompt);
    const retold = chat && told_text ? model.tell(told_text, false) : {};
    const ids = [...asked, ...told];
    stopping = false;
    const {response_format, ...more} = options;
    const begin = {...more, resume: told.length};
    const prompt_tokens = model.start(Uint32Array.from(ids), begin, Boolean(chat), response_format);
    timings = {prompt_tokens, asked_tokens: asked.length, tokens: told.length, context_used: ids.length};
    let first;
    let steps = begun ? [{token: null, text: told_text, prompt_left: prompt_tokens, finish: null, ...retold, prompt_tokens, begun}] : [];
    let posted = -Infinity;
    busy = true;
    try {
      while (!stopping) {
        let step = model.step();
        if (step instanceof Promise) step = await step; // the GPU's
        if (!step) break;
        const now = performance.now();
        const meaning = chat ? model.tell(step.text, Boolean(step.finish)) : {};
        steps.push({...step, ...meaning, prompt_tokens: timings.prompt_tokens});
        if (step.token !== null) {
          timings.tokens += 1;
          first ??= now;
        }
        if (step.finish) break;
        if (timings.tokens !== told.length + 1 && now - posted < FRAME_MS) continue; // the first token does not wait
        post(steps);
        steps = [];
        posted = now;
        await breathe();
      }
      // What was held back because a marker might begin in it.
      if (stopping && chat) steps.push({token: null, text: '', prompt_left: 0, prompt_tokens, finish: null, ...model.tell('', true)});
      model.stop();
    } finally {
      post(steps);
      busy = false;
    }
    const end = performance.now();
    timings.first_token_ms = (first ?? end) - start;
    timings.prompt_ms = timings.first_token_ms;
    timings.decode_ms = end - (first ?? end);
    timings.context_used = model.used();
    timings.guesses = model.guesses();
    timings.peak_memory_bytes = wasm_bindgen.memory_bytes();
    return timings;
  },

  stop() {
    stopping = true;
  },
});
