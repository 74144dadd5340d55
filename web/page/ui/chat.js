// The conversation and the box below it.
import {answer, ask, load, regenerate, stop} from '../actions.js';
import {$, h, icon} from '../dom.js';
import {megabytes, number, t} from '../i18n.js';
import {on, set, state} from '../store.js';
import {markdown} from './markdown.js';
import {progressCard} from './progress.js';

const SEND = 'M12 19V5M6 11l6-6 6 6';
const STOP = 'M8 8h8v8H8z';

function welcome() {
  const {catalog, stored, phase, source} = state;
  if (phase === 'download' || phase === 'load') return progressCard();
  if (!catalog) return h('div', {class: 'welcome'});
  const entry = catalog.find(({id}) => id === source) ?? catalog[0];
  const have = stored?.find(({plan}) => plan.key === `sha256-${entry.sha256}`)?.stored_bytes ?? 0;
  const label = have === 0 ? 'welcome.get' : have < entry.size_bytes ? 'welcome.resume' : 'welcome.load';
  const values = {name: entry.name, size: megabytes(entry.size_bytes), have: megabytes(have), licence: entry.licence};
  return h('div', {class: 'welcome'},
    h('span', {class: 'ember large', 'aria-hidden': 'true'}),
    h('h1', {}, t('welcome.title')),
    h('p', {}, t('welcome.text')),
    h('button', {class: 'main', id: 'get', onclick: () => load(entry.id, entry.name)}, t(label, values)),
    h('p', {class: 'small'}, t(have > 0 ? 'welcome.kept' : 'welcome.facts', values)),
    h('button', {class: 'quiet', onclick: () => set({view: 'models'})}, t('welcome.other')));
}

function examples() {
  const chatty = state.model.info.chat;
  return h('div', {class: 'welcome'},
    h('h1', {}, t('empty.title')),
    h('p', {}, t(chatty ? 'empty.text' : 'empty.base')),
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
    h('button', {onclick: copy}, t('act.copy')),
    last && h('button', {onclick: regenerate}, t('act.again')));
}

function turn(message, last) {
  const {role, content} = message;
  if (role === 'user') {
    return h('div', {class: 'you'}, h('span', {class: 'hidden'}, `${t('you')}: `), content);
  }
  const busy = last && state.answering;
  const body = h('div', {class: 'it'}, h('span', {class: 'hidden'}, `${t('model')}: `), markdown(content));
  if (busy) {
    (body.lastElementChild ?? body).append(h('span', {class: 'caret', 'aria-hidden': 'true'}));
    if (!content && state.reading > 0) body.append(h('p', {class: 'small'}, t('reading', {left: state.reading})));
  }
  return h('div', {}, body, !busy && meta(message, last));
}

/** Only the last turn is drawn again while it grows; the rest is left alone, so a selection in it survives. */
function drawMessages() {
  const {messages, model, phase} = state;
  const list = $('messages');
  const waiting = phase === 'download' || phase === 'load';
  list.setAttribute('aria-busy', state.answering);
  if (messages.length === 0) {
    list.replaceChildren(model && !waiting ? examples() : welcome());
    return;
  }
  const near = $('flow').scrollHeight - $('flow').scrollTop - $('flow').clientHeight < 80;
  const growing = state.answering && list.dataset.count === String(messages.length);
  if (growing) {
    list.lastElementChild.replaceWith(turn(messages.at(-1), true));
  } else {
    const turns = messages.map((message, i) => turn(message, i === messages.length - 1));
    const pending = messages.at(-1).role === 'user' && !state.answering;
    if (waiting) turns.push(progressCard());
    else if (!model) turns.push(welcome());
    else if (pending) turns.push(h('div', {class: 'meta'}, h('button', {onclick: answer}, t('error.retry'))));
    list.replaceChildren(...turns);
  }
  list.dataset.count = state.answering ? messages.length : '';
  if (near || !growing) $('flow').scrollTop = $('flow').scrollHeight;
}

function drawBox() {
  const {answering, model, timings} = state;
  $('ask').placeholder = t(model ? 'ask.hint' : 'ask.waiting');
  const label = t(answering ? 'ask.stop' : 'ask.send');
  $('send').replaceChildren(icon(answering ? STOP : SEND));
  $('send').setAttribute('aria-label', label);
  $('send').title = label;
  $('send').disabled = !answering && !$('ask').value.trim();
  const used = timings?.context_used ?? 0;
  $('context').textContent = model ? t('ask.context', {used: number(used), all: number(model.info.context)}) : '';
}

function fit() {
  const box = $('ask');
  box.style.height = 'auto';
  box.style.height = `${Math.min(box.scrollHeight, 200)}px`;
  drawBox();
}

export function chat() {
  on(['messages', 'answering', 'reading', 'phase', 'progress', 'model', 'catalog', 'stored', 'language', 'source'], drawMessages);
  on(['answering', 'model', 'timings', 'language'], drawBox);
  const box = $('ask');
  box.addEventListener('input', fit);
  box.addEventListener('keydown', event => {
    // Enter that ends the choice of a Chinese character is not meant for us.
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    $('form').requestSubmit();
  });
  document.addEventListener('keydown', event => {
    if (event.key === 'Escape' && state.answering) stop();
  });
  $('form').addEventListener('submit', event => {
    event.preventDefault();
    if (state.answering) return stop();
    if (!box.value.trim()) return;
    ask(box.value.trim());
    box.value = '';
    fit();
  });
}
