// What the bytes of tokens say: a token may be a part of a character.

/** A character of UTF-8, byte for byte, or a byte that makes none with those beside it. */
const CHARACTER = /[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|[^]/g;

/** What takes no room in a line: nothing, marks above other letters, joiners. */
const NO_ROOM = /^[\p{Mn}\p{Me}\p{Cf}]*$/u;

export const latin1 = bytes => Array.from(bytes, byte => String.fromCharCode(byte)).join('');

/** The texts of tokens one after another; a character that several make together stands with the last of them. */
export function texts(pieces) {
  const decoder = new TextDecoder();
  return pieces.map(bytes => decoder.decode(Uint8Array.from(bytes), {stream: true}));
}

/** The text of one token by itself. A byte that is but a part of a character is written as SentencePiece does: `<0xE7>`. */
export const alone = bytes => latin1(bytes).replace(CHARACTER, found => {
  const code = found.charCodeAt(0);
  if (found.length === 1) return code < 0x80 ? found : `<0x${code.toString(16).toUpperCase()}>`;
  return new TextDecoder().decode(Uint8Array.from(found, one => one.charCodeAt(0)));
});

/** Whether nothing of a text would be seen by itself, so that it needs a sign to be seen and touched by. */
export const unseen = text => NO_ROOM.test(text);

/** What cannot be seen is shown by a sign. */
export const visible = text => text.replace(/ /g, '·').replace(/\n/g, '↵').replace(/\t/g, '→') || '∅';
