// What has left this tab? The requests that were made, the wall that keeps texts in, and a trial of it.
import {WALL} from '../../hearth.js';
import {fail} from '../actions.js';
import {$, h} from '../dom.js';
import {megabytes, number, t} from '../i18n.js';
import {grouped, isBreached, ledger, onLedger} from '../privacy/ledger.js';
import {tryToLeak} from '../privacy/leak.js';
import {on, state} from '../store.js';

const word = (name, key, attributes = {}) => h(name, {...attributes, 'data-i18n': key}, t(key));

const size = bytes => bytes < 1e5 ? `${number(bytes / 1000, 1)} kB` : `${megabytes(bytes)} MB`;

function answer() {
  const network = ledger.filter(({from}) => from === 'network');
  const bytes = network.reduce((sum, {bytes = 0}) => sum + bytes, 0);
  if (isBreached()) return h('p', {class: 'big broken'}, t('privacy.breached'));
  return [
    h('p', {class: 'big held'}, t('privacy.nothing')),
    h('p', {class: 'soft'}, t(network.length > 0 ? 'privacy.sum' : 'privacy.sum.none', {n: number(network.length), size: size(bytes)})),
  ];
}

const CAST = ['page', 'store', 'engine'];

/** Who may what: a table of the page and its two kinds of workers. */
function wall() {
  const own = document.querySelector('meta[http-equiv="Content-Security-Policy"]').content;
  const policies = {page: own, engine: WALL};
  return [
    word('h2', 'privacy.wall'),
    h('div', {class: 'scroll'}, h('table', {class: 'wall-table'},
      h('thead', {}, h('tr', {}, ['who', 'sees', 'reaches'].map(head => word('th', `privacy.head.${head}`, {scope: 'col'})))),
      h('tbody', {}, CAST.map(who => h('tr', {},
        word('th', `privacy.who.${who}`, {scope: 'row'}), word('td', `privacy.sees.${who}`),
        h('td', {}, t(`privacy.reaches.${who}`, {host: location.host}))))))),
    h('details', {}, word('summary', 'privacy.policies'),
      Object.entries(policies).map(([who, policy]) =>
        h('div', {}, word('p', `privacy.who.${who}`, {class: 'small'}), h('pre', {tabindex: 0, lang: 'en'}, policy.split('; ').join(';\n'))))),
  ];
}

const KINDS = {refused: 'held', failed: 'unclear', out: 'broken'};

/** How a way out ended: 'refused' by the policy, 'failed' otherwise, 'out'. */
const kindOf = ({outcome}) => /^\w+/.exec(outcome)[0];

function outcome(one) {
  const [, directive] = /\(([\w-]+)\)$/.exec(one.outcome) ?? [];
  return h('tr', {},
    h('th', {scope: 'row'}, h('code', {lang: 'en'}, one.way)),
    h('td', {class: KINDS[kindOf(one)]}, t(`privacy.way.${kindOf(one)}`, {directive})));
}

/** What the trial shows, as the key of a text and its class. */
function verdict({tried, answers}) {
  const kinds = new Set(tried.map(kindOf));
  const worst = ['out', 'failed', 'refused'].find(kind => kinds.has(kind));
  return worst === 'refused' && !answers ? ['unproven', 'unclear'] : [KINDS[worst], KINDS[worst]];
}

/** The trial of the wall: a button, and what came of it. */
function trial() {
  const result = h('div', {id: 'leak-result', role: 'status'});
  const button = word('button', 'privacy.try', {class: 'main', id: 'leak'});
  let last;
  const draw = () => {
    if (!last) return;
    const {secret, tried} = last;
    const [key, kind] = verdict(last);
    const refused = tried.filter(one => kindOf(one) === 'refused').length;
    result.replaceChildren(
      h('p', {class: kind}, t(`privacy.trial.${key}`, {secret, n: tried.length, refused})),
      h('table', {}, h('caption', {class: 'hidden'}, t('privacy.trial')), h('tbody', {}, tried.map(outcome))));
  };
  button.onclick = async () => {
    button.disabled = true;
    try {
      last = await tryToLeak();
      draw();
    } catch (error) {
      fail(error);
    } finally {
      button.disabled = false;
      button.focus();
    }
  };
  on(['language'], draw);
  return [word('h2', 'privacy.trial'), word('p', 'privacy.trial.text', {class: 'small'}), button, result];
}

const seconds = at => t('seconds', {n: number(at / 1000, 1)});

const sizeOf = ({bytes, unknown, from}) => from !== 'network' ? t(`privacy.from.${from}`)
  : unknown > 0 ? t('privacy.unknown', {size: size(bytes), n: unknown}) : size(bytes);

function group(one) {
  const {key, why, who, host, requests} = one;
  const facts = [...[...who].map(who => t(`privacy.by.${who}`)), host, sizeOf(one)].join(' · ');
  return h('details', {'data-key': key},
    h('summary', {}, h('span', {}, t(`privacy.why.${why}`)), h('b', {}, number(requests.length)), h('small', {}, facts)),
    h('ol', {class: 'plain addresses', lang: 'en'}, requests.map(({address, at, bytes}) => h('li', {},
      h('code', {}, address), h('small', {}, [seconds(at), bytes ? size(bytes) : undefined].filter(Boolean).join(' · '))))));
}

/** Everything asked for, by what it was for; what a person has opened stays open. */
function requests() {
  const list = h('div', {class: 'requests', id: 'requests'});
  const draw = () => {
    if (state.view !== 'privacy') return;
    const open = new Set([...list.querySelectorAll('details[open]')].map(({dataset}) => dataset.key));
    const focused = document.activeElement?.closest?.('#requests details')?.dataset.key;
    list.replaceChildren(...grouped().map(group));
    for (const details of list.children) {
      details.open = open.has(details.dataset.key);
      if (focused === details.dataset.key) details.firstChild.focus();
    }
  };
  onLedger(draw);
  on(['view', 'language'], draw);
  return [word('h2', 'privacy.requests'), word('p', 'privacy.requests.text', {class: 'small'}), list];
}

function offline() {
  const {kept} = state;
  const possible = 'serviceWorker' in navigator;
  if (!kept) return t(possible ? 'privacy.offline.soon' : 'privacy.offline.never');
  if (kept.message) return t('privacy.offline.failed', {message: kept.message});
  return t(kept.files > 0 ? 'privacy.offline.kept' : 'privacy.offline.served', {n: number(kept.files)});
}

export function privacy() {
  const top = h('div', {id: 'privacy-answer'});
  const stands = h('section', {class: 'card'});
  const away = h('p', {class: 'small', id: 'privacy-offline'});
  $('privacy').append(h('div', {class: 'column'},
    word('h1', 'privacy.title'), top, stands, h('section', {class: 'card'}, trial()), h('section', {class: 'card'}, requests()),
    h('section', {class: 'card'}, word('h2', 'privacy.offline'), away)));
  const draw = () => state.view === 'privacy' && top.replaceChildren(...[answer()].flat());
  onLedger(draw);
  on(['view', 'language'], draw);
  on(['language'], () => stands.replaceChildren(...wall()));
  on(['kept', 'language'], () => { away.textContent = offline(); });
}
