// The wall, tried out: a worker like those that read texts is handed a made-up secret and tries every way out that a browser has. The
// same address is asked for by the page, without the secret: it must answer, or the trial would prove nothing.
import {hearth} from '../actions.js';

const HOME = new URL('../../', import.meta.url);
const TARGET = 'page/privacy/leak.js';

/** `{secret, tried: [{way, outcome}], answers}`; `answers`: whether the address does. */
export async function tryToLeak() {
  const secret = [...crypto.getRandomValues(new Uint8Array(6))].map(byte => byte.toString(16).padStart(2, '0')).join('');
  const tried = await (await hearth()).tryToEscape(new URL(`${TARGET}?secret=${secret}`, HOME).href);
  const answers = await fetch(new URL(`${TARGET}?control`, HOME)).then(({ok}) => ok, () => false);
  return {secret, tried, answers};
}
