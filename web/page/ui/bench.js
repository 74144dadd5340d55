// How fast this device is, and why: the bench on the model in use, as tables and as text to copy.
import {measure, stop} from '../actions.js';
import {kernelRows, report, speedRows} from '../bench/report.js';
import {bench as run} from '../bench/run.js';
import {$, h} from '../dom.js';
import {number, t} from '../i18n.js';
import {on, set, state} from '../store.js';

const SPEED = ['threads', 'prompt', 'reading', 'range', 'answering', 'range', 'share'];
const KERNEL = ['format', 'kernel', 'tokens', 'gmacs', 'gigabytes', 'naive'];

/** May be wider than a phone: it scrolls by itself, also by keyboard. */
function table(caption, heads, rows) {
  const cells = row => row.map(cell => cell.replace(/(\d)-(?=\d)/, '$1–')).map((cell, at) => at === 0 ? h('th', {scope: 'row'}, cell) : h('td', {}, cell));
  return h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': caption},
    h('table', {},
      h('caption', {class: 'hidden'}, caption),
      h('thead', {}, h('tr', {}, heads.map(head => h('th', {scope: 'col'}, t(`bench.${head}`))))),
      h('tbody', {}, rows.map(row => h('tr', {}, cells(row))))));
}

async function copy(event) {
  const button = event.currentTarget;
  await navigator.clipboard.writeText(report(state.benchResult));
  button.textContent = t('act.copied');
  setTimeout(() => { button.textContent = t('bench.copy'); }, 2000);
}

function found(result) {
  const {results, device, bandwidth, settings, kernels} = result;
  const [size] = settings.prompts;
  const best = Math.max(...results.map(({engines}) => engines.hearth.prompts[size].decode.median));
  // Model and engine are the same in every row.
  const rows = speedRows(result).map(([, threads, prompt, , ...rest]) => [threads, prompt, ...rest.slice(0, 5)]);
  const read = Object.entries(bandwidth).map(([threads, bytes]) =>
    t('bench.bandwidth', {threads, speed: number(bytes / 1e9, 1)}));
  return [
    h('div', {class: 'card'},
      h('div', {class: 'big', id: 'bench-rate'}, number(best, 1), h('small', {}, ` ${t('speed.answer')}`)),
      h('p', {class: 'small'}, [results[0].model, t('bench.device', device), ...read].join(' · ')),
      table(t('bench.speeds'), SPEED, rows),
      h('p', {class: 'small'}, t('bench.how', {runs: settings.runs, made: settings.gen})),
      h('div', {class: 'actions'}, h('button', {class: 'quiet', onclick: copy}, t('bench.copy')))),
    ...Object.entries(kernels).map(([build, speeds]) => h('details', {class: 'card'},
      h('summary', {}, t('bench.kernels', {build})),
      h('p', {class: 'small'}, t('bench.kernels.how')),
      table(t('bench.kernels', {build}), KERNEL, kernelRows(speeds)))),
  ];
}

export function bench() {
  const title = h('h1');
  const text = h('p', {class: 'soft'});
  const button = h('button', {class: 'main', id: 'bench-run'});
  const bar = h('progress', {max: 1});
  const results = h('div', {class: 'column', id: 'bench-results', 'aria-live': 'polite'});
  $('bench').append(h('div', {class: 'column'}, title, text, h('div', {class: 'actions'}, button, bar), results));
  button.onclick = () => {
    if (state.bench) stop();
    else if (state.model) measure(run);
    else set({view: 'models'});
  };
  on(['bench', 'model', 'answering', 'language', 'name'], () => {
    const {bench, model, answering, name} = state;
    title.textContent = t('bench.title');
    text.textContent = t(model ? 'bench.text' : 'bench.nomodel', {name});
    button.textContent = t(bench ? 'bench.stop' : model ? 'bench.run' : 'bench.models');
    button.disabled = answering;
    bar.hidden = !bench;
    bar.setAttribute('aria-label', t('bench.title'));
    bar.value = bench ? bench.done / bench.all : 0;
  });
  on(['benchResult', 'language'], () => results.replaceChildren(...state.benchResult ? found(state.benchResult) : []));
}
