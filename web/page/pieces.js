// What the bytes of tokens say: a token may be a part of a character.

/** What looks like a character of UTF-8, byte for byte, or a byte that does not with those beside it. */
const CHARACTER = /[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}|[^]/g;

/** Marks above other letters, joiners and the like take no room in a line by themselves. */
const NO_ROOM = /^[\p{Mn}\p{Me}\p{Cf}]*$/u;

const strict = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true});

/** Bytes as a string of characters below 256, and back. */
export const latin1 = bytes => Array.from(bytes, byte => String.fromCharCode(byte)).join('');
export const bytesOf = text => Uint8Array.from(text, character => character.charCodeAt(0));

/** The texts of tokens one after another, `pieces` being their bytes; a character that several make together stands with the last. */
export function joined(pieces) {
  const decoder = new TextDecoder();
  return pieces.map(bytes => decoder.decode(Uint8Array.from(bytes), {stream: true}));
}

/** The text of one token by itself. Bytes that are but a part of a character are written as SentencePiece does: `<0xE7>`. */
export const spelled = bytes => latin1(bytes).replace(CHARACTER, found => {
  try {
    return strict.decode(bytesOf(found));
  } catch {
    return Array.from(bytesOf(found), byte => `<0x${byte.toString(16).toUpperCase()}>`).join('');
  }
});

/** Whether a text is empty or takes no room, so that it needs a sign to be seen and touched by. */
export const unseen = text => NO_ROOM.test(text);

/** What cannot be seen is shown by a sign. */
export const visible = text => text.replace(/ /g, '·').replace(/\n/g, '↵').replace(/\t/g, '→') || '∅';
