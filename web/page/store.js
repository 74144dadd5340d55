// The page's state. Panels draw from `state` and call `set`; listeners hear which keys changed. What a person made is kept
// in localStorage at once, so neither an error nor a reload loses it.

export const SAMPLING = {
  temperature: 0.7, top_k: 40, top_p: 0.95, min_p: 0.05, repetition_penalty: 1.1, max_tokens: 512, seed: '',
};

const KEPT = ['language', 'theme', 'source', 'messages', 'sampling', 'system'];

export const state = {
  view: 'chat',
  language: '',
  theme: '',
  /** Catalog id or address of the chosen model; a file of the person's own is not remembered. */
  source: null,
  /** 'none' | 'download' | 'load' | 'ready' */
  phase: 'none',
  name: '',
  progress: null,
  model: null,
  /** `[{role, content, meta}]` */
  messages: [],
  answering: false,
  /** Prompt tokens still to read. */
  reading: 0,
  timings: null,
  sampling: {...SAMPLING},
  system: '',
  /** `{code, message, actions: [[label key, function]]}` */
  error: null,
};

const bus = new EventTarget();

for (const key of KEPT) {
  try {
    const kept = JSON.parse(localStorage.getItem(`hearth.${key}`));
    if (kept !== null) state[key] = kept;
  } catch {
    // Unreadable is as good as never kept.
  }
}
state.sampling = {...SAMPLING, ...state.sampling};

export function set(changes) {
  Object.assign(state, changes);
  for (const key of KEPT) {
    if (!(key in changes)) continue;
    try {
      localStorage.setItem(`hearth.${key}`, JSON.stringify(state[key]));
    } catch {
      // Storage is full or forbidden: the tab still has it.
    }
  }
  bus.dispatchEvent(new CustomEvent('change', {detail: new Set(Object.keys(changes))}));
}

/** Calls `draw` now and whenever one of `keys` changes. */
export function on(keys, draw) {
  bus.addEventListener('change', ({detail}) => {
    if (keys.some(key => detail.has(key))) draw();
  });
  draw();
}
