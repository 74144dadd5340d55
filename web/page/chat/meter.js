// How much of the context a conversation takes, with what is about to be asked: counted by the model's own template and tokens.
import {asked} from './reply.js';

const LATE_MS = 250;
let late;
let asking = 0;

/** Tokens of `turns` as a prompt. */
export async function count(model, turns, system) {
  return (await model.tokenize(await model.render(asked(turns, system)))).length;
}

/** Counts once nothing has changed for a moment; `tell(tokens)` hears of the latest count alone. */
export function countSoon(model, turns, system, tell) {
  clearTimeout(late);
  const mine = ++asking;
  late = setTimeout(async () => {
    const tokens = await count(model, turns, system).catch(() => undefined);
    if (mine === asking) tell(tokens);
  }, LATE_MS);
}

/** As much of `text` as `most` tokens are. */
export async function shortened(model, text, most) {
  const tokens = await model.tokenize(text);
  return tokens.length <= most ? text : model.detokenize(tokens.slice(0, Math.max(0, most)));
}
