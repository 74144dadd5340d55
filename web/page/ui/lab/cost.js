// What smaller costs: every run is a point and a row. Undominated points are joined; dominated ones stay, greyed, with the
// reason.
import {$, h, redraw} from '../../dom.js';
import {figure, megabytes, number, percent, t} from '../../i18n.js';
import {AXES, points} from '../../lab/pareto.js';
import {ofVectors, places} from '../../lab/quality.js';
import {groups, original} from '../../lab/runs.js';
import {lab, on as onLab, set} from '../../lab/state.js';
import {on, state} from '../../store.js';
import {measuredOn, nameOf, numberOf, verdict} from './figures.js';
import {draw, loadPlot, said, why} from './plot.js';

/** Columns of the table; of encoders the middle ones are others. */
const HEADS = ['run', 'file', 'resident', 'kl', 'same_top', 'ratio', 'speed', 'gates'];
const OF_VECTORS = ['run', 'file', 'resident', 'cosine', 'overlap', 'least', 'speed', 'gates'];

/** The runs that are looked at, the base among them, as points of the axis; empty if there is none. */
export function present() {
  const all = groups(lab.runs);
  const group = all.find(({key}) => key === lab.group) ?? all[0];
  return group ? {...group, runs: [original(group.runs), ...group.runs]} : {key: null, runs: []};
}

const interval = ({value, low, high}, write) => low === high ? write(value) : `${write(value)} (${write(low)}–${write(high)})`;

/** A cosine: its nines count. */
const nines = value => number(value, 5);

/** A run's cells as texts, in the order of `heads`. */
export function cells(run) {
  const {sizes, quality, speed} = run;
  return [
    nameOf(run), megabytes(sizes.file_bytes), sizes.resident_bytes ? megabytes(sizes.resident_bytes) : '–',
    ...ofVectors(quality)
      ? [interval(quality.cosine, nines), percent(quality.overlap_at_10.value), nines(quality.least_cosine)]
      : [interval(quality.kl, figure), percent(quality.same_top.value), figure(quality.perplexity_ratio.value)],
    speed ? number(speed.decode.median, 1) : '–', verdict(run) || '–',
  ];
}

export const heads = ({quality}) => (ofVectors(quality) ? OF_VECTORS : HEADS).map(head => t(`lab.head.${head}`));

/** An interval goes below its value. */
function below(cell) {
  const [, value, between] = /^(\S+) (\(.+\))$/.exec(cell) ?? [];
  return value ? [value, h('span', {class: 'small why'}, between)] : [cell];
}

function row({run, by}, axis) {
  const [name, ...rest] = cells(run);
  const press = h('button', {
    class: 'link', id: `run-${run.id}`, 'aria-pressed': String(run.id === lab.shown),
    onclick: () => set({shown: run.id === lab.shown ? null : run.id}),
  }, name);
  const reason = by && h('span', {class: 'small why', title: why({by}, axis)}, t('lab.dominated.short', {name: numberOf(by)}));
  return h('tr', {class: [by ? 'beaten' : '', run.id === lab.shown ? 'shown' : ''].join(' ').trim() || null},
    h('th', {scope: 'row'}, press, reason), rest.map(cell => h('td', {}, below(cell))));
}

export function cost() {
  const title = h('h2');
  const axis = h('select', {id: 'lab-axis', onchange: () => set({axis: axis.value})});
  const axisLabel = h('label', {for: 'lab-axis'});
  const group = h('select', {id: 'lab-group', onchange: () => set({group: group.value, shown: null})});
  const groupLabel = h('label', {for: 'lab-group', class: 'hidden'});
  const on_what = h('p', {class: 'small'});
  const picture = h('div', {class: 'plot', id: 'lab-plot'});
  const reading = h('p', {class: 'small reading', id: 'lab-reading', role: 'status'});
  const table = h('div', {class: 'scroll', id: 'lab-runs', tabindex: 0, role: 'region'});
  const empty = h('p', {class: 'small'});
  const card = h('section', {class: 'card', 'aria-labelledby': 'lab-cost-title'},
    h('div', {class: 'card-head'}, title, axisLabel, axis), empty, groupLabel, group, on_what, picture, reading, table);
  title.id = 'lab-cost-title';
  let Plot;
  let width = 0;

  function drawPicture() {
    const {runs} = present();
    picture.hidden = reading.hidden = !Plot || runs.length === 0;
    if (picture.hidden || width === 0) return;
    const placed = points(runs, lab.axis);
    const look = point => { reading.textContent = said(point, lab.axis); };
    const choose = ({run}) => set({shown: run.id === lab.shown ? null : run.id});
    redraw(picture, draw(Plot, placed, {axis: lab.axis, shown: lab.shown, width, look, choose}));
    const shown = placed.find(({run}) => run.id === lab.shown);
    if (shown) look(shown);
    else {
      const missing = runs.length - placed.length;
      reading.textContent = t(missing > 0 ? 'lab.point.missing' : 'lab.point.hint', {n: missing});
    }
  }

  function drawAll() {
    const {key, runs} = present();
    const all = groups(lab.runs);
    title.textContent = t('lab.cost');
    axisLabel.textContent = t('lab.axis');
    groupLabel.textContent = t('lab.group.label');
    empty.textContent = t('lab.cost.empty');
    empty.hidden = runs.length > 0;
    axis.hidden = axisLabel.hidden = on_what.hidden = table.hidden = runs.length === 0;
    group.hidden = all.length < 2;
    const option = (value, words, selected) => h('option', {value, selected}, words);
    axis.replaceChildren(...Object.keys(AXES).map(name => option(name, t(`lab.axis.${name}`), name === lab.axis)));
    group.replaceChildren(...all.map(one => option(one.key, measuredOn(one.runs[0]), one.key === key)));
    if (runs.length > 0) {
      const [{quality}] = runs;
      const how = ofVectors(quality) ? 'lab.cost.how.vectors' : 'lab.cost.how';
      on_what.textContent = t(how, {what: measuredOn(runs[0]), positions: number(places(quality))});
      const placed = points(runs, lab.axis);
      const rows = runs.map(run => placed.find(point => point.run === run) ?? {run, by: null});
      table.setAttribute('aria-label', t('lab.cost.table'));
      redraw(table, h('table', {},
        h('caption', {class: 'hidden'}, t('lab.cost.table')),
        h('thead', {}, h('tr', {}, heads(runs[0]).map(head => h('th', {scope: 'col'}, head)))),
        h('tbody', {}, rows.map(one => row(one, lab.axis)))));
    }
    drawPicture();
  }

  new ResizeObserver(([{contentRect}]) => {
    const now = Math.floor(contentRect.width);
    if (now === width) return;
    width = now;
    drawPicture();
  }).observe(card.appendChild(h('div', {class: 'measure'})));
  on(['view'], async () => {
    if (state.view !== 'lab' || Plot) return;
    Plot = await loadPlot();
    drawPicture();
  });
  on(['language'], drawAll);
  onLab(['runs', 'axis', 'shown', 'group'], drawAll);
  return card;
}

/** The picture as it is on the page, for reports: colours as they are by day. */
export function pictureText() {
  const svg = $('lab-plot').querySelector('svg');
  return svg ? svg.outerHTML.replaceAll(/ (tabindex|role|aria-pressed|id)="[^"]*"/g, '') : '';
}
