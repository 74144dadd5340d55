// Asking and answering: one answer at a time, of which the page shows as much as there is. What has been said is kept every
// second, so that neither a crash nor a closed tab loses more.
import {add, keep, newTurn, update} from './conversations.js';
import {asked, optionsOf, reply} from './reply.js';
import {TOP} from './tokens.js';
import {path} from './tree.js';
import {set, state} from '../store.js';

const KEEP_MS = 1000;

/** Log-probabilities cost the GPU its head start: there, they are found when they are asked for. */
const told = model => model.timings.device === 'cpu' ? {logprobs: TOP} : {};

/**
 * Answers the turn `to`. `turn`: an answer of it that goes on, instead of a new one; `begin`: tokens to begin with. Resolves when
 * the engine is free again. `fail(error, rest)` is told what went wrong, and what is left to do: the first argument for another try.
 */
export async function answerTurn({to, turn, begin}, signal, fail) {
  const {model, system, sampling, turns, name} = state;
  const history = path(turns, to);
  const grown = {...turn ?? newTurn(to, {role: 'assistant'}), model: name, content: '', reasoning: '', meta: undefined};
  const shown = () => state.growing?.id === grown.id;
  set({answering: true, messages: history, growing: grown});
  let latest;
  let list;
  let keptAt = performance.now();
  let ended;
  try {
    ended = await reply(model, {
      messages: asked(history, system), options: {...optionsOf(sampling), ...told(model)}, begin, signal,
      onStep(said, step) {
        set({reading: step.prompt_left, verdict: model.verdict});
        if (!said.content && !said.reasoning) return;
        ({list} = said);
        latest = {...grown, content: said.content, reasoning: said.reasoning};
        if (shown()) set({growing: latest});
        if (performance.now() - keptAt < KEEP_MS) return;
        keptAt = performance.now();
        keep(records(latest, list));
      },
    });
    if (!ended.left) set({timings: await ended.closed});
  } catch (error) {
    fail(error, latest ? {to, turn: latest, begin: list} : {to, turn, begin});
  }
  if (latest) settle({...latest, meta: ended && {...ended.left ? {} : state.timings, finish: ended.finish}}, list);
  else if (shown()) set({messages: path(state.turns, state.conversation.leaf)});
  set({answering: false, reading: 0, ...shown() ? {growing: null} : {}});
  if (!ended?.left) return;
  const figures = await ended.closed.catch(fail);
  if (!figures) return;
  set({timings: figures});
  if (latest) update({...latest, meta: {...figures, finish: ended.finish}});
}

const records = (turn, list) => ({
  turns: [turn], tokens: [{id: turn.id, conversation: turn.conversation, model: turn.model, list}],
});

/** An answer has its place: in the conversation, if that is shown, and in the archive. */
function settle(turn, list) {
  if (state.conversation?.id === turn.conversation) add(turn);
  return keep(records(turn, list));
}
