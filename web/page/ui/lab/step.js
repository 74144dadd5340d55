// A step of the recipe, drawn from what its method says of itself: a control for each option, by its kind.
import {$, h, icon} from '../../dom.js';
import {t, trimmed} from '../../i18n.js';
import {change} from '../../lab/actions.js';
import {choose, kindOf, move, override, remove, toggle, valueOf} from '../../lab/recipe.js';
import {lab} from '../../lab/state.js';
import {choiceName, methodDoes, methodName, optionDoes, optionName} from './words.js';

const ICONS = {up: 'M12 19V5M6 11l6-6 6 6', down: 'M12 5v14M6 13l6 6 6-6', remove: 'M6 6l12 12M18 6L6 18'};

/** What is in a number's field, within its limits; undefined if that is no number. */
export function fitting({value}, {min, max}) {
  return value === '' || !Number.isFinite(Number(value)) ? undefined : Math.min(max, Math.max(min, Number(value)));
}

/** A control of each kind: made of `{attributes, about, put, say}`, it gives `{inputs, update(value)}`; `say()` is its value. */
const KINDS = {
  number({attributes, about, put, say}) {
    const input = h('input', {type: 'number', ...attributes, min: about.min, max: about.max, step: 'any', onchange: () => {
      put(fitting(input, about));
      show(say());
    }});
    // As the method has it in 32 bits, 0.01 is 0.009999999776.
    const show = value => { input.value = Number.isInteger(value) ? value : Number(value.toPrecision(6)); };
    return {inputs: input, update: show};
  },

  choice({attributes, about, put}) {
    const select = h('select', {...attributes, onchange: () => put(select.value)},
      about.of.map(value => h('option', {value}, choiceName(value))));
    return {inputs: select, update: value => { select.value = value; }};
  },

  flag({attributes, put}) {
    const box = h('input', {type: 'checkbox', ...attributes, onchange: () => put(box.checked)});
    return {inputs: box, update: value => { box.checked = value; }};
  },

  several({attributes, about, put, say}) {
    const update = value => boxes.forEach(box => { box.checked = value.includes(box.value); });
    const chosen = () => {
      const values = boxes.filter(box => box.checked).map(box => box.value);
      // None at all is no choice.
      if (values.length > 0) put(values);
      else update(say());
    };
    const boxes = about.of.map(value => h('input', {type: 'checkbox', id: `${attributes.id}-${value}`, value, onchange: chosen}));
    const words = boxes.map(box => h('label', {}, box, ` ${choiceName(box.value)}`));
    return {inputs: h('div', {class: 'several', role: 'group', ...attributes}, words), update};
  },
};

/** Tensors that have a format of their own; they are given on the map. */
function overrides(id, method, option) {
  const list = h('ul', {class: 'plain overrides'});
  const element = h('div', {}, h('p', {class: 'small'}, optionDoes(method, option)), list);
  const item = ([name, format]) => {
    const clear = () => change(override(lab.recipe, id, name, undefined));
    const button = h('button', {class: 'quiet', 'aria-label': t('lab.map.clear', {name}), onclick: clear}, '×');
    return h('li', {}, h('code', {}, name), ` ${format} `, button);
  };
  return {element, update: ({options: {tensors = {}}}) => {
    element.hidden = Object.keys(tensors).length === 0;
    list.replaceChildren(...Object.entries(tensors).map(item));
  }};
}

/** An option's row, as `{element, update(step)}`; null for a kind that this page does not know. */
function control(id, method, option) {
  const [kind, about] = kindOf(option);
  if (kind === 'tensors') return overrides(id, method, option);
  if (!KINDS[kind]) return null;
  const name = `step-${id}-${option.name}`;
  const attributes = {id: name, 'aria-describedby': `${name}-does`};
  if (kind === 'several') attributes['aria-labelledby'] = `${name}-name`;
  const {inputs, update} = KINDS[kind]({
    attributes, about, put: value => change(choose(lab.recipe, id, option, value)),
    say: () => valueOf(lab.recipe.steps.find(step => step.id === id), option),
  });
  const does = optionDoes(method, option);
  const element = h('div', {class: `option of-${kind}`},
    h('label', {for: kind === 'several' ? null : name, id: `${name}-name`, title: does}, optionName(method, option)), inputs,
    h('span', {class: 'hidden', id: `${name}-does`}, does));
  return {element, update: step => update(valueOf(step, option))};
}

/** What is chosen of an option, in a word or two. */
function told(step, option) {
  const [kind] = kindOf(option);
  const value = valueOf(step, option);
  if (kind === 'choice') return choiceName(value);
  if (kind === 'number') return `${optionName(step.method, option)} ${trimmed(value)}`;
  return kind === 'flag' && value ? optionName(step.method, option) : '';
}

/** Steps whose options are shown. */
const opened = new Set();

/** Shows a step's options when it is drawn. */
export const show = id => opened.add(id);

/** A step's element, made once, as `{item, update(step, at, all)}`. */
export function stepItem({id, method}) {
  const spec = lab.session.methods.find(({name}) => name === method);
  const name = methodName(spec);
  const button = (what, act) => {
    const label = t(`lab.step.${what}`, {name});
    return h('button', {class: 'tool', id: `step-${id}-${what}`, 'aria-label': label, title: label, onclick: act}, icon(ICONS[what]));
  };
  const number = h('span', {class: 'count', 'aria-hidden': 'true'});
  const flip = () => change(toggle(lab.recipe, id));
  const on = h('input', {type: 'checkbox', id: `step-${id}-on`, 'aria-label': t('lab.step.on', {name}), onchange: flip});
  const up = button('up', () => change(move(lab.recipe, id, -1)));
  const down = button('down', () => change(move(lab.recipe, id, 1)));
  const controls = spec.options.map(option => control(id, method, option)).filter(Boolean);
  const chosen = h('summary');
  const options = h('details', {open: opened.has(id), ontoggle: () => opened[options.open ? 'add' : 'delete'](id)}, chosen,
    controls.map(({element}) => element));
  const item = h('li', {class: 'step', onkeydown: event => {
    const by = {ArrowUp: -1, ArrowDown: 1}[event.key];
    if (!event.altKey || !by) return;
    event.preventDefault();
    change(move(lab.recipe, id, by));
  }},
  h('div', {class: 'step-head'}, number, h('b', {id: `step-${id}-name`, tabindex: -1}, name), on, up, down,
    button('remove', () => dismiss(id))),
  h('p', {class: 'small'}, methodDoes(spec)), controls.length > 0 && options);
  return {item, update(step, at, all) {
    number.textContent = at + 1;
    item.classList.toggle('off', !step.on);
    on.checked = step.on;
    up.disabled = at === 0;
    down.disabled = at === all - 1;
    chosen.textContent = spec.options.map(option => told(step, option)).filter(Boolean).join(' · ');
    controls.forEach(({update}) => update(step));
  }};
}

/** Removes a step; the focus goes to its neighbour. */
function dismiss(id) {
  const at = lab.recipe.steps.findIndex(step => step.id === id);
  change(remove(lab.recipe, id));
  const next = lab.recipe.steps[Math.min(at, lab.recipe.steps.length - 1)];
  $(next ? `step-${next.id}-name` : 'lab-add').focus();
}
