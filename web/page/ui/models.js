// What is here and what can be had.
import {direct, nameOf, titleOf} from '../../hearth.js';
import {fail, hearth, load} from '../actions.js';
import {$, h} from '../dom.js';
import {megabytes, t} from '../i18n.js';
import {coming, on, set, state} from '../store.js';
import {progressCard} from './progress.js';

async function refresh() {
  set({stored: await (await hearth()).stored()});
}

/** `whole`: `size` is that of all files; one of several is perhaps not known of. */
function row({source, name, facts, licence, size, have, whole, key}) {
  const using = state.model && state.source === source;
  const here = whole && have === size;
  const mine = state.wanted?.source === source && coming();
  const status = using ? t('models.inuse')
    : mine ? t(`chip.${state.phase}`)
      : here ? t('models.here')
        : !whole ? t('models.some', {have: megabytes(have)})
        : have > 0 ? t('models.part', {have: megabytes(have), size: megabytes(size)}) : t('models.size', {size: megabytes(size)});
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
  return h('li', {class: 'card model'},
    h('div', {}, h('h2', {}, name), h('p', {class: 'small'}, [...facts, status].join(' · '), licence && ' · ', licence)),
    h('div', {class: 'actions'},
      have > 0 && !using && !mine && h('button', {class: 'quiet', onclick: remove}, t('models.remove')),
      !using && !mine && h('button', {class: 'main', onclick: use}, t(label))));
}

/** The catalog, then what else is stored. */
function rows() {
  const {catalog, stored} = state;
  const known = (catalog ?? []).map(entry => {
    const key = `sha256-${entry.sha256}`;
    const have = stored.find(({plan}) => plan.key === key)?.stored_bytes ?? 0;
    const licence = h('a', {href: entry.licence_url, target: '_blank', rel: 'noopener'}, t('models.licence', {licence: entry.licence}));
    const facts = [entry.format, t(entry.chat ? 'models.chat' : 'models.base')];
    return {source: entry.id, name: entry.name, facts, licence, size: entry.size_bytes, have, whole: true, key};
  });
  const others = stored.filter(({plan}) => !known.some(({key}) => key === plan.key));
  return [...known, ...others.map(({plan, stored_bytes, whole}) => ({
    source: plan.url, name: plan.name, facts: [new URL(plan.url).host],
    size: plan.size_bytes, have: stored_bytes, whole, key: plan.key,
  }))];
}

function open(files) {
  if (files.length === 0) return;
  set({view: 'chat'});
  load(files, nameOf(files));
}

function openChosen(event) {
  const files = [...event.currentTarget.files];
  event.currentTarget.value = '';
  open(files);
}

/** Files that were dropped, as entries or, where there are none, as they are, and those in folders that were. */
async function dropped(entries) {
  const files = await Promise.all(entries.map(async entry => {
    if (entry instanceof File) return [entry];
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      // The way to it, which a dropped file does not tell by itself.
      Object.defineProperty(file, 'webkitRelativePath', {value: entry.fullPath.slice(1)});
      return [file];
    }
    const reader = entry.createReader();
    const found = [];
    // It gives some at a time.
    for (let some; (some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length > 0;) {
      found.push(...some);
    }
    return dropped(found);
  }));
  return files.flat();
}

function openDropped(event) {
  event.preventDefault();
  // Entries must be taken before anything is waited for.
  const files = [...event.dataTransfer.items].filter(({kind}) => kind === 'file');
  const entries = files.map(item => item.webkitGetAsEntry() ?? item.getAsFile());
  dropped(entries).then(open, fail);
}

function openAddress(event) {
  event.preventDefault();
  const address = direct(event.currentTarget.elements.address.value.trim());
  set({view: 'chat'});
  load(address, titleOf(address));
}

/** The forms are made once: what is half typed stays. Their words follow the language by `data-i18n`. */
export function models() {
  const word = (name, key, attributes = {}) => h(name, {...attributes, 'data-i18n': key}, t(key));
  const chooser = (key, attributes) =>
    h('label', {class: 'file'}, word('span', key), h('input', {type: 'file', onchange: openChosen, ...attributes}));
  const list = h('ul', {class: 'plain'});
  const address = h('input', {id: 'address', name: 'address', type: 'url', required: true, pattern: 'https?://.+'});
  $('models').append(h('div', {class: 'column'},
    word('h1', 'models.title'), word('p', 'models.text', {class: 'soft'}),
    progressCard(), list,
    h('div', {class: 'card', ondragover: event => event.preventDefault(), ondrop: openDropped},
      word('h2', 'models.file'), word('p', 'models.file.text', {class: 'small'}),
      h('div', {class: 'actions'},
        chooser('models.file.choose', {accept: '.gguf,.safetensors,.json,.jinja', multiple: true}),
        chooser('models.file.folder', {webkitdirectory: true}))),
    h('form', {class: 'card', onsubmit: openAddress},
      h('h2', {}, word('label', 'models.url', {for: 'address'})), word('p', 'models.url.text', {class: 'small'}),
      h('div', {class: 'actions'}, address, word('button', 'models.url.get', {class: 'main'})))));
  on(['language'], () => address.setAttribute('placeholder', t('models.url.hint')));
  on(['catalog', 'stored', 'phase', 'wanted', 'source', 'model', 'language'], () => list.replaceChildren(...rows().map(row)));
  on(['view', 'phase'], () => {
    if (state.catalog) refresh().catch(fail);
  });
}
