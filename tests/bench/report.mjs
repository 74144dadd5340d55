// The result as text.
const digits = number => number === undefined ? '-' : number.toFixed(number < 10 ? 2 : number < 100 ? 1 : 0);
const whole = number => number.toFixed(0);
const megabytes = bytes => bytes === undefined ? '-' : whole(bytes / 1e6);
const range = ({low, high}, scale = digits) => `${scale(low)}-${scale(high)}`;
const times = (one, other) => one && other ? `${(one / other).toFixed(2)}x` : '-';

/** Columns as wide as their widest cell: `names` of them to the left, numbers to the right. */
function table(rows, names) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)));
  const cell = (text, column) => column < names ? text.padEnd(widths[column]) : text.padStart(widths[column]);
  return rows.map(row => row.map(cell).join('  ').trimEnd()).join('\n');
}

export function report({machine, settings, results}) {
  const tables = [speed(machine, settings, results), room(results)];
  return [facts(machine, settings), ...tables, ...failures(results)].join('\n\n');
}

function facts(machine, {gen, runs}) {
  const bandwidth = Object.entries(machine.bandwidth).map(([threads, bytes]) =>
    `${(bytes / 1e9).toFixed(1)} GB/s by ${threads} thread${threads === '1' ? '' : 's'}`);
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return [
    `${machine.cpu}, ${machine.cores} cores; load before the start ${machine.load.map(digits).join(' ')}`,
    `memory is read at ${bandwidth.join(', ')}`,
    versions.join(', '),
    `medians (lowest-highest) of ${runs} runs in turns, ${gen} tokens made, the likeliest each time; tokens a second`,
    'prompt: tokens read / time to the first token; decode: from the first to the last token',
    "'of memory': decode x bytes of weights a token / what as many threads can read; 'hearth is': times as fast",
  ].join('\n');
}

const measured = engines => Object.entries(engines).filter(([, {failed}]) => !failed);

function speed({bandwidth}, {prompts}, results) {
  const rows = [[
    'model', 'threads', 'prompt', 'engine', 'prompt tok/s', '(range)', 'decode tok/s', '(range)', 'of memory',
    'hearth is: prompt', 'decode',
  ]];
  for (const {model, threads, bytes_per_token, engines} of results) {
    for (const size of prompts) {
      const ours = engines.hearth?.prompts?.[size];
      for (const [name, {prompts: {[size]: {prompt, decode}}}] of measured(engines)) {
        const share = decode.median * bytes_per_token / bandwidth[threads];
        const ratios = [times(ours?.prompt.median, prompt.median), times(ours?.decode.median, decode.median)];
        rows.push([
          model, String(threads), String(size), name, digits(prompt.median), range(prompt),
          digits(decode.median), range(decode), `${whole(share * 100)}%`, ...name === 'hearth' ? ['', ''] : ratios,
        ]);
      }
    }
  }
  return table(rows, 4);
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
    "KV cache: of the whole context, in f16; 'hearth is': times as fast to load, times as small while answering",
  ].join('\n');
}

function failures(results) {
  return results.flatMap(({model, threads, engines}) => Object.entries(engines)
    .filter(([, {failed}]) => failed)
    .map(([name, {failed}]) => `${name} did not run ${model} with ${threads} threads: ${failed}`));
}
