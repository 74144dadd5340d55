// Which model, and what it is doing: the ember glows while it speaks.
import {$, h} from '../dom.js';
import {t} from '../i18n.js';
import {on, state} from '../store.js';

export function chip() {
  on(['phase', 'name', 'answering', 'model', 'language'], () => {
    const {phase, name, answering, model} = state;
    const facts = phase === 'ready' ? `${model.info.architecture} · CPU SIMD × 1`
      : phase === 'none' ? '' : t(`chip.${phase}`);
    $('chip').replaceChildren(
      h('span', {class: `ember ${answering ? 'alive' : phase === 'ready' ? '' : 'cold'}`, 'aria-hidden': 'true'}),
      h('b', {}, phase === 'none' && !model ? t('chip.none') : name),
      h('span', {}, facts));
  });
}
