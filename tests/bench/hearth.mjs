// Hearth in a page, through its JavaScript API.
import {tab} from './tab.mjs';

export const name = 'hearth';

/** Loads a model in a new tab; gives `{load_ms, tokenize, generate, info, memory, close}`. */
export async function load({host, profile, model, threads, context}) {
  const opened = await tab(profile, host.blank);
  const {page} = opened;
  const load_ms = await opened.begin(begin, [host.model(model), threads, context]);
  return {
    load_ms,
    info: await page.evaluate(() => window.model.info),
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
  const {answer} = await import('/page/bench/run.js');
  return answer(window.model, prompt, count);
}
