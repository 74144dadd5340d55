// The texts that calibrate and test: samples, a file, or what is written here. An importance matrix may stand for the first.
import {h, save} from '../../dom.js';
import {number, t} from '../../i18n.js';
import {makeImatrix, textOf} from '../../lab/actions.js';
import {lab, on as onLab, set} from '../../lab/state.js';
import {SAMPLES} from '../../lab/texts.js';
import {on} from '../../store.js';

/** How long to wait for the next key before tokens are counted. */
const PAUSE_MS = 400;

function field(use) {
  const label = h('label', {for: `lab-text-${use}`});
  const select = h('select', {id: `lab-text-${use}`, onchange: () => set({chosen: {...lab.chosen, [use]: select.value}})});
  const own = text => set({own: {...lab.own, [use]: text}});
  const written = h('textarea', {id: `lab-own-${use}`, rows: 4, oninput: () => own({name: '', text: written.value})});
  const words = h('span');
  const file = h('input', {type: 'file', id: `lab-file-${use}`, accept: 'text/*,.txt,.md', onchange: async event => {
    const [file] = event.currentTarget.files;
    event.currentTarget.value = '';
    if (file) own({name: file.name, text: await file.text()});
  }});
  const box = h('div', {}, written, h('label', {class: 'file'}, words, file));
  const choices = use === 'calibration' ? [...SAMPLES, 'own', 'imatrix'] : [...SAMPLES, 'own'];
  const count = h('p', {class: 'small', id: `lab-count-${use}`, 'aria-live': 'polite'});
  let waiting;
  let asked = 0;
  /** What was counted last: the text, by which base. */
  let known = [];

  async function tell() {
    const mine = asked += 1;
    const {session} = lab;
    if (!session || lab.busy) return;
    try {
      const {name, text} = await textOf(use);
      if (text === undefined) {
        count.textContent = name || t('lab.imatrix.none');
        return;
      }
      if (known[0] !== text || known[1] !== session) known = [text, session, text === '' ? 0 : await session.count(text)];
      if (mine !== asked) return;
      count.textContent = text === '' ? t('lab.text.none') : t('lab.text.tokens', {n: number(known[2])});
    } catch (error) {
      if (mine === asked) count.textContent = error.message;
    }
  }

  const later = () => {
    clearTimeout(waiting);
    waiting = setTimeout(tell, PAUSE_MS);
  };
  const draw = () => {
    label.textContent = t(`lab.text.${use}`);
    words.textContent = t('lab.text.file');
    written.setAttribute('aria-label', t('lab.text.own'));
    written.setAttribute('placeholder', t('lab.text.hint'));
    select.replaceChildren(...choices.map(value =>
      h('option', {value, selected: value === lab.chosen[use]}, t(`lab.text.${value}`))));
    later();
  };
  on(['language'], draw);
  onLab(['chosen', 'own', 'imatrix', 'session', 'busy'], () => {
    select.value = lab.chosen[use];
    box.hidden = lab.chosen[use] !== 'own';
    if (written.value !== lab.own[use].text) written.value = lab.own[use].text;
    later();
  });
  return h('div', {class: 'text'}, h('div', {class: 'option'}, label, select), box, count);
}

/** An importance matrix: the one to calibrate with, or what the calibration text makes. */
function imatrix() {
  const words = h('span');
  const file = h('input', {type: 'file', id: 'lab-imatrix', accept: '.gguf', onchange: event => {
    const [file] = event.currentTarget.files;
    event.currentTarget.value = '';
    if (file) set({imatrix: file});
  }});
  const choose = h('label', {class: 'file'}, words, file);
  const make = h('button', {class: 'quiet', id: 'lab-make-imatrix', onclick: async () => {
    const made = await makeImatrix();
    if (made) save(made);
  }});
  on(['language'], () => {
    words.textContent = t('lab.imatrix.file');
    make.textContent = t('lab.imatrix.make');
    make.title = t('lab.imatrix.note');
  });
  onLab(['chosen', 'busy'], () => {
    choose.hidden = lab.chosen.calibration !== 'imatrix';
    make.hidden = !choose.hidden;
    make.disabled = Boolean(lab.busy);
  });
  return h('div', {class: 'actions'}, choose, make);
}

export function texts() {
  const title = h('h2');
  const note = h('p', {class: 'small'});
  on(['language'], () => {
    title.textContent = t('lab.texts');
    note.textContent = t('lab.texts.note');
  });
  const card = h('section', {class: 'card'}, title, field('calibration'), imatrix(), field('test'), note);
  onLab(['session'], () => { card.hidden = !lab.session; });
  return card;
}
