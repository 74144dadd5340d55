// Results on a GPU as text. A result is that of web/page/bench/report.js, with an `adapter` (adapter.mjs) and each engine's
// `counts` (count.mjs).
import {digits, failures, measured, megabytes, range, table, times, whole} from '../../web/page/bench/report.js';

export function gpuReport(result) {
  const {results, adapter} = result;
  return [
    facts(result), speed(result), counts(result), room(result), ...failures(results, () => `on ${adapter.name}`),
  ].join('\n\n');
}

const rate = bytes => `${(bytes / 1e9).toFixed(2)} GB/s`;
const percent = share => `${digits(share * 100)}%`;

function facts({facts, adapter: {name, copied, read}, settings: {runs, gen}}) {
  return [
    ...facts,
    `all on ${name}: it copies at ${rate(copied)}, read and written; a shader reads at ${rate(read)}`,
    `medians (lowest-highest) of ${runs} runs in turns, ${gen} tokens made, the likeliest each time; tokens a second`,
    'prompt: tokens read / time to the first token; decode: from the first to the last token',
    "'of copying', 'of reading': decode x bytes of weights a token / what the adapter copies, a shader reads",
  ].join('\n');
}

function speed({results, adapter, settings: {prompts}}) {
  const rows = [[
    'model', 'adapter', 'prompt', 'engine', 'prompt tok/s', '(range)', 'first ms', 'decode tok/s', '(range)', 'made',
    'of copying', 'of reading', 'hearth is: prompt', 'decode',
  ]];
  for (const {model, bytes_per_token, engines} of results) {
    for (const size of prompts) {
      const ours = engines.hearth.prompts?.[size];
      for (const [name, {prompts: {[size]: {prompt, first, decode, runs}}}] of measured(engines)) {
        const made = runs.map(({tokens}) => tokens);
        // Others have weights of their own, of another size.
        const share = bandwidth => name === 'hearth' ? percent(decode.median * bytes_per_token / bandwidth) : '';
        const ratios = [times(ours?.prompt.median, prompt.median), times(ours?.decode.median, decode.median)];
        rows.push([
          model, adapter.name, String(size), name, digits(prompt.median), range(prompt), whole(first.median),
          digits(decode.median), range(decode), String(Math.min(...made)), share(adapter.copied), share(adapter.read),
          ...name === 'hearth' ? ['', ''] : ratios,
        ]);
      }
    }
  }
  return table(alone(results) ? rows.map(row => row.slice(0, -2)) : rows, 4);
}

/** Without peers there is nothing to compare with. */
const alone = results => results.every(({engines}) => Object.keys(engines).length === 1);

const number = value => Number.isInteger(value) ? String(value) : value.toFixed(1);

function counts({results, adapter}) {
  const rows = [[
    'model', 'adapter', 'engine', 'dispatches', 'a layer', 'passes', 'submits', 'calls', 'bytes up', 'bytes down',
    'buffers', 'bind groups', 'pipelines', 'tokens',
  ]];
  for (const {model, layers, engines} of results) {
    for (const [name, {counts}] of measured(engines).filter(([, {counts}]) => counts)) {
      rows.push([
        model, adapter.name, name, number(counts.dispatches), (counts.dispatches / layers).toFixed(2),
        ...[
          counts.passes, counts.submits, counts.calls, counts.uploaded, counts.downloaded, counts.buffers, counts.bindGroups,
          counts.pipelines,
        ].map(number),
        counts.between.map((count, end) => count + 1 - end).join('-'),
      ]);
    }
  }
  return [
    table(rows, 3),
    "what a token asks of WebGPU, the mean of those of an answer that 'tokens' names; counted apart from the runs above",
    'calls: of methods of device, queue, encoders and buffers; buffers, bind groups, pipelines: made anew',
  ].join('\n');
}

function room({results, adapter}) {
  const rows = [[
    'model', 'adapter', 'engine', 'load ms', '(range)', 'MB loading', 'MB answering', 'of it wasm', 'file MB',
    'hearth is: load',
  ]];
  for (const {model, file_bytes, engines} of results) {
    for (const [name, {load_ms, memory, file_bytes: own_bytes}] of measured(engines)) {
      rows.push([
        model, adapter.name, name, whole(load_ms.median), range(load_ms, whole), megabytes(memory.loading),
        megabytes(memory.answering), megabytes(memory.wasm), megabytes(own_bytes ?? file_bytes),
        name === 'hearth' ? '' : times(load_ms.median, engines.hearth.load_ms?.median),
      ]);
    }
  }
  return [
    table(alone(results) ? rows.map(row => row.slice(0, -1)) : rows, 3),
    "load: a second visit's, from the engine's start to a model that answers",
    "MB: the most that the page's process or the browser's for the GPU had, the larger of both, less that with an empty page",
  ].join('\n');
}
