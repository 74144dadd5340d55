// The tokens of an answer and how likely each was. Kept as `[id, bytes, logprob, [[id, bytes, logprob], ...]]`, bytes as a string
// of characters below 256: a token may be a part of a character. Where nobody asked how likely they are, the last two are missing.
import {bytesOf, joined, latin1, spelled} from '../pieces.js';

/** How many of the likeliest are kept. */
export const TOP = 5;

const packed = ({id, bytes, logprob}) => [id, latin1(bytes), Number(logprob.toFixed(3))];
const encoded = text => latin1(new TextEncoder().encode(text));

/** A step of `generate` as it is kept. */
export const pack = ({token, text, logprobs}) =>
  logprobs ? [...packed(logprobs), logprobs.top.map(packed)] : [token, encoded(text)];

/** Tokens of a text whose own texts nobody told. */
export const retold = (ids, text) => ids.map((id, i) => [id, i === 0 ? encoded(text) : '']);

/** Whether every token has its probability. */
export const weighed = list => list.length > 0 && list.every(token => token.length === 4);

/** The texts of tokens; a character that several make together stands with the last of them. */
export const texts = list => joined(list.map(([, bytes]) => bytesOf(bytes)));

/** The text of one token by itself. */
export const alone = ([, bytes]) => spelled(bytesOf(bytes));

export const probability = ([,, logprob]) => Math.exp(logprob);

/** An answer's beginning for `generate`. Characters that are not complete yet are the engine's business. */
export const begun = list => ({tokens: list.map(([id]) => id), text: texts(list).join('')});

/** How sure a model was: the geometric mean of its tokens' probabilities, and how many are below `low`. */
export function sureness(list, low) {
  const sum = list.reduce((sum, [,, logprob]) => sum + logprob, 0);
  return {mean: Math.exp(sum / list.length), rare: list.filter(token => probability(token) < low).length};
}
