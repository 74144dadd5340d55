// The model to work on.
import {nameOf} from '../../../hearth.js';
import {h} from '../../dom.js';
import {megabytes, number, t} from '../../i18n.js';
import {open} from '../../lab/actions.js';
import {lab, on as onLab} from '../../lab/state.js';
import {on, state} from '../../store.js';

/** What can be worked on: `{source, name, size_bytes, have}` of the catalog, then what else is stored whole. */
function choices() {
  const {catalog, stored} = state;
  const known = (catalog ?? []).map(({id, name, format, size_bytes, sha256}) => {
    const have = stored.find(({plan}) => plan.key === `sha256-${sha256}`)?.stored_bytes === size_bytes;
    return {source: id, name, format, size_bytes, have};
  });
  const keys = (catalog ?? []).map(({sha256}) => `sha256-${sha256}`);
  const others = stored.filter(({plan, whole, stored_bytes}) =>
    !keys.includes(plan.key) && whole && stored_bytes === plan.size_bytes);
  const stored_too = ({plan: {url, name, size_bytes}}) => ({source: url, name, size_bytes, have: true});
  return [...known, ...others.map(stored_too)];
}

/** The base that was open last, if opening it needs no network. */
export const ready = () => choices().find(({source, have}) => have && source === lab.source);

function about({info, name}) {
  const facts = [
    info.architecture, t('lab.base.layers', {n: number(info.layers)}), `${megabytes(info.size_bytes)} MB`,
    t('lab.base.context', {n: number(info.context)}),
  ];
  return [
    h('p', {}, h('b', {}, name)),
    h('p', {class: 'small'}, facts.join(' · ')),
    info.quantized && h('p', {class: 'small', id: 'lab-quantized'}, t('lab.base.quantized', {format: info.quantized})),
  ].filter(Boolean);
}

export function base() {
  const title = h('h2');
  const now = h('div', {id: 'lab-base-now'});
  const empty = h('p', {class: 'small'});
  const label = h('label', {for: 'lab-base', class: 'hidden'});
  const select = h('select', {id: 'lab-base'});
  const button = h('button', {class: 'main', id: 'lab-open', onclick: () => {
    const {source, name} = choices().find(({source}) => source === select.value);
    open(source, name);
  }});
  const words = h('span');
  const chosen = event => {
    const files = [...event.currentTarget.files];
    event.currentTarget.value = '';
    if (files.length > 0) open(files.length === 1 ? files[0] : files, nameOf(files));
  };
  const accept = '.gguf,.safetensors,.json,.jinja';
  const file = h('input', {type: 'file', id: 'lab-file', multiple: true, accept, onchange: chosen});
  on(['catalog', 'stored', 'language'], () => {
    const wanted = select.value || lab.source || state.source;
    select.replaceChildren(...choices().map(({source, name, format, size_bytes, have}) => {
      const size = t(have ? 'models.size' : 'lab.base.get', {size: megabytes(size_bytes)});
      return h('option', {value: source, selected: source === wanted}, [name, format, size].filter(Boolean).join(' · '));
    }));
  });
  const draw = () => {
    const {session, name, busy} = lab;
    title.textContent = t('lab.base');
    label.textContent = t('lab.base');
    empty.textContent = t('lab.base.empty');
    empty.hidden = Boolean(session);
    now.replaceChildren(...session ? about({info: session.info, name}) : []);
    button.textContent = t(session ? 'lab.base.change' : 'lab.base.open');
    button.className = session ? 'quiet' : 'main';
    button.disabled = Boolean(busy) || select.options.length === 0;
    words.textContent = t('lab.base.file');
    file.disabled = Boolean(busy);
  };
  on(['language', 'catalog'], draw);
  onLab(['session', 'busy'], draw);
  return h('section', {class: 'card'}, title, now, empty, label, select,
    h('div', {class: 'actions'}, button, h('label', {class: 'file'}, words, file)));
}
