// A recipe on the workbench: steps that can be changed, moved and switched off. Every change gives another object, so undoing
// is going back to an older one. What `toRecipe` gives is the JSON that the command line reads.
//
// A bench is `{name, calibration: {tokens, length}, gates: {kl, same_top, perplexity_ratio}, steps: [{id, on, method, options}],
// more}`; gates that are not there are none, `more` is what an imported recipe says beside. A spec is what `lab.methods` says of a method, `{name, does, options: [{name, does, kind}]}`.

/** The version of recipes that this page writes and understands. */
export const VERSION = 1;

export const EMPTY = {name: '', calibration: {tokens: 8192, length: 512}, gates: {}, steps: [], more: {}};

/** A recipe that is not taken: `why` is 'json', 'shape', 'newer', 'method' or 'option'; `values` say which. */
export class Refused extends Error {
  constructor(why, values = {}) {
    super(`recipe refused: ${why}`);
    this.why = why;
    this.values = values;
  }
}

/** What an option may be: ['number' | 'choice' | 'flag' | 'several' | 'tensors', {default, ...}]. */
export const kindOf = ({kind}) => Object.entries(kind)[0];

/** What a step says of an option, or its default. */
export const valueOf = (step, option) => step.options[option.name] ?? kindOf(option)[1].default;

const changed = (bench, id, change) =>
  ({...bench, steps: bench.steps.map(step => step.id === id ? change(step) : step)});

export function add(bench, method) {
  const id = 1 + Math.max(0, ...bench.steps.map(step => step.id));
  return {...bench, steps: [...bench.steps, {id, on: true, method, options: {}}]};
}

export const remove = (bench, id) => ({...bench, steps: bench.steps.filter(step => step.id !== id)});

export const toggle = (bench, id) => changed(bench, id, step => ({...step, on: !step.on}));

/** Moves a step by so many places, as far as there are any. */
export function move(bench, id, by) {
  const steps = [...bench.steps];
  const from = steps.findIndex(step => step.id === id);
  const [step] = steps.splice(from, 1);
  steps.splice(Math.max(0, Math.min(steps.length, from + by)), 0, step);
  return {...bench, steps};
}

/** Sets an option; one that is as by default is not written down. */
export function choose(bench, id, option, value) {
  const standard = JSON.stringify(kindOf(option)[1].default);
  return changed(bench, id, step => {
    const {[option.name]: _, ...others} = step.options;
    const usual = value === undefined || JSON.stringify(value) === standard;
    return {...step, options: usual ? others : {...others, [option.name]: value}};
  });
}

/** Sets a gate; undefined: there is none. */
export function gate(bench, name, value) {
  const {[name]: _, ...others} = bench.gates;
  return {...bench, gates: value === undefined ? others : {...others, [name]: value}};
}

/** Gives one tensor a format of its own, or, without one, the recipe's again. */
export function override(bench, id, tensor, format) {
  return changed(bench, id, step => {
    const {[tensor]: _, ...others} = step.options.tensors ?? {};
    const tensors = format ? {...others, [tensor]: format} : others;
    const {tensors: __, ...options} = step.options;
    return {...step, options: Object.keys(tensors).length > 0 ? {...options, tensors} : options};
  });
}

/** The recipe as JSON has it: the steps that are switched on. */
export function toRecipe({name, calibration, gates, steps, more}) {
  return {
    version: VERSION, ...name && {name}, calibration, ...Object.keys(gates).length > 0 && {gates}, ...more,
    steps: steps.filter(({on}) => on).map(({method, options}) => ({method, ...options})),
  };
}

/** The bench of a recipe. Throws `Refused`; whether values are in their ranges is for the lab to say. */
export function fromRecipe(recipe, methods) {
  const {version, name = '', calibration = {}, gates = {}, steps, ...more} = recipe ?? {};
  if (!Number.isInteger(version)) throw new Refused('shape');
  if (version > VERSION) throw new Refused('newer', {version, known: VERSION});
  if (!Array.isArray(steps)) throw new Refused('shape');
  const read = ({method, ...options}, at) => {
    const spec = methods.find(({name}) => name === method);
    if (!spec) throw new Refused('method', {step: at + 1, method: String(method)});
    const unknown = Object.keys(options).find(name => !spec.options.some(option => option.name === name));
    if (unknown) throw new Refused('option', {step: at + 1, method, option: unknown});
    const usual = ([name, value]) =>
      JSON.stringify(value) === JSON.stringify(kindOf(spec.options.find(option => option.name === name))[1].default);
    const said = Object.entries(options).filter(option => !usual(option));
    return {id: at + 1, on: true, method, options: Object.fromEntries(said)};
  };
  const all = steps.map((step, at) => read(step ?? {}, at));
  return {name, calibration: {...EMPTY.calibration, ...calibration}, gates, steps: all, more};
}

/** The bench of a recipe's text. */
export function fromJson(text, methods) {
  let recipe;
  try {
    recipe = JSON.parse(text);
  } catch {
    throw new Refused('json');
  }
  return fromRecipe(recipe, methods);
}

/** A word of a POSIX shell. */
const quoted = word => /^[\w./:=@-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** What makes the same file on the command line. */
export const commandLine = (bench, {base, output, text}) => [
  'hearth', 'compress', base, output, '--recipe', JSON.stringify(toRecipe(bench)), '--text', text,
].map(quoted).join(' ');

/** A choice in a word or two. */
function word(key, value) {
  if (typeof value === 'boolean') return value ? key : `no ${key}`;
  if (typeof value === 'number') return `${key} ${value}`;
  if (Array.isArray(value)) return value.join('/');
  return typeof value === 'object' ? `${key} × ${Object.keys(value).length}` : value;
}

/** A recipe in a few words: its name, or its steps, each with its first choice and whatever else was chosen. */
export function summary({name, steps}, methods) {
  if (name) return name;
  const said = ({method, ...options}) => {
    const spec = methods.find(({name}) => name === method);
    const first = spec?.options.find(option => kindOf(option)[0] === 'choice');
    const lead = first ? {[first.name]: valueOf({options}, first)} : {};
    return [method, ...Object.entries({...lead, ...options}).map(([key, value]) => word(key, value))].join(' ');
  };
  return steps.map(said).join(' + ') || '—';
}
