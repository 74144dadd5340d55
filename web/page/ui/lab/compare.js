// Side by side: what the original says, how likely the smaller model finds each of its tokens, and what it says by itself.
import {h} from '../../dom.js';
import {percent, t} from '../../i18n.js';
import {compare as begin} from '../../lab/actions.js';
import {lab, on as onLab, set} from '../../lab/state.js';
import {unseen, visible} from '../../pieces.js';
import {on} from '../../store.js';
import {present} from './cost.js';
import {rove} from './rove.js';

const COUNT = 48;

/** One token's facts, for those who hover, focus or hear it. */
function said({alone, p, q, rare, same, tops}) {
  const word = text => text.trim() || visible(text);
  const list = tops => tops.map(({text, p}) => `“${word(text)}” ${percent(p)}`).join(', ');
  return [
    t(rare ? 'lab.compare.rare' : 'lab.compare.token', {token: word(alone), p: percent(p), q: percent(q)}),
    !same && t('lab.compare.parts'), t('lab.compare.tops', {one: list(tops[0]), other: list(tops[1])}),
  ].filter(Boolean).join(' · ');
}

function token(one, column, look) {
  const change = one.q - one.p;
  return h('span', {
    class: `token ${change < 0 ? 'falls' : 'rises'} ${one.same ? '' : 'other'} ${unseen(one.text) ? 'part' : ''}`,
    style: `--by: ${(Math.abs(change) * 70).toFixed(0)}%`, 'data-row': 0, 'data-column': column, tabindex: -1, 'aria-label': said(one), role: 'button',
    onpointerenter: () => look(one), onfocus: () => look(one),
  }, column === 0 ? one.text.trimStart() : one.text);
}

export function compare() {
  const title = h('h2', {id: 'lab-compare-title'});
  const note = h('p', {class: 'small'});
  const label = h('label', {for: 'lab-prompt'});
  const prompt = h('textarea', {id: 'lab-prompt', rows: 2, oninput: () => set({prompt: prompt.value})});
  const compareNow = () => begin(lab.shown, lab.prompt.trim() || t('lab.compare.prompt'), COUNT);
  const button = h('button', {class: 'quiet', id: 'lab-compare', onclick: compareNow});
  const answers = h('div', {class: 'answers', id: 'lab-answers'});
  const reading = h('p', {class: 'small reading', role: 'status'});
  const card = h('section', {class: 'card', 'aria-labelledby': 'lab-compare-title'},
    title, note, label, prompt, h('div', {class: 'actions'}, button), answers, reading);
  prompt.value = lab.prompt;
  const ready = () => lab.session && !lab.session.info.encoder && lab.files.has(lab.shown);

  const draw = () => {
    const {session, comparison} = lab;
    card.hidden = !session || session.info.encoder || lab.runs.length === 0;
    if (card.hidden) return;
    title.textContent = t('lab.compare');
    note.textContent = t(ready() ? 'lab.compare.how' : 'lab.compare.choose');
    label.textContent = t('lab.compare.label');
    prompt.setAttribute('placeholder', t('lab.compare.prompt'));
    button.textContent = t('lab.compare.do');
    reading.textContent = comparison ? t('lab.compare.hint') : '';
    if (!comparison) return answers.replaceChildren();
    const {tokens, own, together, id} = comparison;
    const look = one => { reading.textContent = said(one); };
    const changed = tokens.filter(({same}) => !same).length;
    const line = h('p', {class: 'tokens', role: 'group', 'aria-label': t('lab.compare.original')},
      tokens.map((one, at) => token(one, at, look)));
    rove(line);
    const run = present().runs.find(run => run.id === id);
    answers.replaceChildren(
      h('div', {}, h('h3', {}, t('lab.compare.original')), line,
        h('p', {class: 'small'}, t('lab.compare.changed', {n: changed, of: tokens.length}))),
      h('div', {}, h('h3', {}, run?.name ?? t('lab.compare.smaller')),
        h('p', {class: 'tokens'}, own.slice(0, together).join('').trimStart(), h('mark', {}, own.slice(together).join(''))),
        h('p', {class: 'small'}, together < tokens.length ? t('lab.compare.together', {n: together}) : t('lab.compare.same'))));
  };
  on(['language'], draw);
  onLab(['session', 'comparison', 'shown', 'files', 'runs'], draw);
  onLab(['busy', 'shown', 'files', 'session'], () => { button.disabled = Boolean(lab.busy) || !ready(); });
  return card;
}
