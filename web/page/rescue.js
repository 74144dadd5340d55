// What may be tried when something has failed, the best first.

const WAYS = {
  invalid_input: [],
  prompt_too_long: ['fresh'],
  gpu: ['cpu', 'again'],
  quota: ['unstored', 'again'],
  database: ['unstored', 'again'],
  forgotten: ['unstored', 'again'],
  out_of_memory: ['alone', 'smaller', 'fresh', 'again'],
  // Browsers do not say why they end a worker; mostly it is memory.
  crashed: ['again', 'cpu', 'alone', 'smaller'],
};

/** Those of the ways that `can` has, `{again: [label key, function, values], ...}`, that help against an error of this code. */
export const ways = (code, can) => (WAYS[code] ?? ['again']).map(way => can[way]).filter(Boolean);

/** The largest of the catalog's models that is smaller than `size` bytes. */
export const smallerThan = (size, catalog) =>
  catalog.filter(({size_bytes}) => size_bytes < size).sort((a, b) => b.size_bytes - a.size_bytes)[0];

/** The size of what a model is loaded from, if it is known. */
export function sizeOf(source, catalog, stored) {
  if (typeof source === 'string') {
    return catalog.find(({id}) => id === source)?.size_bytes ?? stored.find(({plan}) => plan.url === source)?.plan.size_bytes ?? 0;
  }
  return [source].flat().reduce((sum, {size, byteLength = 0}) => sum + (size ?? byteLength), 0);
}
