/** @param {string} text base64 */
function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const decoded = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) decoded[index] = binary.charCodeAt(index);
  return decoded;
}

/** Whether all of a block has been parsed: something comes after it. @param {string} id */
function isWhole(id) {
  return Boolean(document.getElementById(id)?.nextElementSibling);
}

/** Waits until the document has been parsed. */
function parsed() {
  return new Promise((resolve) => {
    document.addEventListener('DOMContentLoaded', resolve, { once: true });
  });
}

/**
 * What a data block of the page holds. The block is emptied: its text is not needed twice.
 * @param {string} id
 */
async function decodeBlock(id) {
  // The details come after the script, so that the first view need not wait for them.
  if (document.readyState === 'loading' && !isWhole(id)) await parsed();
  const block = document.getElementById(id);
  const packed = fromBase64(block.textContent.trim());
  block.textContent = '';
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return JSON.parse(await new Response(unpacked).text());
}
