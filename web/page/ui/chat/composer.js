// The box a question is written in: files beside it, how tokens are chosen, how much of the context it takes.
import {ask, stop} from '../../actions.js';
import {countSoon, shortened} from '../../chat/meter.js';
import {$, choose, composing, h, icon, rearrange} from '../../dom.js';
import {number, t} from '../../i18n.js';
import {on, set, state} from '../../store.js';
import {attach, chips, dropping} from './attach.js';
import {editLast} from './flow.js';
import {presetSelect} from './presets.js';

const SEND = 'M12 19V5M6 11l6-6 6 6';
const STOP = 'M7 7h10v10H7z';

/** Of the context an answer needs at least so much. */
const ROOM = 32;

function drawBox() {
  const {answering, model} = state;
  $('ask').placeholder = t(model ? 'ask.hint' : 'ask.waiting');
  const label = t(answering ? 'ask.stop' : 'ask.send');
  $('send').replaceChildren(icon(answering ? STOP : SEND));
  $('send').classList.toggle('stop', answering);
  $('send').setAttribute('aria-label', label);
  $('send').title = label;
  $('send').disabled = !answering && !$('ask').value.trim() && state.files.length === 0;
}

/** As high as what is written, or as what invites to write; out of sight there is nothing to go by. */
function fit() {
  drawBox();
  const box = $('ask');
  box.style.height = 'auto';
  if (box.scrollHeight > 0) box.style.height = `${Math.min(box.scrollHeight, 200)}px`;
}

/** The files that were beside the question when it was counted last. */
let counted;

/** Counts what the conversation takes with what is in the box; an answer's own figures come with its end. */
function measure() {
  const {model, messages, draft, files, system, answering} = state;
  if (!model || model.info.encoder) return set({used: undefined});
  if (answering) return undefined;
  const about = draft.trim() || files.length > 0 ? [{role: 'user', content: draft, files}] : [];
  const turns = [...messages, ...about];
  if (turns.length === 0) return countSoon(model, [], '', () => set({used: undefined}));
  return countSoon(model, turns, system, used => {
    counted = files;
    set({used});
    drawMeter();
  });
}

function drawMeter() {
  const {model, used} = state;
  const all = model?.info.context;
  $('context').textContent = all && used ? t('ask.context', {used: number(used), all: number(all)}) : '';
  const meter = $('context-meter');
  meter.hidden = !all || !used;
  if (!meter.hidden) {
    meter.max = all;
    meter.high = 0.85 * all;
    meter.value = Math.min(used, all);
  }
  const refused = state.refused.map(({name, why}) => h('p', {}, t(`attach.${why}`, {name})));
  const isOver = over() > 0 && !state.answering && counted === state.files;
  // What it says already is not said again.
  rearrange($('box-note'), [...refused, ...isOver ? tooLong(used, all) : []]);
}

/** Tokens too many; NaN where nobody has counted. */
const over = () => state.used + ROOM - state.model?.info.context;

const longest = () => state.files.toSorted((a, b) => b.text.length - a.text.length)[0];

/** Shortens the longest file; pressed twice, once. */
async function shorten() {
  const [{model}, file, much] = [state, longest(), over()];
  const tokens = (await model.tokenize(file.text)).length;
  const text = await shortened(model, file.text, tokens - much - 2 * ROOM);
  set({files: state.files.map(one => one === file ? {...file, text} : one)});
}

/** Says that it is too long, and what helps. */
function tooLong(used, all) {
  const file = longest();
  const note = h('p', {}, t(file ? 'ask.long.file' : 'ask.long', {used: number(used), all: number(all)}));
  if (!file) return [note];
  return [note, h('button', {type: 'button', class: 'quiet', onclick: shorten}, t('attach.shorten', {name: file.name}))];
}

/** Takes what is text beside the question, and says what is none until something else is given or asked. */
function take(files) {
  set({refused: []});
  const same = (a, b) => a.name === b.name && a.why === b.why;
  return attach(files, file => state.refused.some(one => same(one, file)) || set({refused: [...state.refused, file]}));
}

function send(event) {
  event.preventDefault();
  if (state.answering) return stop();
  const box = $('ask');
  const text = box.value.trim();
  const {files} = state;
  if (!text && files.length === 0) return undefined;
  box.value = '';
  set({draft: '', files: [], refused: []});
  ask(text, files);
  fit();
  return box.focus();
}

export function composer() {
  const box = $('ask');
  const row = $('context').parentElement;
  const button = h('button', {type: 'button', id: 'attach', onclick: () => choose(take)});
  const meter = h('meter', {id: 'context-meter', min: 0, 'aria-labelledby': 'context', hidden: true});
  const beside = h('div', {id: 'files'});
  box.before(beside);
  row.before(h('div', {id: 'box-note', class: 'box-note', role: 'status'}));
  row.prepend(button, presetSelect());
  $('context').before(meter);
  dropping($('chat'), box, take);

  on(['answering', 'model', 'language', 'files', 'view'], fit);
  on(['files', 'language'], () => {
    const remove = file => set({files: state.files.filter(one => one !== file)});
    beside.replaceChildren(...[chips(state.files, remove)].filter(Boolean));
    button.textContent = t('attach');
    button.title = t('attach.hint');
  });
  on(['timings'], () => {
    if (state.timings) set({used: state.timings.context_used});
  });
  on(['messages', 'draft', 'files', 'system', 'model', 'answering'], measure);
  on(['used', 'model', 'language', 'answering', 'refused', 'files'], drawMeter);

  // Who wrote before the page was ready keeps that.
  if (box.value) set({draft: box.value});
  else box.value = state.draft;
  fit();
  box.addEventListener('input', () => {
    set({draft: box.value});
    fit();
  });
  box.addEventListener('keydown', event => {
    if (composing(event)) return;
    if (event.key === 'ArrowUp' && !box.value) {
      event.preventDefault();
      editLast();
    }
    if (event.key !== 'Enter' || event.shiftKey) return;
    event.preventDefault();
    if (!state.answering) $('form').requestSubmit();
  });
  $('form').addEventListener('submit', send);
}
