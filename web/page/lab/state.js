// What the lab knows. What a person made, recipe and runs, is kept at once; texts of their own and models are not.
import {makeStore} from '../store.js';
import {begin} from './history.js';
import {EMPTY} from './recipe.js';

const KEPT = ['source', 'recipe', 'chosen', 'check', 'runs', 'axis', 'prompt'];

export const {state: lab, set, on} = makeStore({
  /** Catalog id or address of the base; null for a file of the person's own. */
  source: null,
  /** The base that is open: what `hearth.lab` gives, its name, and what it was made of. */
  session: null,
  name: '',
  opened: null,
  /** The recipe on the bench, and what it was: `history.js`. */
  recipe: EMPTY,
  edits: null,
  /** Which text has which use: a sample's language or 'own'; or 'imatrix'. */
  chosen: {calibration: 'en', test: 'en'},
  /** Texts of the person's own, `{name, text}`. */
  own: {calibration: {name: '', text: ''}, test: {name: '', text: ''}},
  /** An importance matrix of the person's own, a `File`. */
  imatrix: null,
  /** How a result is measured. */
  check: {protocol: 'llama.cpp', context: 512, tokens: 2048, speed: true},
  /** What is under way: 'open', 'run', 'search', 'speed', 'map', 'imatrix', 'adapter', 'compare' or null. */
  busy: null,
  /** How far it is: `{kind, what, done, of, since, left_ms, peak_memory_bytes, requests}`. */
  job: null,
  /** What went wrong last: `{code, message}`. */
  error: null,
  runs: [],
  /** The files of runs made in this tab, by their ids. */
  files: new Map(),
  /** Which run is looked at, and which group of runs. */
  shown: null,
  group: null,
  axis: 'file',
  /** What `lab.sensitivity` found, and the tensor that is looked at. */
  map: null,
  tensor: null,
  /** What both models said: `{prompt, name, tokens, own, together}`. */
  comparison: null,
  prompt: '',
}, KEPT, 'hearth.lab');

/** Tokens of a window: as asked, or as many as the model was made for. */
export const contextOf = ({check, session}) => Math.min(check.context, session?.info.context || Infinity);

lab.edits = begin(lab.recipe);
