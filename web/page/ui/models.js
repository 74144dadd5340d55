// What is here, what can be had, and how it is kept.
import {fail} from '../actions.js';
import {$, h} from '../dom.js';
import {t} from '../i18n.js';
import {on, state} from '../store.js';
import {list} from './models/list.js';
import {network} from './models/network.js';
import {fromAddress, fromDisk} from './models/open.js';
import {refresh, storage} from './models/storage.js';
import {progressCard} from './progress.js';

/** The forms are made once: what is half typed stays. Their words follow the language by `data-i18n`. */
export function models() {
  const word = (name, key, attributes = {}) => h(name, {...attributes, 'data-i18n': key}, t(key));
  $('models').append(h('div', {class: 'column'},
    word('h1', 'models.title'), word('p', 'models.text', {class: 'soft'}),
    progressCard(), list(), fromDisk(word), fromAddress(word), storage(word), network(word)));
  // Nobody asked for it: what stands there already, with a way on, goes before.
  const failed = error => state.error ? console.warn(error) : fail(error);
  on(['view', 'phase', 'catalog'], () => {
    if (state.catalog) refresh().catch(failed);
  });
}
