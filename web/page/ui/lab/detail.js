// One run: all its facts, and what can be done with it.
import {load} from '../../actions.js';
import {h, redraw, save} from '../../dom.js';
import {duration, figure, megabytes, number, percent, t} from '../../i18n.js';
import {forget, makeAdapter, measureSpeed, take} from '../../lab/actions.js';
import {distance, ofVectors} from '../../lab/quality.js';
import {reportHtml, reportJson} from '../../lab/report.js';
import {isOf} from '../../lab/runs.js';
import {lab, on as onLab, set} from '../../lab/state.js';
import {on, set as setPage} from '../../store.js';
import {cells, heads, pictureText, present} from './cost.js';
import {factRows, measuredOn, nameOf, textName, verdict} from './figures.js';

const FACTS = ['fact', 'value', 'interval', 'unit', 'source'];

const stem = name => name.replace(/[^\w.-]+/g, '-').slice(0, 60);

function about(run) {
  const {base, calibration, when, device, speed, requests, ms} = run;
  return [
    [t('lab.report.base'), [base.name, base.architecture, base.quantized ?? ''].filter(Boolean).join(' · ')],
    [t('lab.report.when'), new Date(when).toLocaleString(document.documentElement.lang)],
    [t('lab.report.calibration'), t('lab.report.texts', {
      ...calibration, name: textName(calibration), tokens: number(calibration.tokens),
    })],
    [t('lab.report.test'), measuredOn(run)],
    [t('lab.report.seed'), '0'],
    [t('lab.report.device'), `${device.agent}, ${t('lab.report.cores', {n: device.cores})}`],
    speed && [t('lab.report.speed'), t('lab.report.timing', speed)],
    [t('lab.report.took'), duration(ms / 1000)],
    [t('lab.report.requests'), number(requests)],
  ].filter(Boolean);
}

function saveHtml(run) {
  const html = reportHtml({
    title: `${run.base.name}: ${run.name}`, language: document.documentElement.lang, verdict: verdict(run) || t('lab.nogates'),
    about: about(run), measured: factRows(run), recipe: run.recipe, plot: pictureText(),
    all: {heads: heads(run), rows: present().runs.map(cells)},
  });
  save(new Blob([html], {type: 'text/html'}), `${stem(run.name)}-report.html`);
}

const saveJson = run => save(new Blob([reportJson(run)], {type: 'application/json'}), `${stem(run.name)}-report.json`);

function useInChat(run) {
  const file = lab.files.get(run.id);
  setPage({view: 'chat'});
  load([file], `${run.base.name} · ${run.name}`);
}

function actions(run) {
  const file = lab.files.get(run.id);
  const busy = Boolean(lab.busy);
  const mine = lab.session && isOf(run, lab.session.info);
  const button = (key, onclick, more = {}) =>
    h('button', {class: 'quiet', id: `lab-${key}`, onclick, ...more}, t(`lab.act.${key}`));
  const time = (run.original ? mine : file) && !lab.session?.info.encoder
    && button('speed', () => measureSpeed(run.id), {disabled: busy});
  if (run.original) return [time];
  return [
    file && button('chat', () => useInChat(run), {class: 'main'}),
    file && button('download', () => save(file)),
    file && mine && !lab.session.info.encoder && button('adapter', async () => {
      const made = await makeAdapter(run.id);
      if (made) save(made);
    }, {disabled: busy, title: t('lab.act.adapter.note')}),
    time,
    button('html', () => saveHtml(run)), button('json', () => saveJson(run)),
    lab.session && button('recipe', () => take(run.recipe)),
    button('forget', () => forget(run.id)),
  ];
}

/** The runs whose figures are all shown. */
const open = new Set();

/** The one figure, and what it was paid for. */
function headline({quality, sizes, base}) {
  const {value} = distance(quality);
  const key = ofVectors(quality) ? 'lab.big.cosine' : 'lab.big.kl';
  const share = percent(sizes.file_bytes / base.size_bytes, 0);
  return h('div', {class: 'headline'},
    h('div', {class: 'big', id: 'lab-distance'}, figure(value), h('small', {}, ` ${t(key)}`)),
    h('p', {class: 'soft'}, t('lab.big.size', {size: megabytes(sizes.file_bytes), of: megabytes(base.size_bytes), share})));
}

export function detail() {
  const card = h('section', {class: 'card', id: 'lab-detail'});
  const draw = () => {
    const run = present().runs.find(({id}) => id === lab.shown);
    card.hidden = !run;
    if (!run) return;
    const said = verdict(run);
    const gone = !run.original && !lab.files.has(run.id);
    redraw(card,
      h('div', {class: 'card-head'}, h('h2', {}, nameOf(run)),
        h('button', {class: 'quiet', onclick: () => set({shown: null})}, t('lab.close'))),
      ...[
        !run.original && headline(run),
        said && h('p', {class: `verdict ${said === t('lab.verified') ? 'ok' : 'bad'}`, id: 'lab-verdict'}, said),
        h('div', {class: 'actions'}, actions(run).filter(Boolean)),
        gone && h('p', {class: 'small'}, t('lab.gone')),
        h('details', {open: open.has(run.id), ontoggle: event => open[event.currentTarget.open ? 'add' : 'delete'](run.id)},
          h('summary', {id: 'lab-all'}, t('lab.all')),
          h('div', {class: 'scroll', tabindex: 0, role: 'region', 'aria-label': t('lab.report.measured')}, h('table', {},
            h('thead', {}, h('tr', {}, FACTS.map(head => h('th', {scope: 'col'}, t(`lab.head.${head}`))))),
            h('tbody', {}, factRows(run).map(([name, ...cells]) =>
              h('tr', {}, h('th', {scope: 'row'}, name), cells.map(cell => h('td', {}, cell))))))),
          !run.original && h('dl', {class: 'about'}, about(run).flatMap(([name, said]) => [h('dt', {}, name), h('dd', {}, said)]))),
      ]);
  };
  on(['language'], draw);
  onLab(['shown', 'runs', 'files', 'busy', 'session', 'group'], draw);
  return card;
}
