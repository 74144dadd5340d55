// The catalog's models, then what else is here: what each takes, and one button.
import {memoryForecast} from '../../../hearth.js';
import {fail, hearth, load} from '../../actions.js';
import {h, rearrange} from '../../dom.js';
import {megabytes, t} from '../../i18n.js';
import {coming, on, set, state} from '../../store.js';
import {refresh} from './storage.js';

function status({source, size, have, whole}) {
  if (state.model && state.source === source) return t('models.inuse');
  if (state.wanted?.source === source && coming()) return t(`chip.${state.phase}`);
  if (!whole) return t('models.some', {have: megabytes(have)});
  if (have === size) return t('models.here');
  return have > 0 ? t('models.part', {have: megabytes(have), size: megabytes(size)}) : t('models.size', {size: megabytes(size)});
}

/** What stands in the way of a model on this device, or what it will take. */
function forecast(size, have) {
  const {usage, quota} = state.room;
  const free = quota - usage;
  if (quota > 0 && size - have > free) {
    return h('p', {class: 'small warn'}, t('forecast.room', {need: megabytes(size - have), free: megabytes(Math.max(0, free))}));
  }
  const {verdict, need_bytes, limit_bytes} = memoryForecast(size);
  return h('p', {class: verdict === 'fits' ? 'small' : 'small warn'},
    t(`forecast.${verdict}`, {need: megabytes(need_bytes), limit: megabytes(limit_bytes)}));
}

/** `whole`: `size` is that of all files; one of several is perhaps not known of. */
function row({source, name, facts, licence, size, have, whole, key, held}) {
  const using = state.model && state.source === source;
  const here = whole && have === size;
  const mine = state.wanted?.source === source && coming();
  const label = here ? 'models.use' : have > 0 ? 'models.goon' : 'models.get';
  const remove = async () => {
    try {
      await (await hearth()).remove(key);
      await refresh();
    } catch (error) {
      fail(error);
    }
  };
  const use = () => {
    set({view: 'chat'});
    load(source, name);
  };
  const about = [...facts, status({source, size, have, whole}), held && t('models.held')].filter(Boolean);
  return h('li', {class: 'card model', 'data-key': key},
    h('div', {}, h('h2', {}, name), h('p', {class: 'small'}, about.join(' · '), licence && ' · ', licence),
      !here && whole && forecast(size, have)),
    h('div', {class: 'actions'},
      have > 0 && !using && !mine && h('button', {class: 'quiet', onclick: remove, 'aria-label': `${t('models.remove')}: ${name}`}, t('models.remove')),
      !using && !mine && h('button', {class: 'main', onclick: use, 'aria-label': `${t(label)}: ${name}`}, t(label))));
}

/** Where a model came from, for people. */
const origin = url => new URL(url).host || t('models.imported');

function rows() {
  const {catalog, stored} = state;
  const known = (catalog ?? []).map(entry => {
    const key = `sha256-${entry.sha256}`;
    const {stored_bytes = 0, held} = stored.find(({plan}) => plan.key === key) ?? {};
    const licence = h('a', {href: entry.licence_url, target: '_blank', rel: 'noopener'}, t('models.licence', {licence: entry.licence}));
    const facts = [entry.format, t(entry.chat ? 'models.chat' : 'models.base')];
    return {source: entry.id, name: entry.name, facts, licence, size: entry.size_bytes, have: stored_bytes, whole: true, key, held};
  });
  const others = stored.filter(({plan}) => !known.some(({key}) => key === plan.key));
  return [...known, ...others.map(({plan, stored_bytes, whole, held}) => ({
    source: plan.url, name: plan.name, facts: [origin(plan.url)],
    size: plan.size_bytes, have: stored_bytes, whole, key: plan.key, held,
  }))];
}

export function list() {
  const list = h('ul', {class: 'plain'});
  on(['catalog', 'stored', 'room', 'phase', 'wanted', 'source', 'model', 'language'], () => {
    rearrange(list, rows().map(row));
  });
  return list;
}
