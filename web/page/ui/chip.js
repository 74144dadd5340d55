// Which model, and what it is doing: the ember glows while it speaks.
import {$, h} from '../dom.js';
import {t} from '../i18n.js';
import {coming, on, state} from '../store.js';

export function chip() {
  on(['phase', 'name', 'wanted', 'answering', 'model', 'verdict', 'language'], () => {
    const {phase, name, wanted, answering, model} = state;
    const busy = coming();
    const device = model?.timings.device === 'gpu' ? 'GPU' : `CPU × ${model?.timings.threads}`;
    const facts = busy ? t(`chip.${phase}`) : model ? `${model.info.architecture} · ${device}` : '';
    $('chip').replaceChildren(
      h('span', {class: `ember ${answering ? 'alive' : model ? '' : 'cold'}`, 'aria-hidden': 'true'}),
      h('b', {}, busy ? wanted.name : model ? name : t('chip.none')),
      h('span', {}, facts));
  });
}
