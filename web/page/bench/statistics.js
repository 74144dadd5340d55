// Figures of several runs.

/** `{median, low, high}`; undefined for no values. */
export function spread(values) {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return {median, low: sorted[0], high: sorted.at(-1)};
}

/**
 * Tokens a second, counted alike for all: until the first token is there, and from the first to the last one. `first`: the time
 * until the first one is there, in milliseconds.
 */
export function speeds(runs) {
  return {
    prompt: spread(runs.map(({prompt_tokens, prompt_ms}) => prompt_tokens / prompt_ms * 1000)),
    first: spread(runs.map(({prompt_ms}) => prompt_ms)),
    decode: spread(runs.map(({tokens, decode_ms}) => (tokens - 1) / decode_ms * 1000)),
  };
}
