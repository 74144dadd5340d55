// Results as rows of texts, and as text.
//
// A result is `{facts: [line], bandwidth: {[threads]: bytes a second}, settings: {prompts, gen, runs}, results, kernels}`;
// `results` are `{model, threads, bytes_per_token, engines: {[name]: {prompts: {[size]: speeds}}}}`, with `file_bytes`,
// `kv_bytes`, `load_ms` and `memory` where they were measured; `kernels` are by build.
export const digits = number => number === undefined ? '-' : number.toFixed(number < 10 ? 2 : number < 100 ? 1 : 0);
export const whole = number => number.toFixed(0);
export const megabytes = bytes => bytes === undefined ? '-' : whole(bytes / 1e6);
export const range = ({low, high}, scale = digits) => `${scale(low)}-${scale(high)}`;
export const times = (one, other) => one && other ? `${(one / other).toFixed(2)}x` : '-';

/** Columns as wide as their widest cell: `names` of them to the left, numbers to the right. */
export function table(rows, names) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)));
  const cell = (text, column) => column < names ? text.padEnd(widths[column]) : text.padStart(widths[column]);
  return rows.map(row => row.map(cell).join('  ').trimEnd()).join('\n');
}

export function report(result) {
  const {results, kernels} = result;
  const parts = [facts(result)];
  if (results.length > 0) parts.push(speed(result));
  if (results.some(({file_bytes}) => file_bytes)) parts.push(room(results));
  for (const [build, speeds] of Object.entries(kernels ?? {})) parts.push(`${build}\n${kernelTable(speeds)}`);
  return [...parts, ...failures(results)].join('\n\n');
}

function facts({facts, bandwidth, settings}) {
  const read = Object.entries(bandwidth).map(([threads, bytes]) =>
    `${(bytes / 1e9).toFixed(1)} GB/s by ${threads} thread${threads === '1' ? '' : 's'}`);
  return [
    ...facts,
    `memory is read at ${read.join(', ')}`,
    ...settings.runs ? [
      `medians (lowest-highest) of ${settings.runs} runs in turns, ${settings.gen} tokens made, the likeliest each time; tokens a second`,
      'prompt: tokens read / time to the first token; decode: from the first to the last token',
      "'of memory': decode x bytes of weights a token / what as many threads can read",
    ] : [],
  ].join('\n');
}

export const measured = engines => Object.entries(engines).filter(([, {failed}]) => !failed);

/** A row for each model, number of threads, size of prompt and engine; Hearth's are first, the others' end with ratios. */
export function speedRows({bandwidth, settings: {prompts}, results}) {
  return results.flatMap(({model, threads, bytes_per_token, engines}) => prompts.flatMap(size => {
    const ours = engines.hearth?.prompts?.[size];
    return measured(engines).map(([name, {prompts: {[size]: {prompt, decode}}}]) => {
      const share = decode.median * bytes_per_token / bandwidth[threads];
      const percent = Number.isFinite(share) ? `${whole(share * 100)}%` : '-';
      const ratios = [times(ours?.prompt.median, prompt.median), times(ours?.decode.median, decode.median)];
      return [
        model, String(threads), String(size), name, digits(prompt.median), range(prompt), digits(decode.median),
        range(decode), percent, ...name === 'hearth' ? ['', ''] : ratios,
      ];
    });
  }));
}

function speed(result) {
  const heads = [
    'model', 'threads', 'prompt', 'engine', 'prompt tok/s', '(range)', 'decode tok/s', '(range)', 'of memory',
    'hearth is: prompt', 'decode',
  ];
  const rows = [heads, ...speedRows(result)];
  const alone = rows.slice(1).every(row => row[3] === 'hearth');
  return table(alone ? rows.map(row => row.slice(0, -2)) : rows, 4);
}

function room(results) {
  const rows = [[
    'model', 'threads', 'engine', 'load ms', '(range)', 'MB loading', 'MB answering', 'of it wasm', 'file MB',
    'KV cache MB', 'hearth is: load', 'memory',
  ]];
  for (const {model, threads, file_bytes, kv_bytes, engines} of results) {
    const ours = engines.hearth;
    for (const [name, {load_ms, memory}] of measured(engines)) {
      const ratios = [times(load_ms.median, ours?.load_ms?.median), times(memory.answering, ours?.memory?.answering)];
      rows.push([
        model, String(threads), name, whole(load_ms.median), range(load_ms, whole), megabytes(memory.loading),
        megabytes(memory.answering), megabytes(memory.wasm), megabytes(file_bytes), megabytes(kv_bytes),
        ...name === 'hearth' ? ['', ''] : ratios,
      ]);
    }
  }
  return [
    table(rows, 3),
    "load: a second visit's, from the engine's start to a model that answers; llama.cpp maps the file, copies little",
    "MB: the most that the process had, less what it has with an empty page or program; llama.cpp: mapped file too",
    "KV cache: of the whole context, in 8 bits (wllama's is f32 here, 3.6 times that); 'hearth is': times as fast to load, times as small while answering",
  ].join('\n');
}

/** A row for each format, kernel and number of tokens at a time, with how many times the plain loop's speed that is. */
export function kernelRows(speeds) {
  return speeds.map(({format, kernel, tokens, gmacs, gigabytes}) => {
    const plain = speeds.find(other => other.format === format && other.tokens === tokens && other.kernel === 'naive');
    return [format, kernel, String(tokens), gmacs.toFixed(1), gigabytes.toFixed(1), `${(gmacs / plain.gmacs).toFixed(1)}x`];
  });
}

function kernelTable(speeds) {
  return table([['format', 'kernel', 'tokens', 'GMAC/s', 'GB/s', 'of naive'], ...kernelRows(speeds)], 2);
}

export function failures(results, where = ({threads}) => `with ${threads} threads`) {
  return results.flatMap(({engines, ...result}) => Object.entries(engines)
    .filter(([, {failed}]) => failed)
    .map(([name, {failed}]) => `${name} did not run ${result.model} ${where(result)}: ${failed}`));
}
