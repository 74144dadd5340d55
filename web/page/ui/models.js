// What is here and what can be had.
import {hearth, load} from '../actions.js';
import {$, h} from '../dom.js';
import {megabytes, t} from '../i18n.js';
import {on, set, state} from '../store.js';
import {progressCard} from './progress.js';

async function refresh() {
  set({stored: await (await hearth()).stored()});
}

function row({source, name, facts, size, have, key}) {
  const using = state.source === source && state.phase === 'ready';
  const status = using ? t('models.inuse')
    : have === size ? t('models.here')
      : have > 0 ? t('models.part', {have: megabytes(have), size: megabytes(size)}) : t('models.size', {size: megabytes(size)});
  const label = have === size ? 'models.use' : have > 0 ? 'models.goon' : 'models.get';
  const remove = async () => {
    await (await hearth()).remove(key);
    await refresh();
  };
  const use = () => {
    set({view: 'chat'});
    load(source, name);
  };
  return h('li', {class: 'card model'},
    h('div', {}, h('h3', {}, name), h('p', {class: 'small'}, [...facts, status].join(' · '))),
    h('div', {class: 'actions'},
      have > 0 && !using && h('button', {class: 'quiet', onclick: remove}, t('models.remove')),
      !using && h('button', {class: 'main', onclick: use}, t(label))));
}

/** The catalog, then what else is stored. */
function rows() {
  const {catalog = [], stored = []} = state;
  const known = catalog.map(entry => {
    const key = `sha256-${entry.sha256}`;
    const have = stored.find(({plan}) => plan.key === key)?.stored_bytes ?? 0;
    const facts = [entry.format, t(entry.chat ? 'models.chat' : 'models.base'), t('models.licence', {licence: entry.licence})];
    return {source: entry.id, name: entry.name, facts, size: entry.size_bytes, have, key};
  });
  const others = stored.filter(({plan}) => !known.some(({key}) => key === plan.key));
  return [...known, ...others.map(({plan, stored_bytes}) =>
    ({source: plan.url, name: plan.name, facts: [new URL(plan.url).host], size: plan.size_bytes, have: stored_bytes, key: plan.key}))];
}

function draw() {
  if (state.view !== 'models') return;
  const openFile = event => {
    const [file] = event.currentTarget.files;
    if (!file) return;
    set({view: 'chat'});
    load(file, file.name.replace(/\.gguf$/i, ''));
  };
  const openAddress = event => {
    event.preventDefault();
    const address = event.currentTarget.elements.address.value.trim();
    set({view: 'chat'});
    load(address, address.split('/').at(-1).replace(/\.gguf.*$/i, ''));
  };
  const waiting = state.phase === 'download' || state.phase === 'load';
  $('models').replaceChildren(h('div', {class: 'column'},
    h('h1', {}, t('models.title')),
    h('p', {class: 'soft'}, t('models.text')),
    waiting && progressCard(),
    h('ul', {class: 'plain'}, rows().map(row)),
    h('div', {class: 'card'},
      h('h3', {}, t('models.file')), h('p', {class: 'small'}, t('models.file.text')),
      h('label', {class: 'file'}, t('models.file.choose'), h('input', {type: 'file', accept: '.gguf', onchange: openFile}))),
    h('form', {class: 'card', onsubmit: openAddress},
      h('h3', {}, h('label', {for: 'address'}, t('models.url'))), h('p', {class: 'small'}, t('models.url.text')),
      h('div', {class: 'actions'},
        h('input', {id: 'address', name: 'address', type: 'url', required: true, pattern: 'https?://.+', placeholder: t('models.url.hint')}),
        h('button', {class: 'main'}, t('models.url.get'))))));
}

export function models() {
  on(['view', 'catalog', 'stored', 'phase', 'source', 'language'], draw);
  on(['view', 'phase'], () => {
    if (state.view === 'models' || state.phase === 'none') refresh().catch(() => {}); // told when the page opened
  });
}
