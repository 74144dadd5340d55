// Two models over one prompt. The original answers, the likeliest token each time; the smaller one is led along that answer
// token by token, and tells at each what it would have said and how likely it finds what was said. Then it answers by itself.
import {joined, spelled} from '../pieces.js';

/** How many of the likeliest tokens are asked for. */
const TOP = 20;

const GREEDY = {temperature: 0, repetition_penalty: 1, logprobs: TOP, lookup: false};

/** A model's own answer: `[{id, bytes, logprob, top}]`. */
export async function answer(model, tokens, count, {signal, onStep}) {
  const steps = [];
  for await (const {token, logprobs} of model.generate({...GREEDY, tokens, max_tokens: count, signal})) {
    if (token !== null && logprobs) onStep(steps.push(logprobs));
  }
  signal.throwIfAborted();
  return steps;
}

/** What a model would say at each place of an answer that is given: `[{id, bytes, logprob, top}]`. */
export async function led(model, tokens, said, {signal, onStep}) {
  const steps = [];
  for (let i = 0; i < said.length; i++) {
    // What was read before is in the cache: each of these reads one token.
    const so_far = [...tokens, ...said.slice(0, i)];
    const options = {...GREEDY, tokens: so_far, max_tokens: 1, ignore_eos: true, signal};
    for await (const {token, logprobs} of model.generate(options)) {
      if (token !== null && logprobs) onStep(steps.push(logprobs));
    }
    signal.throwIfAborted();
  }
  return steps;
}

/**
 * What was found, token by token of the original's answer: `{text, alone, p, q, rare, same, tops}`: how likely the original finds it,
 * and the other (below that, if it is none of its likeliest: `rare`), and whether both find the same token likeliest.
 */
export function compared(said, guessed) {
  const words = joined(said.map(({bytes}) => bytes));
  return said.map(({id, bytes, logprob, top}, i) => {
    const other = guessed[i].top;
    const found = other.find(one => one.id === id);
    const told = list => list.slice(0, 3).map(one => ({text: spelled(one.bytes), p: Math.exp(one.logprob)}));
    return {
      text: words[i], alone: spelled(bytes), p: Math.exp(logprob), q: Math.exp((found ?? other.at(-1)).logprob), rare: !found,
      same: other[0].id === id, tops: [told(top), told(other)],
    };
  });
}

/** How many tokens two answers have in common from the beginning. */
export function together(one, other) {
  const parting = one.findIndex(({id}, i) => id !== other[i]?.id);
  return parting < 0 ? one.length : parting;
}

/** Tokens of a prompt: as a turn of a conversation, for models that have any. */
export async function prompt(model, text) {
  return model.tokenize(model.info.chat ? await model.render([{role: 'user', content: text}]) : text);
}
