// Models that are neither here nor in the catalog: from the person's disk, or from an address.
import {nameOf, titleOf, typed} from '../../../hearth.js';
import {fail, hearth, load} from '../../actions.js';
import {h} from '../../dom.js';
import {megabytes, t} from '../../i18n.js';
import {network} from '../../network.js';
import {on, set} from '../../store.js';

const MODEL = /\.(gguf|safetensors)$/i;

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
  event.stopPropagation();
  // Entries must be taken before anything is waited for.
  const files = [...event.dataTransfer.items].filter(({kind}) => kind === 'file');
  const entries = files.map(item => item.webkitGetAsEntry() ?? item.getAsFile());
  dropped(entries).then(open, fail);
}

/** A model may be dropped anywhere on the page. */
function openDroppedAnywhere() {
  const bears = event => event.dataTransfer?.types.includes('Files');
  document.addEventListener('dragover', event => bears(event) && event.preventDefault());
  document.addEventListener('drop', event => {
    if (!bears(event) || event.defaultPrevented) return;
    // A file that is no model must not take the page's place either.
    event.preventDefault();
    if ([...event.dataTransfer.files].some(({name}) => MODEL.test(name))) openDropped(event);
  }, {capture: true});
}

async function openAddress(event) {
  event.preventDefault();
  const form = event.currentTarget;
  const address = typed(form.elements.address.value.trim());
  const title = titleOf(address);
  const begin = options => {
    set({view: 'chat'});
    load(address, title, options);
  };
  const button = form.querySelector('button');
  button.disabled = true;
  try {
    const {need_bytes, free_bytes, memory} = await (await hearth()).storage.forecast(address, {network: network()});
    const sizes = {need: megabytes(need_bytes), free: megabytes(free_bytes)};
    if (need_bytes > free_bytes && free_bytes > 0) {
      return fail({code: 'quota', message: t('forecast.room', sizes)}, [['error.memory', () => begin({store: false})]]);
    }
    if (memory.verdict === 'too_large') {
      const {need_bytes: need, limit_bytes: limit} = memory;
      const message = t('forecast.too_large', {need: megabytes(need), limit: megabytes(limit)});
      return fail({code: 'out_of_memory', message}, [['forecast.anyway', () => begin()]]);
    }
    begin();
  } catch (error) {
    fail(error, [['error.retry', () => begin()]]);
  } finally {
    button.disabled = false;
  }
}

/** The card of files from the disk. */
export function fromDisk(word) {
  const chooser = (key, attributes) =>
    h('label', {class: 'file'}, word('span', key), h('input', {type: 'file', onchange: openChosen, ...attributes}));
  openDroppedAnywhere();
  return h('div', {class: 'card', ondragover: event => event.preventDefault(), ondrop: openDropped},
    word('h2', 'models.file'), word('p', 'models.file.text', {class: 'small'}),
    h('div', {class: 'actions'},
      chooser('models.file.choose', {accept: '.gguf,.safetensors,.json,.jinja', multiple: true}),
      chooser('models.file.folder', {webkitdirectory: true})));
}

/** The form for an address. */
export function fromAddress(word) {
  const address = h('input', {
    id: 'address', name: 'address', type: 'text', inputmode: 'url', autocapitalize: 'off', spellcheck: 'false', required: true,
    pattern: '\\s*(https?://.+|[\\w.\\-]+/[\\w.\\-]+(/[^?#]+)?)\\s*',
  });
  on(['language'], () => {
    address.setAttribute('placeholder', t('models.url.hint'));
    address.setAttribute('title', t('models.url.title'));
  });
  return h('form', {class: 'card', onsubmit: openAddress},
    h('h2', {}, word('label', 'models.url', {for: 'address'})), word('p', 'models.url.text', {class: 'small'}),
    h('div', {class: 'actions'}, address, word('button', 'models.url.get', {class: 'main'})));
}
