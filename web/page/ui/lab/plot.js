// The picture of what smaller costs: Observable Plot, fetched when the lab is first opened.
import {figure, number, t} from '../../i18n.js';
import {AXES, front} from '../../lab/pareto.js';
import {distance, ofVectors} from '../../lab/quality.js';
import {nameOf, numberOf} from './figures.js';

let loading;

/** The library; undefined where it cannot be had: the table has the same facts. */
export function loadPlot() {
  loading ??= import('../../../vendor/d3/d3.min.js')
    .then(() => import('../../../vendor/plot/plot.umd.min.js'))
    .then(() => globalThis.Plot)
    .catch(error => {
      console.warn('Hearth: no plot', error);
      loading = undefined;
    });
  return loading;
}

const {file, speed} = AXES;

/** What a bubble's area shows: speed, or the file's size where speed is an axis. */
export const bubbleOf = axis => axis === 'speed' ? file : speed;

/** A point's facts in a line, for those who hover, focus or hear it. */
export function said({run, x, y, low, high, by}, axis) {
  const {unit} = AXES[axis];
  const far = t(ofVectors(run.quality) ? 'lab.point.cosine' : 'lab.point.kl', {kl: figure(y), low: figure(low), high: figure(high)});
  const facts = [`${nameOf(run)}: ${number(x, 1)} ${unit}`, far];
  if (!by) return facts.join(' · ');
  return [...facts, why({by}, axis)].join(' · ');
}

/** Why a point is dominated. */
export function why({by}, axis) {
  const {of, unit, more} = AXES[axis];
  return t(more ? 'lab.dominated.more' : 'lab.dominated', {
    name: numberOf(by), x: number(of(by), 1), unit, kl: figure(distance(by.quality).value),
  });
}

/** The picture as SVG. `look(point)` is called for one that is hovered or focused, `choose(point)` for one that is pressed. */
export function draw(Plot, points, {axis, shown, width, look, choose}) {
  const best = front(points);
  const beaten = points.filter(({by}) => by);
  const bubble = bubbleOf(axis);
  const size = ({run}) => bubble.of(run) ?? NaN;
  const sized = points.every(point => Number.isFinite(size(point)));
  const r = sized ? size : 7;
  const narrow = width < 480;
  const common = {x: 'x', y: 'y', r};
  const dots = (data, options) => Plot.dot(data, {...common, ...options});
  const bars = (data, stroke) => Plot.ruleX(data, {x: 'x', y1: 'low', y2: 'high', stroke, strokeWidth: 1.5});
  const vectors = ofVectors(points[0].run.quality);
  const top = 1.1 * Math.max(1e-6, ...points.map(({high}) => high));
  const ringed = points.filter(({run}) => run.id === shown);
  const svg = Plot.plot({
    width, height: narrow ? 260 : 340, marginLeft: 60, marginRight: 28, marginTop: 28, marginBottom: 44,
    style: {background: 'none', fontFamily: 'inherit', fontSize: '13px', color: 'var(--soft)', overflow: 'visible'},
    x: {label: t(`lab.axis.${axis}`), labelArrow: 'none', nice: true, inset: 16, ticks: narrow ? 4 : 7},
    y: {type: 'sqrt', label: t(vectors ? 'lab.axis.cosine' : 'lab.axis.kl'), labelArrow: 'none', grid: true, domain: [0, top], ticks: 5},
    r: {range: [0, 13]},
    marks: [
      Plot.ruleY([0], {stroke: 'var(--line)'}),
      bars(beaten, 'var(--line)'), bars(best, 'var(--ember-2)'),
      Plot.line(best, {x: 'x', y: 'y', stroke: 'var(--ember)', strokeWidth: 2}),
      dots(beaten, {fill: 'var(--soft)', fillOpacity: 0.45, stroke: 'var(--card)'}),
      dots(best, {fill: ({run}) => run.original ? 'var(--card)' : 'var(--ember-2)', stroke: 'var(--ember)'}),
      dots(ringed, {stroke: 'var(--ember)', strokeWidth: 3, fill: 'none'}),
      Plot.text(points, {
        x: 'x', y: 'y', text: ({run}) => numberOf(run), fill: 'var(--ink)', stroke: 'var(--card)', strokeWidth: 4, lineAnchor: 'bottom', dy: -15,
      }),
    ],
  });
  svg.setAttribute('role', 'group');
  svg.setAttribute('aria-label', t('lab.cost'));
  const circles = [...svg.querySelectorAll('[aria-label="dot"]')];
  // What Plot calls its own parts is no help, and English.
  svg.querySelectorAll('g[aria-label]').forEach(part => part.removeAttribute('aria-label'));
  // The third group only rings the point that is shown.
  const drawn = circles.slice(0, 2).flatMap(mark => [...mark.querySelectorAll('circle')]);
  circles[2]?.setAttribute('pointer-events', 'none');
  [...beaten, ...best].forEach((point, at) => {
    const circle = drawn[at];
    if (!circle) return;
    circle.setAttribute('tabindex', 0);
    circle.setAttribute('role', 'button');
    circle.setAttribute('aria-label', said(point, axis));
    circle.setAttribute('aria-pressed', point.run.id === shown);
    circle.id = `point-${point.run.id}`;
    circle.addEventListener('pointerenter', () => look(point));
    circle.addEventListener('focus', () => look(point));
    circle.addEventListener('click', () => choose(point));
    circle.addEventListener('keydown', event => {
      if (!['Enter', ' '].includes(event.key)) return;
      event.preventDefault();
      choose(point);
    });
  });
  return svg;
}
