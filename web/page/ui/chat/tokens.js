// An answer token by token: how sure the model was is drawn under the words; each tells what else could have stood there, and the
// answer can go on from that.
import {answer, weighAnswer} from '../../actions.js';
import {add, keep, newTurn} from '../../chat/conversations.js';
import {alone, probability, retold, sureness, texts, weighed} from '../../chat/tokens.js';
import {tokensOf} from '../../chat/weigh.js';
import {h} from '../../dom.js';
import {number, t} from '../../i18n.js';
import {unseen, visible} from '../../pieces.js';
import {on, state} from '../../store.js';
import {rove} from '../lab/rove.js';

/** Tokens less likely than this are marked, the more the less. */
const LEVELS = [0.9, 0.5, 0.2];

const percent = p => t('percent', {n: p < 0.001 && p > 0 ? '< 0.1' : number(p * 100, p < 0.1 ? 1 : 0)});

/** Goes on with an answer that ended early. */
export async function goOn(turn) {
  const {model, name} = state;
  const {list, model: whose} = await tokensOf(turn);
  if (whose === name && list.length > 0) return answer({to: turn.parent, turn, begin: list});
  const begin = retold(await model.tokenize(turn.content), turn.content);
  // Thoughts are in the tokens alone: they stay where they are, and what goes on stands beside.
  return answer({to: turn.parent, turn: turn.reasoning || !turn.content ? undefined : turn, begin});
}

/** Answers anew with the same beginning and `choice` at place `at`; an answer that is to end there does. */
function goOnWith(turn, list, at, choice) {
  const begin = [...list.slice(0, at), [...choice.slice(0, 3), list[at][3]]];
  if (!isEnd(turn, list, choice)) return answer({to: turn.parent, begin});
  if (at === list.length - 1) return undefined;
  const {role, model, reasoning, content} = turn;
  const left = texts(list.slice(0, -1)).slice(at).join('').length;
  const begun = content.slice(0, Math.max(0, content.length - left));
  const ended = newTurn(turn.parent, {role, model, reasoning, content: begun, meta: {finish: 'end'}});
  keep({tokens: [{id: ended.id, conversation: ended.conversation, model, list: begin}]});
  return add(ended);
}

/** Whether a token is the one that ended the answer, which has no text. */
const isEnd = (turn, list, [id]) => turn.meta?.finish === 'end' && id === list.at(-1)[0];

const label = (turn, list, token) => isEnd(turn, list, token) ? t('tokens.end') : visible(alone(token));

/** What could have stood at place `at`. */
function alternatives(turn, list, at, {usable, close}) {
  const said = list[at];
  const choices = said[3].some(([id]) => id === said[0]) ? said[3] : [...said[3], said];
  const most = Math.max(...choices.map(probability));
  const row = choice => {
    const p = probability(choice);
    const take = () => {
      close();
      goOnWith(turn, list, at, choice);
    };
    return h('button', {type: 'button', class: choice[0] === said[0] ? 'said' : '', disabled: !usable, onclick: take},
      h('span', {class: 'word'}, label(turn, list, choice)),
      h('i', {class: 'likely', style: `--part: ${p / most}`}), h('span', {class: 'percent'}, percent(p)));
  };
  const rows = choices.map(row);
  const instead = t('tokens.instead', {token: label(turn, list, said)});
  const element = h('div', {class: 'alternatives', role: 'group', 'aria-label': instead},
    rows, h('p', {class: 'small'}, t(usable ? 'tokens.choose' : state.model ? 'tokens.other' : 'tokens.nomodel')));
  element.addEventListener('keydown', event => {
    if (event.key === 'Escape') {
      event.stopPropagation();
      close();
    }
    const step = {ArrowDown: 1, ArrowUp: -1}[event.key];
    if (!step) return;
    event.preventDefault();
    rows[(rows.indexOf(document.activeElement) + step + rows.length) % rows.length].focus();
  });
  return element;
}

function tokens(turn, {list, model}) {
  const said = texts(list);
  const flow = h('div', {class: 'flowing'});
  const element = h('div', {}, flow);
  let shown;
  const close = () => {
    if (!shown) return;
    shown.element.remove();
    shown.token.setAttribute('aria-expanded', 'false');
    if (shown.element.contains(document.activeElement) || document.activeElement === document.body) shown.token.focus();
    shown = undefined;
  };
  const open = (token, at) => {
    const again = shown?.token === token;
    close();
    if (again) return;
    const usable = state.model && model === state.name && !state.answering;
    shown = {token, element: alternatives(turn, list, at, {usable, close})};
    token.setAttribute('aria-expanded', 'true');
    element.append(shown.element);
    const home = element.getBoundingClientRect();
    const {left, bottom} = token.getBoundingClientRect();
    shown.element.style.left = `${Math.max(0, Math.min(left - home.left, home.width - shown.element.offsetWidth))}px`;
    shown.element.style.top = `${bottom - home.top + 4}px`;
    shown.element.querySelector('.said, button')?.focus({preventScroll: true});
    shown.element.scrollIntoView({block: 'nearest'});
  };
  element.addEventListener('focusout', ({relatedTarget}) => {
    if (shown && relatedTarget && !shown.element.contains(relatedTarget) && relatedTarget !== shown.token) close();
  });
  flow.append(...list.flatMap((token, i) => {
    const p = probability(token);
    const end = isEnd(turn, list, token) && i === list.length - 1;
    const level = LEVELS.filter(level => p < level).length;
    // Within a button a line break would break no line.
    const [, before, words, after] = /^(\n*)([^]*?)(\n*)$/.exec(said[i]);
    const sign = end ? 'end' : !words && said[i] ? 'line' : unseen(words) && 'part';
    const looks = ['token', `level${level}`, sign].filter(Boolean).join(' ');
    const button = h('button', {
      type: 'button', class: looks, 'data-row': 0, 'data-column': i, 'aria-expanded': 'false',
      'aria-label': t('tokens.token', {token: label(turn, list, token), p: percent(p)}), title: percent(p),
      onclick: event => open(event.currentTarget, i),
    }, end ? t('tokens.end') : words);
    return [words && before, button, words ? after : before].filter(Boolean);
  }));
  rove(flow);
  const {mean, rare} = sureness(list, LEVELS[2]);
  const sure = {mean: percent(mean), rare: number(rare), all: number(list.length), low: percent(LEVELS[2])};
  element.append(h('p', {class: 'small'}, t('tokens.sure', sure)), h('p', {class: 'small'}, t('tokens.how')));
  return element;
}

/** Offers to find out what nobody asked for while the answer was made. */
function unknown(turn) {
  const {model, weighing, name} = state;
  if (weighing?.id === turn.id) {
    const {done, of} = weighing;
    return h('p', {class: 'small', role: 'status'}, t('tokens.weighing', {done: number(done), of: number(of)}));
  }
  return h('div', {class: 'actions'}, h('p', {class: 'small'}, t(model ? 'tokens.unknown' : 'tokens.nomodel', {name})),
    model && h('button', {type: 'button', class: 'quiet', onclick: () => weighAnswer(turn)}, t('tokens.find')));
}

/** `{element, close}`: the tokens of an answer. */
export function tokenView(turn) {
  const element = h('div', {class: 'tokens'});
  let closed = false;
  let known;
  const draw = () => {
    if (closed || !known) return;
    element.replaceChildren(weighed(known.list) ? tokens(turn, known) : unknown(turn));
  };
  const read = async () => {
    known = await tokensOf(turn);
    draw();
  };
  let weighing = false;
  const end = on(['weighing', 'model'], () => {
    const mine = state.weighing?.id === turn.id;
    if (weighing && !mine) read();
    else if (known && !weighed(known.list)) draw();
    weighing = mine;
  });
  read();
  return {element, close() {
    closed = true;
    end();
    element.remove();
  }};
}
