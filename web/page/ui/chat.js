// The chat: conversations, what is said, the box below it, shortcuts.
import {emptied, fail} from '../actions.js';
import {restore} from '../chat/conversations.js';
import {composer} from './chat/composer.js';
import {flow} from './chat/flow.js';
import {keys} from './chat/keys.js';
import {list} from './chat/list.js';

export function chat() {
  flow();
  composer();
  list();
  keys();
  restore(fail, () => emptied().catch(fail)).catch(fail);
}
