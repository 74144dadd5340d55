// Choosing among named things: how tokens are chosen, and system prompts. Ours cannot be removed, the person's own are kept.
import {matches, named, OURS, valueOf} from '../../chat/presets.js';
import {$, composing, h} from '../../dom.js';
import {t} from '../../i18n.js';
import {on, set, state} from '../../store.js';

const useSampling = value => set({sampling: {...state.sampling, ...value}, chosen: {}});

const own = list => list.map(one => ({...one, own: true}));

const samplings = () => [...OURS.map(({id, value}) => ({name: t(`preset.${id}`), value})), ...own(state.presets)];

/** Options of a select; the first stands for what none of them says. */
function options(all, current, none) {
  const at = all.findIndex(({value}) => current(value));
  return [h('option', {value: '', selected: at < 0, disabled: at >= 0, hidden: at >= 0}, none),
    ...all.map(({name}, i) => h('option', {value: i, selected: i === at}, name))];
}

/** For the box: how tokens are chosen. */
export function presetSelect() {
  const select = h('select', {id: 'preset', onchange: () => useSampling(samplings()[select.value].value)});
  on(['sampling', 'presets', 'language'], () => {
    select.setAttribute('aria-label', t('preset'));
    select.replaceChildren(...options(samplings(), value => matches(state.sampling, value), t('preset.none')));
  });
  return select;
}

/** A select of named things with saving and removing: `{id, all, current, none, use, value, key}`, `key` of what is kept. */
function picker({id, label, all, current, none, use, value, key}) {
  const here = all().find(one => current(one.value));
  const change = () => use(all()[select.value].value);
  const select = h('select', {id, 'aria-label': label, onchange: change}, options(all(), current, none));
  const buttons = h('div', {class: 'actions'});
  /** All is drawn anew: who was here goes on at what names it. */
  const end = (changes = {}) => {
    set({...changes, chosen: {}});
    $(id).focus();
  };
  const naming = () => {
    const name = t('preset.name');
    const input = h('input', {type: 'text', maxlength: 60, 'aria-label': name, placeholder: name, required: true});
    const save = event => {
      event.preventDefault();
      if (input.value.trim()) end({[key]: named(state[key], input.value.trim(), value())});
    };
    const leave = event => {
      if (composing(event) || event.key !== 'Escape') return;
      event.stopPropagation();
      end();
    };
    const done = h('button', {class: 'quiet', type: 'submit'}, t('preset.keep'));
    buttons.replaceChildren(h('form', {class: 'naming', onsubmit: save, onkeydown: leave}, input, done));
    input.focus();
  };
  const remove = () => end({[key]: state[key].filter(({name}) => name !== here.name)});
  buttons.append(...[!here && h('button', {type: 'button', class: 'quiet', onclick: naming}, t('preset.save')),
    here?.own && h('button', {type: 'button', class: 'quiet', onclick: remove}, t('preset.remove'))].filter(Boolean));
  return [select, buttons];
}

/** For the settings: how tokens are chosen. */
export const samplingPicker = () => picker({
  id: 's-preset', label: t('preset'), key: 'presets', none: t('preset.none'), all: samplings,
  current: value => matches(state.sampling, value), use: useSampling, value: () => valueOf(state.sampling),
});

/** For the settings: system prompts. */
export const promptPicker = () => picker({
  id: 's-prompt', label: t('prompts'), key: 'prompts', none: t('prompts.none'),
  all: () => [{name: t('prompts.empty'), value: ''}, ...own(state.prompts)],
  current: value => value === state.system, use: system => set({system, chosen: {}}), value: () => state.system,
});
