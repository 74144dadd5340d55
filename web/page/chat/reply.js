// One answer: what the model is asked, and what it says, step by step. It can be left at any moment: the engine winds down behind.
import {written} from './files.js';
import {begun, pack} from './tokens.js';

/** The conversation as the model sees it. */
export function asked(turns, system) {
  const messages = turns.map(turn => ({role: turn.role, content: turn.role === 'user' ? written(turn) : turn.content}));
  return system.trim() ? [{role: 'system', content: system}, ...messages] : messages;
}

/** Options of `generate` from what the person chose. */
export function optionsOf({seed, ...sampling}) {
  return seed === '' ? sampling : {...sampling, seed: Math.max(0, Math.floor(Number(seed)))};
}

/**
 * Makes an answer, told to `onStep({content, reasoning, list}, step)` as it grows. `begin`: tokens that it begins with, see
 * chat/tokens.js. `signal` ends it at once (`left`), while the engine winds down: `closed` resolves to the answer's figures when it
 * has.
 */
export async function reply(model, {messages, options, begin = [], signal, onStep}) {
  const said = {content: '', reasoning: '', list: [...begin]};
  let finish = 'stopped';
  const more = begin.length > 0 ? {begun: begun(begin), max_tokens: options.max_tokens + begin.length} : {};
  const steps = model.generate({messages, ...options, ...more, signal});
  const left = new Promise(resolve => signal.addEventListener('abort', () => resolve({done: true, left: true}), {once: true}));
  let next;
  while (!(next = await Promise.race([left, steps.next()])).done) {
    const step = next.value;
    said.content += step.content ?? step.text;
    said.reasoning += step.reasoning ?? '';
    finish = step.finish ?? finish;
    if (step.token !== null) said.list.push(pack(step));
    onStep({...said}, step);
  }
  const closed = (next.left ? steps.return() : Promise.resolve()).then(() => {
    const {tokens, ...timings} = model.timings;
    return {...timings, tokens: tokens - begin.length, begun: begin.length};
  });
  return {finish, left: Boolean(next.left), closed};
}
