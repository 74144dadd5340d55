// What went wrong, what is safe, what to do.
import {$, h} from '../dom.js';
import {has, megabytes, t} from '../i18n.js';
import {on, set, state} from '../store.js';

export function notice() {
  on(['error', 'language'], () => {
    const {error, progress, messages} = state;
    if (!error) return $('notice').replaceChildren();
    const known = has(`error.${error.code}`);
    const kept = progress?.phase === 'download' && progress.loaded > 0
      && t('error.kept', {loaded: megabytes(progress.loaded), total: megabytes(progress.total)});
    const dismiss = () => set({error: null});
    $('notice').replaceChildren(h('div', {class: 'notice'},
      h('div', {},
        h('strong', {}, t(known ? `error.${error.code}` : 'error.title')),
        h('p', {class: 'detail', lang: 'en'}, error.message),
        kept && h('p', {}, kept),
        messages.length > 0 && h('p', {}, t('error.chat'))),
      h('div', {class: 'actions'},
        error.actions.map(([label, act]) => h('button', {class: 'main', onclick: () => {
          dismiss();
          act();
        }}, t(label))),
        h('button', {class: 'quiet', onclick: dismiss}, t('error.dismiss')))));
  });
}
