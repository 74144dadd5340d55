// How downloads use the network: for slow, costly and blocked ones.
import {h} from '../../dom.js';
import {megabytes, t} from '../../i18n.js';
import {receivedToday} from '../../network.js';
import {on, set, state} from '../../store.js';

const change = changes => set({network: {...state.network, ...changes}});

/** The card of settings; it is folded. */
export function network(word) {
  const {one, cap_mb, hub} = state.network;
  const today = h('p', {class: 'small'});
  on(['traffic', 'language'], () => {
    today.textContent = t('network.today', {n: megabytes(receivedToday())});
  });
  const value = event => event.currentTarget.checkValidity() && event.currentTarget.value.trim();
  const field = (id, key, input) => h('div', {class: 'field'}, word('label', key, {for: id}), input);
  return h('details', {class: 'card', id: 'network'},
    h('summary', {}, word('strong', 'network.title')),
    h('label', {class: 'check'},
      h('input', {type: 'checkbox', id: 'n-one', checked: one, onchange: event => change({one: event.currentTarget.checked})}),
      word('span', 'network.one')),
    field('n-cap', 'network.cap', h('input', {
      id: 'n-cap', type: 'number', min: 1, step: 1, value: cap_mb,
      oninput: event => {
        const given = value(event);
        if (given !== false) change({cap_mb: given === '' ? '' : Number(given)});
      },
    })),
    today,
    field('n-hub', 'network.hub', h('input', {
      id: 'n-hub', type: 'url', value: hub, placeholder: 'https://', pattern: 'https?://.+',
      oninput: event => {
        const given = value(event);
        if (given !== false) change({hub: given});
      },
    })),
    word('p', 'network.hub.text', {class: 'small'}));
}
