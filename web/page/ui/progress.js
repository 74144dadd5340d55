// A download or a start under way: shards filling in, amount, speed, time left.
import {pause} from '../actions.js';
import {h} from '../dom.js';
import {duration, megabytes, number, t} from '../i18n.js';
import {state} from '../store.js';

const SHARD = 4 << 20;
const MOST = 64;

export function progressCard() {
  const {phase, name, progress} = state;
  const {loaded = 0, total = 0, bytes_per_second = 0, seconds_left, elsewhere} = progress ?? {};
  const cells = total ? Math.min(MOST, Math.ceil(total / SHARD)) : 24;
  const full = total ? loaded / total * cells : 0;
  const percent = total ? Math.round(loaded / total * 100) : 0;
  const facts = [];
  if (total) facts.push(t('download.amount', {loaded: megabytes(loaded), total: megabytes(total)}));
  if (phase === 'download' && elsewhere) facts.push(t('download.elsewhere'));
  else if (phase === 'download' && bytes_per_second > 0) {
    facts.push(t('download.speed', {speed: number(bytes_per_second / 1e6, 1)}));
    if (seconds_left !== undefined && loaded < total) facts.push(t('download.left', {time: duration(seconds_left)}));
  }
  return h('div', {class: 'card progress'},
    h('h2', {}, t(`${phase}.title`, {name})),
    h('div', {class: 'shards', role: 'progressbar', 'aria-label': t(`${phase}.title`, {name}), 'aria-valuenow': percent,
      'aria-valuemin': 0, 'aria-valuemax': 100},
    Array.from({length: cells}, (_, i) => h('i', {style: `--full:${Math.max(0, Math.min(1, full - i)).toFixed(2)}`}))),
    h('div', {class: 'facts'}, h('span', {}, facts.join(' · ') || '\u00a0'),
      phase === 'download' && h('button', {class: 'quiet', onclick: pause}, t('download.pause'))));
}
