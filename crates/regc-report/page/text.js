'use strict';

/**
 * Characters that are not seen, or that change how the text around them is shown: control and format characters (among
 * them those that turn the direction of writing around), separators of lines, and halves of characters.
 */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** @param {string} text */
function hasHidden(text) {
  HIDDEN.lastIndex = 0;
  return HIDDEN.test(text);
}

/**
 * A text that a client chose, with each hidden character written as `\u{202e}`.
 * @param {string} text
 */
function visible(text) {
  return text.replace(HIDDEN, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}

/**
 * A digest as short as registries' tools print it.
 * @param {string} digest
 */
function shortDigest(digest) {
  const [algorithm, hex = ''] = digest.split(':');
  return `${algorithm}:${hex.slice(0, 12)}`;
}

/** @param {number} count @param {string} one @param {string} [many] */
function counted(count, one, many = `${one}s`) {
  return `${whole(count)} ${count === 1 ? one : many}`;
}
