// Everything that is known of a run, one fact a row, each with its unit and where it comes from. Details and reports are made
// of this list. `source`: 'measured' on the text or by the clock, 'counted' in the file.

import {ofVectors} from './quality.js';

const PERCENTILES = {0.5: 'kl50', 0.9: 'kl90', 0.99: 'kl99', 1: 'kl100'};

/** `[{key, value, low, high, unit, source}]`; what is not known is left out. */
export function facts({quality, sizes, work, speed, ms, peak_memory_bytes, requests}) {
  const figure = (key, {value, low, high}, unit) => ({key, value, low, high, unit, source: 'measured'});
  const counted = (key, value, unit) => ({key, value, unit, source: 'counted'});
  const measured = (key, value, unit) => ({key, value, unit, source: 'measured'});
  const timed = (key, {median, low, high}) => figure(key, {value: median, low, high}, 'tok/s');
  const near = ofVectors(quality) ? [
    figure('cosine', quality.cosine, '1'),
    measured('least_cosine', quality.least_cosine, '1'),
    figure('overlap_at_10', quality.overlap_at_10, 'share'),
    counted('texts', quality.texts, '1'),
  ] : [
    figure('kl', quality.kl, 'nat/token'),
    ...quality.kl_percentiles.filter(([share]) => share in PERCENTILES)
      .map(([share, kl]) => measured(PERCENTILES[share], kl, 'nat/token')),
    figure('same_top', quality.same_top, 'share'),
    figure('rms_dp', quality.rms_dp, 'share'),
    figure('perplexity', quality.perplexity, '1'),
    figure('original_perplexity', quality.original_perplexity, '1'),
    figure('perplexity_ratio', quality.perplexity_ratio, '1'),
    counted('positions', quality.positions, 'token'),
  ];
  return [
    ...near,
    counted('file', sizes.file_bytes, 'B'),
    counted('tensors', sizes.tensor_bytes, 'B'),
    counted('resident', sizes.resident_bytes, 'B'),
    counted('macs', work?.macs_per_token, 'MAC/token'),
    counted('bytes', work?.bytes_per_token, 'B/token'),
    speed && timed('prompt', speed.prompt),
    speed && timed('decode', speed.decode),
    measured('made', ms, 'ms'),
    measured('peak', peak_memory_bytes, 'B'),
    counted('requests', requests, '1'),
  ].filter(fact => fact && Number.isFinite(fact.value));
}
