// What is kept of a run: the recipe, what it gave and how that was measured; never a text, and not the model's bytes.
//
// A run is `{id, n, when, name, base, recipe, calibration, test, quality, sizes, work, speed, ms, peak_memory_bytes,
// requests, device}`; `n` is its number among those that can be compared with it.

import {ofVectors} from './quality.js';

/** A hash by which a text is known again on this device (FNV-1a). */
export function hash(text) {
  let sum = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193);
  return (sum >>> 0).toString(16).padStart(8, '0');
}

/** What a base is known by, beside what it is called. */
export const baseOf = ({architecture, size_bytes, tensor_bytes, quantized, layers}) =>
  ({architecture, size_bytes, tensor_bytes, quantized, layers});

const SAME = ['architecture', 'size_bytes', 'tensor_bytes'];

/** Whether a run was made of the base of this `info`. */
export const isOf = ({base}, info) => SAME.every(key => base[key] === info[key]);

/** Runs can be compared that were measured alike: the same base, text and protocol. */
export const groupOf = ({base, test}) =>
  [...SAME.map(key => base[key]), test.name, test.hash, test.protocol, test.context, test.tokens].join('\n');

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
  const itself = ofVectors(quality) ? {...quality, cosine: all, least_cosine: 1, overlap_at_10: all} : {
    ...quality, kl: nothing, kl_percentiles: [], same_top: all, rms_dp: nothing, perplexity: quality.original_perplexity,
    perplexity_ratio: all,
  };
  const speed = runs.find(({base_speed}) => base_speed)?.base_speed;
  return {
    id: 'base', n: 0, base, test, original: true,
    quality: itself,
    sizes: {file_bytes: base.size_bytes, resident_bytes: base.work?.resident_bytes}, work: base.work, speed,
  };
}

/** The number of the next run of a group. */
export const nextNumber = (runs, key) => 1 + Math.max(0, ...runs.filter(run => groupOf(run) === key).map(({n}) => n));
