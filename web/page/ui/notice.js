// What went wrong, what is safe, what to do.
import {$, h} from '../dom.js';
import {has, megabytes, t} from '../i18n.js';
import {on, set, state} from '../store.js';

export function notice() {
  on(['error', 'language'], () => {
    const {error, messages} = state;
    if (!error) return $('notice').replaceChildren();
    const {code, message, kept, actions} = error;
    const dismiss = () => set({error: null});
    $('notice').replaceChildren(h('div', {class: 'notice'},
      h('div', {},
        h('strong', {}, t(has(`error.${code}`) ? `error.${code}` : 'error.title')),
        h('p', {class: 'detail', lang: 'en'}, message),
        kept?.loaded > 0 && h('p', {}, t('error.kept', {loaded: megabytes(kept.loaded), total: megabytes(kept.total)})),
        messages.length > 0 && h('p', {}, t('error.chat'))),
      h('div', {class: 'actions'},
        actions.map(([label, act, values]) => h('button', {class: 'main', onclick: () => {
          dismiss();
          act();
        }}, t(label, values))),
        h('button', {class: 'quiet', onclick: dismiss}, t('error.dismiss')))));
  });
}
