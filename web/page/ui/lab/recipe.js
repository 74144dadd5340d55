// The recipe builder, drawn from what the lab's methods say of themselves.
import {$, h, save} from '../../dom.js';
import {t, trimmed} from '../../i18n.js';
import {change, redoChange, take, undoChange} from '../../lab/actions.js';
import {add, choose, commandLine, fromJson, kindOf, move, override, Refused, remove, toggle, toRecipe, valueOf} from '../../lab/recipe.js';
import {lab, on as onLab, set} from '../../lab/state.js';
import {on} from '../../store.js';
import {choiceName, methodDoes, methodName, optionDoes, optionName, presetDoes, presetName} from './words.js';

const ARROWS = {up: 'M12 19V5M6 11l6-6 6 6', down: 'M12 5v14M6 13l6 6 6-6', remove: 'M6 6l12 12M18 6L6 18'};

/** A number that fits: whole where the limits and the default are. */
function fitting(input, {min, max}) {
  const value = Number(input.value);
  return input.value === '' || !Number.isFinite(value) ? undefined : Math.min(max, Math.max(min, value));
}

/** An input for an option, as `{element, update}`; null for kinds that this page does not know. */
function control(id, method, option) {
  const [kind, about] = kindOf(option);
  const name = `step-${id}-${option.name}`;
  const put = value => change(choose(lab.recipe, id, option, value));
  const label = h('label', {for: name, title: optionDoes(method, option)}, optionName(method, option));
  const hint = h('span', {class: 'hidden', id: `${name}-does`}, optionDoes(method, option));
  const described = {id: name, 'aria-describedby': `${name}-does`};
  if (kind === 'number') {
    const {min, max} = about;
    const input = h('input', {type: 'number', ...described, min, max, step: 'any', onchange: () => {
      put(fitting(input, about));
      input.value = valueOf(lab.recipe.steps.find(step => step.id === id), option);
    }});
    return {element: h('div', {class: 'option'}, label, input, hint), update: step => { input.value = valueOf(step, option); }};
  }
  if (kind === 'choice') {
    const select = h('select', {...described, onchange: () => put(select.value)},
      about.of.map(value => h('option', {value}, choiceName(value))));
    return {element: h('div', {class: 'option'}, label, select, hint), update: step => { select.value = valueOf(step, option); }};
  }
  if (kind === 'flag') {
    const box = h('input', {type: 'checkbox', ...described, onchange: () => put(box.checked)});
    return {element: h('div', {class: 'option'}, label, box, hint), update: step => { box.checked = valueOf(step, option); }};
  }
  if (kind === 'several') {
    const boxes = about.of.map(value => h('input', {type: 'checkbox', id: `${name}-${value}`, value, onchange: () => {
      const chosen = boxes.filter(box => box.checked).map(box => box.value);
      // None at all is no choice.
      if (chosen.length > 0) put(chosen);
      else boxes.forEach(box => { box.checked = valueOf(lab.recipe.steps.find(step => step.id === id), option).includes(box.value); });
    }}));
    const element = h('fieldset', {'aria-describedby': `${name}-does`}, h('legend', {title: optionDoes(method, option)}, optionName(method, option)), hint,
      boxes.map(box => h('label', {}, box, ` ${choiceName(box.value)}`)));
    return {element, update: step => boxes.forEach(box => { box.checked = valueOf(step, option).includes(box.value); })};
  }
  if (kind === 'tensors') return overrides(id, method, option);
  return null;
}

/** Tensors that have a format of their own; they are given on the map. */
function overrides(id, method, option) {
  const list = h('ul', {class: 'plain overrides'});
  const element = h('div', {}, h('p', {class: 'small'}, optionDoes(method, option)), list);
  return {element, update: ({options: {tensors = {}}}) => {
    element.hidden = Object.keys(tensors).length === 0;
    list.replaceChildren(...Object.entries(tensors).map(([name, format]) => h('li', {}, h('code', {}, name), ` ${format} `,
      h('button', {class: 'quiet', 'aria-label': t('lab.map.clear', {name}), onclick: () => change(override(lab.recipe, id, name, undefined))}, '×'))));
  }};
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

const svg = path => `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${path}"/></svg>`;

/** A step's element, made once; `update` follows its state. */
function stepItem({id, method}) {
  const spec = lab.session.methods.find(({name}) => name === method);
  const name = methodName(spec);
  const button = (what, act) => {
    const made = h('button', {class: 'tool', id: `step-${id}-${what}`, 'aria-label': t(`lab.step.${what}`, {name}), title: t(`lab.step.${what}`, {name}), onclick: act});
    made.innerHTML = svg(ARROWS[what]);
    return made;
  };
  const number = h('span', {class: 'count', 'aria-hidden': 'true'});
  const on = h('input', {type: 'checkbox', id: `step-${id}-on`, 'aria-label': t('lab.step.on', {name}), onchange: () => change(toggle(lab.recipe, id))});
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

async function importFile(event) {
  const [file] = event.currentTarget.files;
  event.currentTarget.value = '';
  if (!file) return;
  try {
    change(fromJson(await file.text(), lab.session.methods));
    set({error: null});
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    set({error: {code: 'recipe', message: t(`lab.refused.${error.why}`, error.values), own: true}});
  }
}

const stem = name => name.replace(/[^\w.-]+/g, '-');

async function copyLine(event) {
  const button = event.currentTarget;
  const line = commandLine(lab.recipe, {base: `${stem(lab.name)}.gguf`, output: `${stem(lab.name)}-smaller.gguf`, text: 'calibration.txt'});
  await navigator.clipboard.writeText(line);
  button.textContent = t('act.copied');
  setTimeout(() => { button.textContent = t('lab.recipe.line'); }, 2000);
}

/** The order of the steps follows the recipe; what has the focus keeps it. */
function arrange(list, items) {
  const active = list.contains(document.activeElement) ? document.activeElement : null;
  if (items.length === list.children.length && items.every((item, at) => list.children[at] === item)) return;
  list.replaceChildren(...items);
  if (!active) return;
  const name = $(active.id.replace(/-(up|down)$/, '-name'));
  if (list.contains(active) && !active.disabled) active.focus({preventScroll: true});
  else name?.focus({preventScroll: true});
}

/** Tokens and length of the calibration. */
function calibration() {
  const field = name => {
    const [min, max] = {tokens: [128, 1 << 20], length: [2, 1 << 16]}[name];
    const label = h('label', {for: `lab-${name}`});
    const input = h('input', {type: 'number', id: `lab-${name}`, min, max, step: 1, onchange: () => {
      const value = Math.round(fitting(input, {min, max}) ?? lab.recipe.calibration[name]);
      change({...lab.recipe, calibration: {...lab.recipe.calibration, [name]: value}});
      input.value = value;
    }});
    on(['language'], () => { label.textContent = t(`lab.calibration.${name}`); });
    onLab(['recipe'], () => { input.value = lab.recipe.calibration[name]; });
    return h('div', {class: 'option'}, label, input);
  };
  return [field('tokens'), field('length')];
}

export function recipe() {
  const word = (name, key, attributes = {}) => h(name, {...attributes, 'data-i18n': key}, t(key));
  const list = h('ol', {class: 'plain steps', id: 'lab-steps'});
  const empty = word('p', 'lab.recipe.empty', {class: 'small'});
  // With buttons beside them: arrow keys alone choose, and do not yet do.
  const adder = h('select', {id: 'lab-add'});
  const append = () => {
    const bench = add(lab.recipe, adder.value);
    opened.add(bench.steps.at(-1).id);
    change(bench);
  };
  const preset = h('select', {id: 'lab-preset'});
  const usePreset = () => take(lab.session.presets.find(({name}) => name === preset.value).recipe);
  const undo = word('button', 'lab.undo', {class: 'quiet', id: 'lab-undo', title: 'Ctrl+Z', onclick: undoChange});
  const redo = word('button', 'lab.redo', {class: 'quiet', id: 'lab-redo', title: 'Ctrl+Shift+Z', onclick: redoChange});
  const importer = h('input', {type: 'file', id: 'lab-import', accept: '.json,application/json', onchange: importFile});
  const exporter = () => save(new Blob([JSON.stringify(toRecipe(lab.recipe), null, 2)], {type: 'application/json'}), 'recipe.json');
  const name = h('input', {type: 'text', id: 'lab-name', autocomplete: 'off', onchange: () => change({...lab.recipe, name: name.value.trim()})});
  let made = new Map();

  const card = h('section', {class: 'card', 'aria-labelledby': 'lab-recipe-title'},
    h('div', {class: 'card-head'}, word('h2', 'lab.recipe', {id: 'lab-recipe-title'}), undo, redo),
    h('div', {class: 'option'}, word('label', 'lab.preset', {for: 'lab-preset'}), preset,
      word('button', 'lab.preset.use', {class: 'quiet', id: 'lab-preset-use', onclick: usePreset})),
    empty, list,
    h('div', {class: 'option'}, word('label', 'lab.add', {for: 'lab-add'}), adder,
      word('button', 'lab.add.do', {class: 'quiet', id: 'lab-add-step', onclick: append})),
    h('details', {},
      word('summary', 'lab.recipe.more'),
      h('div', {class: 'option'}, word('label', 'lab.recipe.name', {for: 'lab-name'}), name),
      calibration(),
      h('div', {class: 'actions'},
        h('label', {class: 'file'}, word('span', 'lab.recipe.import'), importer),
        word('button', 'lab.recipe.export', {class: 'quiet', id: 'lab-export', onclick: exporter}),
        navigator.clipboard && word('button', 'lab.recipe.line', {class: 'quiet', id: 'lab-line', onclick: copyLine}))));

  const draw = () => {
    const {session, recipe, edits} = lab;
    card.hidden = !session;
    if (!session) return;
    undo.disabled = edits.past.length === 0;
    redo.disabled = edits.future.length === 0;
    name.value = recipe.name;
    empty.hidden = recipe.steps.length > 0;
    const of = ({id, method}) => {
      const key = `${id} ${method}`;
      if (!made.has(key)) made.set(key, stepItem({id, method}));
      return made.get(key);
    };
    const items = recipe.steps.map(of);
    items.forEach(({update}, at) => update(recipe.steps[at], at, items.length));
    arrange(list, items.map(({item}) => item));
  };
  const drawAnew = () => {
    const {session} = lab;
    if (session) {
      const fill = (select, specs, name, does) => {
        const {value} = select;
        select.replaceChildren(...specs.map(spec =>
          h('option', {value: spec.name, title: does(spec), selected: spec.name === value}, name(spec))));
      };
      fill(adder, session.methods, methodName, methodDoes);
      fill(preset, session.presets ?? [], presetName, presetDoes);
      preset.parentElement.hidden = !session.presets?.length;
    }
    // Words are part of the steps' elements.
    made = new Map();
    draw();
  };
  on(['language'], drawAnew);
  onLab(['session'], drawAnew);
  onLab(['recipe', 'edits'], draw);
  return card;
}

/** Ctrl+Z and Ctrl+Shift+Z, or Ctrl+Y, where nothing is being written. */
export function undoKeys(event) {
  const key = event.key.toLowerCase();
  if (!(event.ctrlKey || event.metaKey) || event.altKey || !['z', 'y'].includes(key)) return;
  if (!lab.session || event.target.matches('textarea, [type="text"], [type="url"]')) return;
  event.preventDefault();
  if (key === 'y' || event.shiftKey) redoChange();
  else undoChange();
}
