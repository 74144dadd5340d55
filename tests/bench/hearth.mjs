// Hearth in a page, through its JavaScript API.
import {tab} from './tab.mjs';

export const name = 'hearth';
/** Lengths of the answers that are counted: see count.mjs. */
export const counted = [8, 24];

/** Loads a model in a new tab; gives `{load_ms, page, tokenize, generate, info, memory, close}`. */
export async function load({host, profile, model, device, threads, context, flags}) {
  const opened = await tab(profile, host.blank, flags);
  const {page} = opened;
  const load_ms = await opened.begin(begin, [host.model(model), device, threads, context]);
  return {
    load_ms,
    page,
    info: await page.evaluate(() => window.model.info),
    tokenize: text => page.evaluate(text => window.model.tokenize(text), text),
    generate: (prompt, count) => page.evaluate(generate, [prompt, count, device]),
    async memory() {
      return {process: opened.memory(), wasm: await page.evaluate(() => window.model.timings.peak_memory_bytes)};
    },
    close: opened.close,
  };
}

async function begin([url, device, threads, context]) {
  const {Hearth} = await import('/hearth.js');
  const start = performance.now();
  // Compiling the engine counts: the others do it while they load.
  const hearth = await Hearth.open();
  window.model = await hearth.load(url, {device, threads, context});
  const taken = window.model.timings.threads;
  if (taken !== threads) throw new Error(`Hearth took ${taken} threads instead of ${threads}`);
  return performance.now() - start;
}

async function generate([prompt, count, device]) {
  const {answer} = await import('/page/bench/run.js');
  const result = await answer(window.model, prompt, count);
  // From a GPU that fails the CPU takes over.
  const {device: taken} = window.model.timings;
  if (taken !== device) throw new Error(`Hearth answered on ${taken} instead of ${device}: ${window.model.verdict.message}`);
  return result;
}
