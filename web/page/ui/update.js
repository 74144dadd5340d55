// A new version of the page, offered: nothing is loaded anew by itself.
import {$, h} from '../dom.js';
import {t} from '../i18n.js';
import {on, set, state} from '../store.js';

export function update() {
  on(['update', 'language'], () => {
    const {update} = state;
    $('update').replaceChildren(...update ? [h('div', {class: 'notice'},
      h('div', {}, t('update.text')),
      h('div', {class: 'actions'},
        h('button', {class: 'main', onclick: update}, t('update.take')),
        h('button', {class: 'quiet', onclick: () => set({update: null})}, t('update.later'))))] : []);
  });
}
