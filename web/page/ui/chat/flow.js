// The conversation: its turns, the answer that grows, and what is there before anything is said. Turns keep their elements; a
// growing answer is drawn once a frame at most, and seldomer where a frame would not be enough.
import {answer, ask, load} from '../../actions.js';
import {after} from '../../chat/tree.js';
import {$, arrange, h, icon, reused} from '../../dom.js';
import {megabytes, t} from '../../i18n.js';
import {coming, on, set, state} from '../../store.js';
import {progressCard} from '../progress.js';
import {copying} from './copy.js';
import {loadRich} from './markdown.js';
import {answerView, questionView} from './turn.js';

/** So near its end the flow follows what is written. */
const NEAR = 80;
const DOWN = 'M12 5v14M6 13l6 6 6-6';

function welcome() {
  const {catalog, stored, source, wanted} = state;
  if (!catalog) return h('div', {class: 'welcome'});
  const entry = catalog.find(({id}) => id === (wanted?.source ?? source)) ?? catalog[0];
  const have = stored.find(({plan}) => plan.key === `sha256-${entry.sha256}`)?.stored_bytes ?? 0;
  const label = have === 0 ? 'welcome.get' : have < entry.size_bytes ? 'welcome.resume' : 'welcome.load';
  const values = {name: entry.name, size: megabytes(entry.size_bytes), have: megabytes(have), licence: entry.licence};
  const licence = h('a', {href: entry.licence_url, target: '_blank', rel: 'noopener'}, entry.licence);
  return h('div', {class: 'welcome'},
    h('span', {class: 'ember large', 'aria-hidden': 'true'}),
    h('h1', {}, t('welcome.title')),
    h('p', {}, t('welcome.text')),
    h('button', {class: 'main', id: 'get', onclick: () => load(entry.id, entry.name)}, t(label, values)),
    h('p', {class: 'small'}, t(have > 0 ? 'welcome.kept' : 'welcome.facts', values), ' ', licence),
    h('button', {class: 'quiet', onclick: () => set({view: 'models'})}, t('welcome.other')));
}

/** What to expect of the model: [whether it answers, words]. */
function expectation({chat, template, encoder}) {
  if (encoder) return [false, t('empty.encoder')];
  if (chat) return [true, t('empty.text')];
  return template === 'plain' ? [false, t('empty.base')] : [true, t('empty.default', {template})];
}

function examples() {
  const [chatty, words] = expectation(state.model.info);
  return h('div', {class: 'welcome'},
    h('h1', {}, t('empty.title')),
    h('p', {}, words),
    chatty && h('div', {class: 'examples'},
      [1, 2, 3].map(n => h('button', {class: 'example', onclick: () => ask(t(`empty.${n}`))}, t(`empty.${n}`)))));
}

/** What stands behind the turns: what is needed for an answer, or where to begin. */
function rest(last) {
  if (!last) return coming() ? [] : [state.model ? examples() : welcome()];
  if (last.role !== 'user') return [];
  if (!state.model) return coming() ? [] : [welcome()];
  return [h('div', {class: 'meta'}, h('button', {type: 'button', onclick: () => answer()}, t('error.retry')))];
}

/** What shows each turn, by its id: `{view, now}`, and as what it was drawn last. */
const views = new Map();
/** The conversation and the question that were scrolled to last. */
let opened = '';
let reached = '';

const near = () => $('flow').scrollHeight - $('flow').scrollTop - $('flow').clientHeight < NEAR;
const toEnd = () => { $('flow').scrollTop = $('flow').scrollHeight; };

/** Where each shown turn stands: `{depth, siblings, busy, growing}`. */
function places(shown) {
  const {turns, growing, answering} = state;
  return shown.map((turn, depth) => {
    const known = after(turns, turn.parent);
    const siblings = known.some(({id}) => id === turn.id) ? known : [...known, turn];
    return {depth, siblings, busy: answering, growing: turn === growing};
  });
}

/** Whether a turn looks the same as when it was drawn last. */
const same = (a, b) => a && a.turn === b.turn && ['depth', 'busy', 'growing'].every(key => a.place[key] === b.place[key])
  && a.place.siblings.length === b.place.siblings.length && a.name === b.name && a.model === b.model;

function drop(id) {
  views.get(id).view.close?.();
  views.delete(id);
}

function draw({anew = false} = {}) {
  const {messages, growing, answering, name, model} = state;
  const list = $('messages');
  const follow = near();
  const focused = list.contains(document.activeElement) ? document.activeElement.id : '';
  list.setAttribute('aria-busy', answering);
  if (anew) [...views.keys()].forEach(drop);
  const shown = growing ? [...messages.filter(({id}) => id !== growing.id), growing] : messages;
  const asked = shown.length > 0 && shown.at(-1).role === 'user' && shown.at(-1).id !== reached;
  const where = places(shown);
  const elements = shown.map((turn, i) => {
    if (!views.has(turn.id)) views.set(turn.id, {view: turn.role === 'user' ? questionView() : answerView()});
    const kept = views.get(turn.id);
    const now = {turn, place: where[i], name, model: Boolean(model)};
    if (!same(kept.now, now)) kept.view.update(turn, where[i]);
    kept.now = now;
    return kept.view.element;
  });
  [...views.keys()].filter(id => !shown.some(turn => turn.id === id)).forEach(drop);
  arrange(list, [...elements, ...growing ? [] : reused(list.children, rest(shown.at(-1)))]);
  if (focused && document.activeElement === document.body) $(focused)?.focus({preventScroll: true});
  if (asked) reached = shown.at(-1).id;
  if (follow || asked || opened !== state.open) toEnd();
  opened = state.open;
  hint();
}

let waiting = false;
let restUntil = 0;

/** Draws what has grown with the next frame. */
function drawSoon() {
  if (waiting || !state.growing) return;
  waiting = true;
  requestAnimationFrame(function frame(now) {
    if (now < restUntil) return requestAnimationFrame(frame);
    waiting = false;
    const kept = state.growing && views.get(state.growing.id);
    if (!kept) return;
    const start = performance.now();
    const follow = near();
    kept.view.update(state.growing, kept.now.place);
    kept.now = {...kept.now, turn: state.growing};
    if (follow) toEnd();
    hint();
    // A third of the time at most.
    restUntil = now + 3 * (performance.now() - start) - 16;
  });
}

/** Leads back to the end where one has scrolled away from it. */
function hint() {
  $('latest').hidden = near();
}

/** Changes the last question. */
export function editLast() {
  const last = state.messages.findLast(({role}) => role === 'user');
  if (last && !state.answering) views.get(last.id)?.view.edit(true);
}

/** Shows the tokens of the last answer, or its text again. */
export function toggleLastTokens() {
  const last = state.messages.findLast(({role}) => role === 'assistant');
  if (last && !state.answering) views.get(last.id)?.view.toggleTokens();
}

export function flow() {
  $('flow').append(h('div', {class: 'column'}, progressCard()));
  const down = h('button', {type: 'button', id: 'latest', class: 'latest', hidden: true, onclick: toEnd}, icon(DOWN));
  $('form').prepend(down);
  $('flow').addEventListener('scroll', hint, {passive: true});
  copying($('messages'));
  let growing;
  on(['messages', 'turns', 'answering', 'growing', 'model', 'name'], () => {
    // While one and the same answer grows the rest stays as it is.
    if (state.growing && state.growing.id === growing) return drawSoon();
    growing = state.growing?.id;
    draw();
  });
  on(['reading'], drawSoon);
  on(['phase', 'catalog', 'stored', 'source', 'wanted'], () => draw());
  on(['language'], () => {
    down.setAttribute('aria-label', t('chat.latest'));
    draw({anew: true});
  });
  // With a model answers are to be expected.
  on(['phase'], () => state.phase !== 'none' && loadRich());
}
