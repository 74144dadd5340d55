// Hearth in a page, through its JavaScript API.
import {tab} from './tab.mjs';

export const name = 'hearth';

/** Loads a model in a new tab; gives `{load_ms, tokenize, generate, memory, close}`. */
export async function load({host, profile, model, threads, context}) {
  const opened = await tab(profile, host.blank);
  const {page} = opened;
  const load_ms = await opened.begin(begin, [host.model(model), threads, context]);
  return {
    load_ms,
    tokenize: text => page.evaluate(text => window.model.tokenize(text), text),
    generate: (prompt, count) => page.evaluate(generate, [prompt, count]),
    async memory() {
      return {process: opened.memory(), wasm: await page.evaluate(() => window.model.timings.peak_memory_bytes)};
    },
    close: opened.close,
  };
}

async function begin([url, threads, context]) {
  const {Hearth} = await import('/hearth.js');
  const start = performance.now();
  // Compiling the engine counts: the others do it while they load.
  const hearth = await Hearth.open();
  window.model = await hearth.load(url, {threads, context});
  const taken = window.model.timings.threads;
  if (taken !== threads) throw new Error(`Hearth took ${taken} threads instead of ${threads}`);
  return performance.now() - start;
}

async function generate([prompt, count]) {
  const times = [];
  let text = '';
  const start = performance.now();
  // Guessing ahead would count tokens that were not computed one by one.
  const options = {
    prompt, max_tokens: count, temperature: 0, repetition_penalty: 1, ignore_eos: true, lookup: false,
  };
  for await (const step of window.model.generate(options)) {
    text += step.text;
    if (step.token !== null) times.push(performance.now());
  }
  const {prompt_tokens, prompt_ms, tokens, decode_ms} = window.model.timings;
  return {
    prompt_tokens, prompt_ms: times[0] - start, tokens, decode_ms: times.at(-1) - times[0], text,
    own_prompt_ms: prompt_ms, own_decode_ms: decode_ms,
  };
}
