// The lab: make a model smaller in this tab, and see exactly what it cost.
import {fail} from '../actions.js';
import {$, h} from '../dom.js';
import {t} from '../i18n.js';
import {open} from '../lab/actions.js';
import {lab as here} from '../lab/state.js';
import {fetchSamples} from '../lab/texts.js';
import {on, state} from '../store.js';
import {base, ready} from './lab/base.js';
import {compare} from './lab/compare.js';
import {cost} from './lab/cost.js';
import {detail} from './lab/detail.js';
import {map} from './lab/map.js';
import {recipe, undoKeys} from './lab/recipe.js';
import {progress, run, trouble} from './lab/run.js';
import {texts} from './lab/texts.js';

function build() {
  const word = (name, key, attributes = {}) => h(name, {...attributes, 'data-i18n': key}, t(key));
  $('lab').append(
    h('div', {class: 'lab-title'}, word('h1', 'lab.title'), word('p', 'lab.text', {class: 'soft'})),
    h('div', {class: 'bench-side'}, base(), recipe(), texts(), ...run()),
    h('div', {class: 'bench-wide'}, trouble(), progress(), cost(), detail(), compare(), map()));
  $('lab').addEventListener('keydown', undoKeys);
  fetchSamples();
}

/** Everything is made when the lab is first looked at. */
export function lab() {
  let built = false;
  let resumed = false;
  on(['view', 'stored', 'catalog'], () => {
    if (state.view !== 'lab') return;
    if (!built) {
      built = true;
      build();
    }
    // The base that was worked on last is opened again, if that takes no network.
    const known = !resumed && state.catalog && ready();
    if (!known || here.session || here.busy) return;
    resumed = true;
    open(known.source, known.name).catch(fail);
  });
}
