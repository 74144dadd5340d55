// A run's facts as people read them.
import {duration, figure, megabytes, number, percent, t} from '../../i18n.js';
import {facts} from '../../lab/facts.js';
import {failed, noGates} from '../../lab/quality.js';

/** Of a unit: how a value is written, and what the unit is called. */
const UNITS = {
  'nat/token': [figure, 'lab.unit.nats'],
  share: [value => percent(value, 2), ''],
  1: [value => Number.isInteger(value) ? number(value) : figure(value), ''],
  token: [number, 'lab.unit.tokens'],
  B: [megabytes, 'lab.unit.mb'],
  'B/token': [megabytes, 'lab.unit.mbtoken'],
  'MAC/token': [value => figure(value / 1e6), 'lab.unit.mmacs'],
  'tok/s': [value => number(value, 1), 'speed.answer'],
  ms: [value => duration(value / 1000), ''],
};

/** Rows `[fact, value, interval, unit, source]`. */
export const factRows = run => facts(run).map(({key, value, low, high, unit, source}) => {
  const [write, name] = UNITS[unit];
  const interval = low === undefined ? '' : `${write(low)} – ${write(high)}`;
  return [t(`lab.fact.${key}`), write(value), interval, name && t(name), t(`lab.source.${source}`)];
});

/** What the gates say, in a sentence; empty if there are none. */
export function verdict({quality, recipe, original}) {
  const gates = recipe?.gates;
  if (original || noGates(quality, gates)) return '';
  const missed = failed(quality, gates);
  if (missed.length === 0) return t('lab.verified');
  const write = name => name === 'same_top' ? percent : figure;
  const say = name => t(`lab.failed.${name}`, {value: write(name)(quality[name].value), gate: write(name)(gates[name])});
  return missed.map(say).join(' ');
}

/** What a run is called: by its number, short, or with its name. */
export const numberOf = run => run.original ? t('lab.original') : `#${run.n}`;
export const nameOf = run => run.original ? t('lab.original') : `#${run.n} ${run.name}`;

export const textName = ({name}) => name === 'own' ? t('lab.text.own') : name;

/** What a run is measured on, in a line. */
export const measuredOn = ({base, test}) => t('lab.group', {
  base: base.name, text: textName(test), protocol: test.protocol,
  context: number(test.context),
});
