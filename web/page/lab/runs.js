// What is kept of a run: the recipe, what it gave and how that was measured; never a text, and not the model's bytes.
//
// A run is `{id, when, name, base, recipe, calibration, test, quality, sizes, work, speed, gates, ms, peak_memory_bytes, requests,
// device}`.

/** A hash by which a text is known again on this device (FNV-1a). */
export function hash(text) {
  let sum = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193);
  return (sum >>> 0).toString(16).padStart(8, '0');
}

/** What a model is known by. */
export const baseOf = ({name, architecture, size_bytes, tensor_bytes, quantized, layers}) =>
  ({name, architecture, size_bytes, tensor_bytes, quantized, layers});

/** Runs can be compared that were measured alike: the same base, text and protocol. */
export const groupOf = ({base, test}) =>
  [base.name, base.size_bytes, test.name, test.hash, test.protocol, test.context, test.tokens].join('\n');

/** The runs by group, the newest group first: `[{key, runs}]`. */
export function groups(runs) {
  const found = new Map();
  for (const run of [...runs].reverse()) {
    const key = groupOf(run);
    found.set(key, [run, ...found.get(key) ?? []]);
  }
  return [...found].map(([key, runs]) => ({key, runs}));
}

/** The base as a point: it differs from itself in nothing. */
export function original(runs) {
  const {base, test, quality} = runs[0];
  const nothing = {value: 0, low: 0, high: 0};
  const all = {value: 1, low: 1, high: 1};
  const speed = runs.find(({base_speed}) => base_speed)?.base_speed;
  return {
    id: 'base', base, test, original: true,
    quality: {
      ...quality, kl: nothing, same_top: all, rms_dp: nothing, perplexity: quality.original_perplexity, perplexity_ratio: all,
    },
    sizes: {file_bytes: base.size_bytes, resident_bytes: base.work?.resident_bytes}, work: base.work, speed,
  };
}

/** Which gates a quality does not pass: names of those that fail. Gates are `{kl, same_top}`; null: none. */
export function failed(quality, {kl, same_top}) {
  return [
    kl !== null && !(quality.kl.value <= kl) && 'kl',
    same_top !== null && !(quality.same_top.value >= same_top) && 'same_top',
  ].filter(Boolean);
}

export const noGates = ({kl, same_top}) => kl === null && same_top === null;
