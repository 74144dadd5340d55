// A model for tests of the page that says what it is told to say, word by word, at once or with a pause before each. It knows the
// words of what it has seen as tokens, and says emoji byte by byte.
import {until} from './browser.mjs';

/** Puts it in the page's place of a model. `says`: what it says to each question in turn, and then the last again. */
export const speak = (page, says, {pause = 0, context = 8192, name = 'Words', device = 'cpu'} = {}) => page.evaluate(async given => {
  const [says, pause, context, name, device] = given;
  const {set} = await import('/page/store.js');
  const vocabulary = ['<end>'];
  const idOf = word => vocabulary.includes(word) ? vocabulary.indexOf(word) : vocabulary.push(word) - 1;
  const words = text => text.match(/\p{Emoji_Presentation}|\s*[^\s\p{Emoji_Presentation}]+|\s+/gu) ?? [];
  const encoded = text => [...new TextEncoder().encode(text)];
  const bytes = id => {
    const [, byte] = /^<0x(..)>$/.exec(vocabulary[id]) ?? [];
    return byte ? [parseInt(byte, 16)] : encoded(vocabulary[id]);
  };
  /** A word's tokens, and what each adds to the text. */
  const spell = word => /^\p{Emoji_Presentation}$/u.test(word)
    ? encoded(word).map((byte, i, all) => [`<0x${byte.toString(16).toUpperCase()}>`, i + 1 < all.length ? '' : word]) : [[word, word]];
  const encoder = {tokenize: async text => words(text).map(idOf), detokenize: async ids => ids.map(id => vocabulary[id]).join('')};
  const wait = () => new Promise(resolve => setTimeout(resolve, pause));
  let answered = 0;
  window.asked = [];
  window.says = says;
  const one = (id, p) => ({id, bytes: bytes(id), logprob: Math.log(p)});
  /** Every token could have been another, or the end. */
  const likely = id => ({...one(id, 0.6), top: [one(id, 0.6), one(idOf(' other'), 0.3), ...id === 0 ? [] : [one(0, 0.05)]]});
  const model = {
    ...encoder, verdict: null, info: {architecture: 'words', context, chat: true, template: 'file', encoder: false},
    timings: {device, threads: 1, load_ms: 1, peak_memory_bytes: 1e6, tokens: 0},
    render: async messages => messages.map(({role, content}) => `${role}: ${content}`).join('\n'),
    unload() {},
    async* generate({messages, tokens, begun, logprobs, signal, max_tokens = 512, ...more}) {
      window.asked.push({messages, tokens, begun, logprobs, max_tokens, ...more});
      const told = id => logprobs === undefined ? {} : {logprobs: likely(id)};
      if (tokens) {
        await wait();
        return yield {token: 0, text: '', ...told(idOf(' next')), prompt_left: 0, finish: 'length'};
      }
      const answer = window.says[Math.min(answered++, window.says.length - 1)];
      if (answer.error) throw Object.assign(new Error(answer.error), {code: answer.error});
      if (begun) yield {token: null, text: begun.text, content: begun.text, prompt_left: 0, finish: null, begun: true};
      const [thought, spoken] = answer.includes('</think>') ? answer.split('</think>') : ['', answer];
      const said = (kind, text) => words(text).flatMap(spell).map(spelled => [kind, ...spelled]);
      const rest = [...said('reasoning', thought), ...said('content', spoken)];
      let made = begun?.tokens.length ?? 0;
      let finish = 'end';
      for (const [kind, token, text] of rest) {
        if (pause) await wait();
        if (signal?.aborted) return;
        if (made++ >= max_tokens) {
          finish = 'length';
          break;
        }
        const id = idOf(token);
        yield {token: id, text, content: '', [kind]: text, ...told(id), prompt_left: 0, finish: null};
      }
      const took = {tokens: made, prompt_tokens: 1, prompt_ms: 1, first_token_ms: 1, decode_ms: made, context_used: made};
      model.timings = {...model.timings, ...took};
      yield {token: null, text: '', content: '', ...finish === 'end' ? {token: 0, ...told(0)} : {}, prompt_left: 0, finish};
    },
  };
  set({model, name, phase: 'ready'});
}, [says, pause, context, name, device]);

/** Asks, and waits until the answer has ended. */
export async function ask(page, text) {
  const before = await page.locator('.answer .meta span').count();
  await page.fill('#ask', text);
  await page.press('#ask', 'Enter');
  await page.waitForFunction(before => document.querySelector('[aria-busy=false]')
    && document.querySelectorAll('.answer .meta span').length > before, before);
}

/** The texts of the answers that are shown. */
export const answers = page => page.locator('.answer .md').allTextContents();

export const wait = (page, check, argument) => page.waitForFunction(check, argument);

/** Waits until all that was said is in the database, so that a reload finds it. */
export const settled = page => until(() => page.evaluate(async () => !(await import('/page/chat/owed.js')).owing()));

/** The page's records of a kind: those in its database, and those that are yet to be written there. */
export const records = (page, name) => page.evaluate(async name => (await (await (await import('/page/chat/archive.js')).archive()).all(name)), name);

/** What is in the page's database, or is yet to be written there. */
export const stored = page => page.evaluate(async () => {
  const {archive} = await import('/page/chat/archive.js');
  const kept = await archive();
  return Object.fromEntries(await Promise.all(['conversations', 'turns', 'tokens'].map(async name => [name, await kept.all(name)])));
});
