// The texts that calibrate and test: samples that come with the page, or the person's own, which stay in this tab's memory.

export const SAMPLES = ['en', 'zh', 'code'];
const BASE = new URL('../../texts/', import.meta.url);
const read = new Map();

/** A sample: `use` is 'calibration' or 'test'. */
export async function sample(language, use) {
  const name = `${language}-${use}.txt`;
  if (!read.has(name)) {
    const response = await fetch(new URL(name, BASE));
    if (!response.ok) throw Object.assign(new Error(`texts/${name} is missing on the server`), {code: 'not_found'});
    read.set(name, await response.text());
  }
  return read.get(name);
}

/** Fetches all samples, so that nothing is requested later. What cannot be had is asked for again when it is used. */
export const fetchSamples = () =>
  Promise.allSettled(SAMPLES.flatMap(language => ['calibration', 'test'].map(use => sample(language, use))));
