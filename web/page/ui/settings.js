// Speed, device, sampling, system prompt, what the browser lacks.
import {useDevice} from '../actions.js';
import {$, h, redraw} from '../dom.js';
import {megabytes, number, t} from '../i18n.js';
import {found, lacking} from '../shell/lacks.js';
import {on, SAMPLING, set, state} from '../store.js';
import {promptPicker, samplingPicker} from './chat/presets.js';

/** What is not known yet. */
const NONE = '–';

/** Name, lowest, highest, step, digits. */
const SLIDERS = [
  ['temperature', 0, 2, 0.05, 2],
  ['top_p', 0, 1, 0.01, 2],
  ['min_p', 0, 0.5, 0.01, 2],
  ['top_k', 0, 100, 1, 0],
  ['repetition_penalty', 1, 2, 0.01, 2],
  ['max_tokens', 16, 2048, 16, 0],
];

function speed() {
  const {timings, model} = state;
  const per = (tokens, ms) => tokens > 0 && ms > 0 ? tokens / ms * 1000 : undefined;
  const rate = per(timings?.tokens - 1, timings?.decode_ms);
  const prompt = per(timings?.prompt_tokens, timings?.prompt_ms);
  // Places are kept before there is an answer: nothing moves when it comes.
  const rows = [
    ['speed.prompt', prompt ? `${number(prompt)} ${t('speed.answer')}` : NONE],
    ['speed.first', timings?.tokens > 0 ? t('seconds', {n: number(timings.first_token_ms / 1000, 2)}) : NONE],
  ];
  if (model) {
    rows.push(['speed.load', t('seconds', {n: number(model.timings.load_ms / 1000, 2)})]);
    const {device, threads, adapter} = model.timings;
    rows.push(device === 'gpu' ? ['device.gpu', adapter || 'WebGPU']
      : ['speed.threads', `${threads} / ${navigator.hardwareConcurrency}`]);
    rows.push(['speed.memory', `${megabytes(model.timings.peak_memory_bytes)} MB`]);
  }
  return h('section', {},
    h('h2', {}, t('speed')),
    h('div', {class: rate ? 'big' : 'big none', id: 'rate'}, rate ? number(rate, 1) : NONE, h('small', {}, ` ${t('speed.answer')}`)),
    h('dl', {}, rows.flatMap(([key, value]) => [h('dt', {}, t(key)), h('dd', {}, value)])));
}

function slider([name, min, max, step, digits]) {
  const value = state.sampling[name];
  const shown = h('output', {}, number(value, digits));
  const input = h('input', {
    type: 'range', id: `s-${name}`, min, max, step, value,
    oninput: event => {
      const value = Number(event.currentTarget.value);
      shown.textContent = number(value, digits);
      set({sampling: {...state.sampling, [name]: value}});
    },
  });
  return h('div', {class: 'slider'}, h('label', {for: `s-${name}`}, t(name)), shown, input);
}

/** Why the model runs where it does, in a sentence. */
function why({why, cpu, gpu}) {
  const rate = speeds => number(speeds?.decode_per_second ?? 0, 1);
  return t(`device.why.${why}`, {cpu: rate(cpu), gpu: rate(gpu)});
}

/** The verdict for others to read: one fact a line. */
function verdictText({device, why, adapter, kernels, message, error, cpu, gpu}) {
  const speed = (name, {prompt_per_second, decode_per_second}) =>
    `${name}: prompt ${prompt_per_second.toFixed(1)}, decode ${decode_per_second.toFixed(1)} tok/s`;
  return [
    navigator.userAgent, adapter && `adapter: ${adapter}`, kernels && `kernels: ${JSON.stringify(kernels)}`, `device: ${device} (${why})`, message,
    error === null ? 'logits are no numbers' : error && `logits apart by ${error.toExponential(1)}`, cpu && speed('CPU', cpu), gpu && speed('GPU', gpu),
  ].filter(Boolean).join('\n');
}

async function copyVerdict(event) {
  const button = event.currentTarget;
  await navigator.clipboard.writeText(verdictText(state.verdict));
  button.textContent = t('act.copied');
  setTimeout(() => { button.textContent = t('bench.copy'); }, 2000);
}

function device() {
  const {device, verdict} = state;
  return h('section', {},
    h('h2', {}, h('label', {for: 's-device'}, t('device'))),
    h('select', {id: 's-device', onchange: event => useDevice(event.currentTarget.value)},
      ['auto', 'cpu', 'gpu'].map(value => h('option', {value, selected: value === device}, t(`device.${value}`)))),
    verdict && h('p', {class: 'small', id: 'verdict'}, why(verdict)),
    verdict?.message && h('p', {class: 'small', lang: 'en'}, verdict.message),
    verdict && h('button', {class: 'quiet', onclick: copyVerdict}, t('bench.copy')));
}

function lacks() {
  const names = lacking(found(state));
  return h('section', {'aria-labelledby': 'lacks-title'},
    h('h2', {id: 'lacks-title'}, t('lacks')),
    names.length === 0 ? h('p', {class: 'small'}, t('lacks.nothing'))
      : h('ul', {class: 'plain lacks'}, names.map(name => h('li', {}, h('b', {}, t(`lacks.${name}`)), h('p', {class: 'small'}, t(`lacks.${name}.so`))))));
}

function controls() {
  redraw($('controls'),
    h('section', {}, h('h2', {}, t('sampling')),
      h('div', {id: 'samplings'}, samplingPicker()),
      SLIDERS.map(slider),
      h('div', {class: 'slider'}, h('label', {for: 's-seed'}, t('seed')),
        h('input', {
          id: 's-seed', type: 'number', min: 0, step: 1, value: state.sampling.seed, placeholder: t('seed.random'),
          oninput: event => set({sampling: {...state.sampling, seed: event.currentTarget.value}}),
        }))),
    h('section', {}, h('h2', {}, h('label', {for: 'system'}, t('system'))),
      h('div', {id: 'prompts'}, promptPicker()),
      h('textarea', {
        id: 'system', rows: 3, placeholder: t('system.hint'), oninput: event => set({system: event.currentTarget.value}),
      }, state.system),
      h('button', {
        class: 'quiet', id: 's-reset', onclick: () => set({sampling: {...SAMPLING}, system: '', chosen: {}}),
      }, t('settings.reset'))));
}

function pickers() {
  redraw($('samplings'), samplingPicker());
  redraw($('prompts'), promptPicker());
}

export function settings() {
  $('settings').append(h('div', {id: 'speed'}), h('div', {id: 'device'}), h('div', {id: 'controls'}), h('div', {id: 'lacks'}));
  on(['timings', 'model', 'verdict', 'language'], () => $('speed').replaceChildren(speed()));
  on(['verdict', 'device', 'language'], () => redraw($('device'), device()));
  on(['verdict', 'stored', 'keeps', 'room', 'language'], () => $('lacks').replaceChildren(lacks()));
  on(['language', 'chosen'], controls);
  on(['sampling', 'system'], pickers);
}
