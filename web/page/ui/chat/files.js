// Conversations to files and back.
import {fail, importChats} from '../../actions.js';
import {whole} from '../../chat/archive.js';
import {fromJson, fromMarkdown, nameOf, toJson, toMarkdown} from '../../chat/transfer.js';
import {save} from '../../dom.js';
import {t} from '../../i18n.js';
import {state} from '../../store.js';

const today = () => new Date().toISOString().slice(0, 10);

/** Gives one conversation as a file: 'markdown' or 'json'. */
export const exportOne = (id, how) => giveOne(id, how).catch(fail);

async function giveOne(id, how) {
  const conversation = await whole(id);
  const [text, ending, type] = how === 'markdown' ? [toMarkdown(conversation, t('you')), 'md', 'text/markdown']
    : [toJson([conversation]), 'json', 'application/json'];
  save(new File([text], `${nameOf(conversation.title)}.${ending}`, {type}));
}

export const exportAll = () => giveAll().catch(fail);

async function giveAll() {
  const all = await Promise.all(state.conversations.map(({id}) => whole(id)));
  save(new File([toJson(all)], `hearth-${today()}.json`, {type: 'application/json'}));
}

/** Takes in conversations from files that `exportOne` or `exportAll` gave. */
export async function importFiles(files) {
  try {
    const read = await Promise.all(files.map(async file => {
      const text = await file.text();
      return /\.md$|\.markdown$/i.test(file.name) ? [fromMarkdown(text)] : fromJson(text);
    }));
    if (read.flat().length > 0) await importChats(read.flat());
  } catch (error) {
    fail(error.why ? Object.assign(new Error(t(`import.${error.why}`)), {code: 'import'}) : error);
  }
}
