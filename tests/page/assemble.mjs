// Makes a page as `regc report` does: each marker of the frame is a line, for which a whole element is put in.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const PAGE = new URL('../../crates/regc-report/page/', import.meta.url);
const read = (path) => readFileSync(new URL(path, PAGE), 'utf8');

/** The scripts of the page, as one. */
export function script() {
  return read('order.txt').trim().split('\n').map(read).join('');
}

/** The content security policy that allows this script and this style, and nothing else. */
function policy(code, style) {
  const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const own = `script-src ${hash(code)}; style-src ${hash(style)}`;
  return `default-src 'none'; ${own}; img-src data:; base-uri 'none'; form-action 'none'`;
}

function block(id, value) {
  const packed = gzipSync(JSON.stringify(value)).toString('base64');
  return `<script type="application/octet-stream" id="${id}">${packed}</script>`;
}

/** @returns {string} the page */
export function assemble({ summary, details }) {
  const [code, style] = [script(), read('style.css')];
  const elements = new Map([
    ['{{policy}}', `<meta http-equiv="Content-Security-Policy" content="${policy(code, style)}">`],
    ['{{style}}', `<style>${style}</style>`],
    ['{{summary}}', block('summary', summary)],
    ['{{details}}', block('details', details)],
    ['{{script}}', `<script>${code}</script>`],
  ]);
  return read('page.html')
    .split('\n')
    .map((line) => elements.get(line.trim()) ?? line)
    .join('\n');
}
