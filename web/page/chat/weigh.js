// How likely a model finds an answer that is there already, token by token: for answers whose probabilities were not told when
// they were made, or that another model made.
import {set, state} from '../store.js';
import {archive} from './archive.js';
import {keep} from './conversations.js';
import {asked} from './reply.js';
import {pack, TOP} from './tokens.js';
import {path} from './tree.js';

/** What is kept of an answer's tokens: `{list, model}`, see chat/tokens.js, and whose they are. */
export async function tokensOf(turn) {
  return await (await archive()).get('tokens', turn.id) ?? {list: [], model: ''};
}

/** Finds and keeps the probabilities of an answer's tokens; `weighing` in the state tells how far it has come. */
export async function weigh(turn, signal) {
  const {model, name, system, turns} = state;
  set({weighing: {id: turn.id, done: 0, of: 0}});
  try {
    const known = await tokensOf(turn);
    const ids = known.model === name ? known.list.map(([id]) => id) : await model.tokenize(turn.content);
    const prompt = await model.tokenize(await model.render(asked(path(turns, turn.parent), system)));
    const list = [];
    for (const [i, id] of ids.entries()) {
      // What was read before is in the cache: each of these reads one token.
      list.push(await weighOne(model, [...prompt, ...ids.slice(0, i)], id, signal));
      if (signal.aborted) return;
      set({weighing: {id: turn.id, done: i + 1, of: ids.length}});
    }
    await keep({tokens: [{id: turn.id, conversation: turn.conversation, model: name, list}]});
  } finally {
    set({weighing: null});
  }
}

async function weighOne(model, tokens, id, signal) {
  const options = {temperature: 0, repetition_penalty: 1, max_tokens: 1, ignore_eos: true, lookup: false, logprobs: TOP};
  for await (const {logprobs} of model.generate({...options, tokens, signal})) {
    if (!logprobs) continue;
    const {top} = logprobs;
    const said = top.find(one => one.id === id);
    if (said) return pack({logprobs: {...said, top}});
    // None of the likeliest: at most as likely as the last of them.
    const bytes = new TextEncoder().encode(await model.detokenize([id]));
    return pack({logprobs: {id, bytes, logprob: top.at(-1).logprob, top}});
  }
  return undefined;
}
