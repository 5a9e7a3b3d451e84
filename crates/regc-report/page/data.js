/** @param {string} text base64 */
function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const decoded = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index += 1) decoded[index] = binary.charCodeAt(index);
  return decoded;
}

/**
 * What a data block of the page holds. The block is emptied: its text is not needed twice.
 * @param {string} id
 */
async function decodeBlock(id) {
  const block = document.getElementById(id);
  const packed = fromBase64(block.textContent.trim());
  block.textContent = '';
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'));
  return JSON.parse(await new Response(unpacked).text());
}
