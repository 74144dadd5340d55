// A download or a start under way: shards filling in, amount, speed, time left. Made once and then only changed, so that
// Pause stays under the finger that presses it.
import {pause} from '../actions.js';
import {h} from '../dom.js';
import {duration, megabytes, number, t} from '../i18n.js';
import {coming, on, state} from '../store.js';

const SHARD = 4 << 20;
const MOST = 64;

function facts({loaded = 0, total = 0, bytes_per_second = 0, seconds_left, elsewhere, checking}) {
  if (!total) return '\u00a0';
  const facts = [t('download.amount', {loaded: megabytes(loaded), total: megabytes(total)})];
  if (!navigator.onLine && state.phase === 'download') facts.push(t('download.offline'));
  else if (checking) facts.push(t('download.checking'));
  else if (elsewhere) facts.push(t('download.elsewhere'));
  else if (state.phase === 'download' && bytes_per_second > 0) {
    facts.push(t('download.speed', {speed: number(bytes_per_second / 1e6, 1)}));
    if (seconds_left !== undefined && loaded < total) facts.push(t('download.left', {time: duration(seconds_left)}));
  }
  return facts.join(' · ');
}

/** An element that shows itself while a model is on its way. */
export function progressCard() {
  const title = h('h2');
  const bar = h('div', {class: 'shards', role: 'progressbar', 'aria-valuemin': 0, 'aria-valuemax': 100});
  const line = h('span');
  const stop = h('button', {class: 'quiet', onclick: pause});
  const card = h('div', {class: 'card progress'}, title, bar, h('div', {class: 'facts'}, line, stop));
  const draw = () => {
    const {phase, progress, wanted} = state;
    card.hidden = !coming();
    if (card.hidden) return;
    const {loaded = 0, total = 0} = progress ?? {};
    const cells = total ? Math.min(MOST, Math.ceil(total / SHARD)) : 24;
    if (bar.childElementCount !== cells) bar.replaceChildren(...Array.from({length: cells}, () => h('i')));
    const full = total ? loaded / total * cells : 0;
    [...bar.children].forEach((cell, i) => {
      cell.style.setProperty('--full', Math.max(0, Math.min(1, full - i)).toFixed(2));
    });
    title.textContent = t(`${phase}.title`, {name: wanted.name});
    bar.setAttribute('aria-label', title.textContent);
    bar.setAttribute('aria-valuenow', total ? Math.round(loaded / total * 100) : 0);
    line.textContent = facts(progress ?? {});
    stop.hidden = phase !== 'download';
    stop.textContent = t('download.pause');
  };
  on(['phase', 'progress', 'wanted', 'language'], draw);
  for (const event of ['online', 'offline']) addEventListener(event, draw);
  return card;
}
