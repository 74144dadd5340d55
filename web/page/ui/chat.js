// The conversation and the box below it.
import {answer, ask, load, stop} from '../actions.js';
import {$, h, icon} from '../dom.js';
import {megabytes, number, t} from '../i18n.js';
import {coming, on, set, state} from '../store.js';
import {markdown} from './markdown.js';
import {progressCard} from './progress.js';

const SEND = 'M12 19V5M6 11l6-6 6 6';
const STOP = 'M7 7h10v10H7z';

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

function meta({meta, content}, last) {
  const facts = [];
  if (meta) {
    facts.push(t('meta.tokens', {n: number(meta.tokens)}));
    if (meta.tokens > 1 && meta.decode_ms > 0) facts.push(t('meta.speed', {n: number((meta.tokens - 1) / meta.decode_ms * 1000, 1)}));
    facts.push(t('meta.first', {n: number(meta.first_token_ms / 1000, 2)}));
    if (['length', 'context', 'stopped'].includes(meta.finish)) facts.push(t(`meta.end.${meta.finish}`));
  }
  const copy = async event => {
    const button = event.currentTarget;
    await navigator.clipboard.writeText(content);
    button.textContent = t('act.copied');
  };
  return h('div', {class: 'meta'}, facts.map(fact => h('span', {}, fact)),
    navigator.clipboard && h('button', {onclick: copy}, t('act.copy')),
    last && h('button', {onclick: answer}, t('act.again')));
}

/** Answers whose thoughts are shown, by the number of their turn. */
const shown = new Set();

/** What the model thought before it answered in turn `i`. */
function thoughts(reasoning, busy, i) {
  if (!reasoning) return null;
  const note = event => shown[event.currentTarget.open ? 'add' : 'delete'](i);
  return h('details', {class: 'thoughts', open: shown.has(i), ontoggle: note},
    h('summary', {}, t(busy ? 'thoughts.now' : 'thoughts')), h('p', {}, reasoning));
}

/** The model's words; with a caret while they come. */
function words(content, busy, reasoning, i) {
  const body = h('div', {class: 'it'}, h('span', {class: 'hidden'}, `${t('model')}: `),
    thoughts(reasoning, busy && !content, i), markdown(content));
  if (busy) {
    // Behind the last word: in a list that is within its last item.
    let last = body.lastElementChild;
    while (/^(UL|OL|PRE)$/.test(last.tagName)) last = last.lastElementChild;
    if (['hidden', 'thoughts'].includes(last.className)) last = body;
    last.append(h('span', {class: 'caret', 'aria-hidden': 'true'}));
    if (!content && state.reading > 0) body.append(h('p', {class: 'small'}, t('reading', {left: state.reading})));
  }
  return body;
}

function turn(message, last, i) {
  const {role, content, reasoning} = message;
  if (role === 'user') return h('div', {class: 'you'}, h('span', {class: 'hidden'}, `${t('you')}: `), content);
  const growing = last && state.answering && !message.meta;
  return h('div', {}, words(content, growing, reasoning, i), !growing && meta(message, last && !state.answering));
}

/** What follows the last turn: an answer that has not begun, or what is needed for one. */
function after(last) {
  if (last.role !== 'user') return [];
  if (state.answering) return [words('', true)];
  if (!state.model) return coming() ? [] : [welcome()];
  return [h('div', {class: 'meta'}, h('button', {onclick: answer}, t('error.retry')))];
}


/** Turns are drawn when they change; while one grows the rest is left alone, so a selection in it survives. */
let drawn = [];
function drawMessages({anew}) {
  const {messages, model, answering} = state;
  const list = $('messages');
  const near = $('flow').scrollHeight - $('flow').scrollTop - $('flow').clientHeight < 80;
  list.setAttribute('aria-busy', answering);
  if (anew) drawn = [];
  // The last turn's foot depends on whether an answer is under way.
  const marks = messages.map((message, i) => [message, i === messages.length - 1, i === messages.length - 1 && answering]);
  const same = (a, b) => a && a.every((part, i) => part === b[i]);
  marks.forEach((mark, i) => {
    if (same(drawn[i]?.mark, mark)) return;
    const element = turn(mark[0], mark[1], i);
    if (drawn[i]) drawn[i].element.replaceWith(element);
    drawn[i] = {mark, element};
  });
  drawn.length = marks.length;
  const asked = messages.at(-1)?.role === 'user';
  const rest = messages.length > 0 ? after(messages.at(-1)) : coming() ? [] : [model ? examples() : welcome()];
  const elements = [...drawn.map(({element}) => element), ...rest];
  // Whatever is in place already is not moved: that would lose focus and selection.
  [...list.children].filter(child => !elements.includes(child)).forEach(child => child.remove());
  elements.forEach((element, i) => {
    if (list.children[i] !== element) list.insertBefore(element, list.children[i] ?? null);
  });
  if (near || asked) $('flow').scrollTop = $('flow').scrollHeight;
}

function drawBox() {
  const {answering, model, timings} = state;
  $('ask').placeholder = t(model ? 'ask.hint' : 'ask.waiting');
  const label = t(answering ? 'ask.stop' : 'ask.send');
  $('send').replaceChildren(icon(answering ? STOP : SEND));
  $('send').classList.toggle('stop', answering);
  $('send').setAttribute('aria-label', label);
  $('send').title = label;
  $('send').disabled = !answering && !$('ask').value.trim();
  const used = timings?.context_used;
  $('context').textContent = model && used ? t('ask.context', {used: number(used), all: number(model.info.context)}) : '';
}

function fit() {
  const box = $('ask');
  box.style.height = 'auto';
  box.style.height = `${Math.min(box.scrollHeight, 200)}px`;
  drawBox();
}

export function chat() {
  $('flow').append(h('div', {class: 'column'}, progressCard()));
  on(['messages', 'answering', 'reading'], () => drawMessages({anew: false}));
  on(['phase', 'model', 'catalog', 'stored', 'language', 'source', 'wanted'], () => drawMessages({anew: true}));
  on(['answering', 'model', 'timings', 'language'], drawBox);
  const box = $('ask');
  box.value = state.draft;
  fit();
  box.addEventListener('input', () => {
    set({draft: box.value});
    fit();
  });
  // Enter that ends the choice of a Chinese character is not meant for us; Safari tells by the key code alone.
  const composing = event => event.isComposing || event.keyCode === 229;
  box.addEventListener('keydown', event => {
    if (event.key !== 'Enter' || event.shiftKey || composing(event)) return;
    event.preventDefault();
    if (!state.answering) $('form').requestSubmit();
  });
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape' && state.answering && !composing(event)) stop();
  });
  $('form').addEventListener('submit', event => {
    event.preventDefault();
    if (state.answering) return stop();
    const text = box.value.trim();
    if (!text) return;
    box.value = '';
    set({draft: ''});
    ask(text);
    fit();
    box.focus();
  });
}
