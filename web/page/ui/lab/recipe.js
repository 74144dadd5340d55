// The recipe builder: steps from presets, from a file, or one by one, with undo and redo.
import {$, h, save} from '../../dom.js';
import {t} from '../../i18n.js';
import {change, redoChange, take, undoChange} from '../../lab/actions.js';
import {add, commandLine, fromJson, Refused, toRecipe} from '../../lab/recipe.js';
import {lab, on as onLab, set} from '../../lab/state.js';
import {on} from '../../store.js';
import {fitting, show, stepItem} from './step.js';
import {methodDoes, methodName, presetDoes, presetName} from './words.js';

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
  const [base, output] = ['', '-smaller'].map(end => `${stem(lab.name)}${end}.gguf`);
  const line = commandLine(lab.recipe, {base, output, text: 'calibration.txt'});
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
    show(bench.steps.at(-1).id);
    change(bench);
  };
  const hint = h('p', {class: 'small', id: 'lab-preset-does'});
  const preset = h('select', {id: 'lab-preset', 'aria-describedby': 'lab-preset-does', onchange: () => tell()});
  const tell = () => {
    const chosen = lab.session?.presets?.find(({name}) => name === preset.value);
    hint.textContent = chosen ? presetDoes(chosen) : '';
    hint.hidden = !chosen;
  };
  const usePreset = () => take(lab.session.presets.find(({name}) => name === preset.value).recipe);
  const undo = word('button', 'lab.undo', {class: 'quiet', id: 'lab-undo', title: 'Ctrl+Z', onclick: undoChange});
  const redo = word('button', 'lab.redo', {class: 'quiet', id: 'lab-redo', title: 'Ctrl+Shift+Z', onclick: redoChange});
  const importer = h('input', {type: 'file', id: 'lab-import', accept: '.json,application/json', onchange: importFile});
  const exporter = () => save(new Blob([JSON.stringify(toRecipe(lab.recipe), null, 2)], {type: 'application/json'}), 'recipe.json');
  const rename = () => change({...lab.recipe, name: name.value.trim()});
  const name = h('input', {type: 'text', id: 'lab-name', autocomplete: 'off', onchange: rename});
  let made = new Map();

  const card = h('section', {class: 'card', 'aria-labelledby': 'lab-recipe-title'},
    h('div', {class: 'card-head'}, word('h2', 'lab.recipe', {id: 'lab-recipe-title'}), undo, redo),
    h('div', {class: 'option'}, word('label', 'lab.preset', {for: 'lab-preset'}), preset,
      word('button', 'lab.preset.use', {class: 'quiet', id: 'lab-preset-use', onclick: usePreset})),
    hint,
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
      tell();
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
  const writing = event.target.matches('textarea, [type="text"]')
    || (event.target.matches('[type="number"]') && !event.target.closest('#lab-steps'));
  if (!lab.session || writing) return;
  event.preventDefault();
  if (key === 'y' || event.shiftKey) redoChange();
  else undoChange();
}
