// The page's state. Panels draw from `state` and call `set`; listeners hear which keys changed. What a person made is kept
// in localStorage or sessionStorage at once, so neither an error nor a reload loses it.

/**
 * `initial` as a state `{state, set, on, keepAll}`; the keys of it in `everywhere` are kept in localStorage as `PREFIX.KEY`, those in
 * `here` in sessionStorage, so for this tab alone.
 */
export function makeStore(initial, everywhere, prefix, here = []) {
  const state = {...initial};
  const bus = new EventTarget();
  const kept = [...everywhere, ...here];
  const shelf = key => here.includes(key) ? sessionStorage : localStorage;
  for (const key of kept) {
    try {
      const value = JSON.parse(shelf(key).getItem(`${prefix}.${key}`));
      if (value !== null) state[key] = value;
    } catch {
      // Unreadable is as good as never kept.
    }
  }

  function forget(key) {
    try {
      shelf(key).removeItem(`${prefix}.${key}`);
    } catch {
      // There is nothing.
    }
  }

  function keep(keys) {
    for (const key of keys) {
      try {
        shelf(key).setItem(`${prefix}.${key}`, JSON.stringify(state[key]));
      } catch {
        // Storage is full or forbidden: the tab still has it. What it was before is not to come back.
        if (here.includes(key)) forget(key);
      }
    }
  }

  /** Keeps everything anew, where the browser has thrown it away. */
  const keepAll = () => keep(kept);

  function set(changes) {
    const changed = Object.keys(changes).filter(key => state[key] !== changes[key]);
    Object.assign(state, changes);
    keep(changed.filter(key => kept.includes(key)));
    if (changed.length > 0) bus.dispatchEvent(new CustomEvent('change', {detail: new Set(changed)}));
  }

  /** Calls `draw` now and whenever one of `keys` changes; gives what ends that. */
  function on(keys, draw) {
    const hear = ({detail}) => {
      if (keys.some(key => detail.has(key))) draw();
    };
    bus.addEventListener('change', hear);
    draw();
    return () => bus.removeEventListener('change', hear);
  }

  return {state, set, on, keepAll};
}

export const SAMPLING = {
  temperature: 0.7, top_k: 40, top_p: 0.95, min_p: 0.05, repetition_penalty: 1.1, max_tokens: 512, seed: '',
};

const KEPT = [
  'language', 'theme', 'source', 'sampling', 'system', 'draft', 'device', 'open', 'presets', 'prompts', 'singleKeys', 'network', 'traffic',
];

export const {state, set, on, keepAll} = makeStore({
  view: 'chat',
  language: '',
  theme: '',
  /** Catalog id or address of the model in use, or used last; null for a file of the person's own. */
  source: null,
  name: '',
  model: null,
  /** The model being loaded, or whose loading was paused: `{source, name}`. */
  wanted: null,
  /** 'auto' | 'cpu' | 'gpu': what the person wants; and why it is what it is, see `Model.verdict`. */
  device: 'auto',
  verdict: null,
  /** 'none' | 'download' | 'load' | 'trial' | 'ready' */
  phase: 'none',
  progress: null,
  /** Id of the conversation that is shown, or was last; '' for one that has not begun. Its record, and its turns by id. */
  open: '',
  conversation: null,
  turns: new Map(),
  /** The turns that are shown, see chat/tree.js, and the answer that is being made behind them. */
  messages: [],
  growing: null,
  /** Records of all conversations, the latest first; whether the browser keeps them; what was deleted last and can be had back. */
  conversations: [],
  archived: true,
  undo: null,
  /** The person's own: `[{name, value}]`. */
  presets: [],
  prompts: [],
  /** Changes when sampling or system prompt is chosen as a whole. */
  chosen: {},
  /** Whether single keys are shortcuts. */
  singleKeys: true,
  /** The answer whose tokens are being weighed, `{id, done, of}`. */
  weighing: null,
  /** Tokens that the conversation takes with what is written in the box, or undefined. */
  used: undefined,
  /** What is written in the box and not sent, the files beside it, `[{name, text}]`, and those given last that are no text. */
  draft: '',
  files: [],
  refused: [],
  answering: false,
  /** Prompt tokens still to read. */
  reading: 0,
  timings: null,
  /** The bench under way, `{done, all}`, and what the last one found. */
  bench: null,
  benchResult: null,
  sampling: {...SAMPLING},
  system: '',
  /** `{code, message, kept, actions: [[label key, function, values]]}` */
  error: null,
  catalog: null,
  /** `[{plan, stored_bytes, whole, used_ms, held}]` */
  stored: [],
  /** What to call for a new version of the page, once there is one. */
  update: null,
  /** What of the page is kept for visits without a network: `{files}`, or `{message}` where that failed. */
  kept: null,
  /** Of this browser's storage, `{usage, quota, persisted}`; whether it keeps anything. */
  room: {usage: 0, quota: 0, persisted: false},
  keeps: true,
  /** What is done to stored models, `{kind, name, loaded, total}`, and what checks found, by key. */
  task: null,
  busy: false,
  checks: {},
  /** How downloads use the network: one connection at a time, megabytes a day, a mirror of Hugging Face; and what came today. */
  network: {one: false, cap_mb: '', hub: ''},
  traffic: {day: '', bytes: 0},
}, KEPT, 'hearth', ['files']);

state.sampling = {...SAMPLING, ...state.sampling};

/** Whether a model is on its way. */
export const coming = () => ['download', 'load', 'trial'].includes(state.phase);
