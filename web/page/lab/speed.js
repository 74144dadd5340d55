// How fast a model reads and answers here: one run to warm up, then several, each with another text.
import {prompt} from '../bench/prompts.js';
import {answer} from '../bench/run.js';
import {speeds} from '../bench/statistics.js';

const RUNS = 5;

/** `{prompt, decode, prompt_tokens, made_tokens, runs, device, threads, kernel, build}`: `{median, low, high}` tokens a second. */
export async function speed(hearth, source, {signal, onProgress}) {
  const model = await hearth.load(source, {device: 'cpu', signal});
  try {
    const made_tokens = Math.min(64, model.info.context >> 2);
    const prompt_tokens = Math.min(128, model.info.context - made_tokens);
    const measured = [];
    for (let run = 0; run <= RUNS; run++) {
      onProgress({what: 'timing', done: run, of: RUNS + 1});
      const text = await prompt(text => model.tokenize(text), run, prompt_tokens);
      const result = await answer(model, text, made_tokens, signal);
      if (run > 0) measured.push(result);
    }
    const {prompt: reading, decode} = speeds(measured);
    const {device, threads, kernel, build} = model.timings;
    return {prompt: reading, decode, prompt_tokens, made_tokens, runs: RUNS, device, threads, kernel, build};
  } finally {
    model.unload();
  }
}
