// Named ways to choose tokens: ours, and the person's own, which are kept. Seed and longest answer are not theirs to say.
import {SAMPLING} from '../store.js';

const {seed, max_tokens, ...balanced} = SAMPLING;

/** What a preset says of: names of options. */
const OPTIONS = Object.keys(balanced);

/** Ours: `{id, value}`; their names are texts, `preset.ID`. */
export const OURS = [
  {id: 'balanced', value: balanced},
  {id: 'precise', value: {...balanced, temperature: 0}},
  {id: 'creative', value: {...balanced, temperature: 1.1, top_k: 0, top_p: 1, min_p: 0.08}},
];

/** What of the options a preset would keep. */
export const valueOf = sampling => Object.fromEntries(OPTIONS.map(name => [name, sampling[name]]));

/** Whether these options are what a preset says. */
export const matches = (sampling, value) => OPTIONS.every(name => sampling[name] === value[name]);

/** A list of `{name, value}` with one more, or with another value. */
export const named = (list, name, value) => [...list.filter(one => one.name !== name), {name, value}];
