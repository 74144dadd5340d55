// One turn as it is shown: a question, or an answer that may still grow. What is there is changed, not made anew.
import {answer, ask} from '../../actions.js';
import {showBranch} from '../../chat/conversations.js';
import {written} from '../../chat/files.js';
import {composing, h, icon, rearrange} from '../../dom.js';
import {number, t} from '../../i18n.js';
import {state} from '../../store.js';
import {chips} from './attach.js';
import {writer} from './markdown.js';
import {goOn, tokenView} from './tokens.js';

const BACK = 'M14 6l-6 6 6 6';
const ON = 'M10 6l6 6-6 6';

/** Walks the branches at a turn: `place`: `{depth, siblings, busy}`, of which the turn is one. */
function branches(turn, {depth, siblings, busy}) {
  if (siblings.length < 2) return null;
  const at = siblings.findIndex(({id}) => id === turn.id);
  const step = (name, by, path) => h('button', {
    type: 'button', id: `${name}-${depth}`, class: name, 'aria-label': t(`branch.${name}`), disabled: busy || !siblings[at + by],
    onclick: () => showBranch(siblings[at + by].id),
  }, icon(path));
  return h('span', {class: 'branches', role: 'group', 'aria-label': t('branch')}, step('earlier', -1, BACK),
    h('span', {class: 'of'}, t('branch.of', {n: number(at + 1), of: number(siblings.length)})), step('later', 1, ON));
}

/** `text` gives what is to be copied. */
function copyButton(text) {
  const copy = async event => {
    const button = event.currentTarget;
    await navigator.clipboard.writeText(text());
    button.textContent = t('act.copied');
    setTimeout(() => { button.textContent = t('act.copy'); }, 2000);
  };
  return navigator.clipboard && h('button', {type: 'button', onclick: copy}, t('act.copy'));
}

/** A question being changed: what is asked then is a branch of its own. */
function editor(turn, close) {
  const box = h('textarea', {rows: Math.min(12, turn.content.split('\n').length + 1), 'aria-label': t('edit.label')});
  box.value = turn.content;
  const send = event => {
    event.preventDefault();
    if (state.answering || !box.value.trim() && !turn.files) return;
    close();
    ask(box.value.trim(), turn.files, turn.parent);
  };
  const keys = event => {
    if (composing(event)) return;
    if (event.key === 'Escape') {
      event.stopPropagation();
      close();
    } else if (event.key === 'Enter' && !event.shiftKey && event.target === box) send(event);
  };
  return h('form', {class: 'editor', onsubmit: send, onkeydown: keys}, chips(turn.files ?? []), box,
    h('div', {class: 'actions'},
      h('button', {class: 'main', type: 'submit'}, t('edit.send')),
      h('button', {class: 'quiet', type: 'button', onclick: close}, t('edit.cancel'))));
}

/** A question. */
export function questionView() {
  const element = h('div', {class: 'turn question'});
  let editing = false;
  let latest;

  function draw() {
    const {turn, place} = latest;
    if (editing) return element.replaceChildren(editor(turn, () => edit(false)));
    element.replaceChildren(
      h('div', {class: 'you'}, h('span', {class: 'hidden'}, `${t('you')}: `), chips(turn.files ?? []), turn.content),
      h('div', {class: 'edits'}, branches(turn, place), copyButton(() => written(turn)),
        h('button', {type: 'button', id: `edit-${place.depth}`, disabled: place.busy, onclick: () => edit(true)}, t('edit'))));
  }

  function edit(now) {
    editing = now;
    draw();
    element.querySelector(editing ? 'textarea' : `#edit-${latest.place.depth}`)?.focus();
  }

  return {
    element, edit,
    update(turn, place) {
      latest = {turn, place};
      if (!editing) draw();
    },
  };
}

/** What an answer took, in words. */
function facts({meta, model}) {
  if (!meta) return [t('meta.end.broken')];
  const {tokens, begun = 0, decode_ms, first_token_ms, finish} = meta;
  const found = [];
  if (tokens !== undefined) found.push(t('meta.tokens', {n: number(tokens + begun)}));
  if (tokens > 1 && decode_ms > 0) found.push(t('meta.speed', {n: number((tokens - 1) / decode_ms * 1000, 1)}));
  if (tokens !== undefined) found.push(t('meta.first', {n: number(first_token_ms / 1000, 2)}));
  if (['length', 'context', 'stopped'].includes(finish)) found.push(t(`meta.end.${finish}`));
  if (model && model !== state.name) found.push(model);
  return found;
}

/** What stands below an answer; `now` gives the turn as it is when a button is pressed. */
function foot(now, place, tokens) {
  const {busy} = place;
  const turn = now();
  const act = (id, onclick, label, more = {}) =>
    h('button', {type: 'button', id: `${id}-${place.depth}`, disabled: busy, onclick, ...more}, label);
  const unfinished = !turn.meta || ['length', 'stopped'].includes(turn.meta.finish);
  return [branches(turn, place), h('div', {class: 'took'}, facts(turn).map(fact => h('span', {}, fact))),
    copyButton(() => now().content),
    act('again', () => answer({to: turn.parent}), t('act.again'), {disabled: busy || !state.model}),
    unfinished && state.model && act('goon', () => goOn(now()), t('act.goon')),
    act('tokens', tokens.toggle, t('tokens'), {'aria-pressed': String(tokens.open), disabled: busy && !tokens.open}),
  ].flat().filter(Boolean);
}

const NESTING = /^(UL|OL|LI|PRE|FIGURE|BLOCKQUOTE|TABLE|TBODY|TR|DIV)$/;

/** Puts the caret behind the last word: in a list that is within its last item. */
function placeCaret(caret, body) {
  let last = body.lastElementChild;
  while (last?.lastElementChild && NESTING.test(last.nodeName)) last = last.lastElementChild;
  (last && !/^(BR|HR|math)$/.test(last.nodeName) ? last : body).append(caret);
}

/** An answer. */
export function answerView() {
  const thought = h('p');
  const summary = h('summary');
  const thoughts = h('details', {class: 'thoughts', hidden: true}, summary, thought);
  const text = h('div', {class: 'md'});
  const reading = h('p', {class: 'small', hidden: true});
  const body = h('div', {class: 'it'}, h('h2', {class: 'hidden'}, t('model')), thoughts, text, reading);
  const meta = h('div', {class: 'meta'});
  const element = h('div', {class: 'turn answer'}, body, meta);
  const caret = h('span', {class: 'caret', 'aria-hidden': 'true'});
  const {write} = writer(text);
  let latest;
  let said = '';
  let view;

  const tokens = {
    get open() { return view !== undefined; },
    toggle() {
      view?.close();
      view = view ? undefined : tokenView(latest.turn);
      text.hidden = Boolean(view);
      if (view) text.after(view.element);
      drawFoot();
    },
  };

  function drawFoot() {
    const {place} = latest;
    rearrange(meta, place.growing ? [] : foot(() => latest.turn, place, tokens));
  }

  function drawThoughts({reasoning, content}, growing) {
    thoughts.hidden = !reasoning;
    if (!reasoning) return;
    summary.textContent = t(growing && !content ? 'thoughts.now' : 'thoughts');
    if (reasoning.startsWith(thought.textContent)) thought.append(reasoning.slice(thought.textContent.length));
    else thought.textContent = reasoning;
    thought.normalize();
  }

  return {
    element,
    toggleTokens: tokens.toggle,
    close: () => view?.close(),
    update(turn, place) {
      const {growing} = place;
      if (view && (growing || turn.content !== latest.turn.content)) tokens.toggle();
      latest = {turn, place};
      drawThoughts(turn, growing);
      caret.remove();
      if (growing || said !== turn.content || element.classList.contains('growing')) write(turn.content, !growing);
      said = turn.content;
      element.classList.toggle('growing', growing);
      if (growing) placeCaret(caret, text);
      reading.hidden = !(growing && !turn.content && state.reading > 0);
      reading.textContent = t('reading', {left: number(state.reading)});
      if (!growing || meta.hasChildNodes()) drawFoot();
    },
  };
}
