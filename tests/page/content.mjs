// What a page's file holds, read without a browser.

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/** @param {string} path */
export function content(path) {
  const html = readFileSync(path, 'utf8');
  const block = (id) => {
    const [, packed] = html.match(new RegExp(`<script type="application/octet-stream" id="${id}">([^<]*)</script>`));
    return JSON.parse(gunzipSync(Buffer.from(packed.trim(), 'base64')));
  };
  const [, policy] = html.match(/<meta http-equiv="Content-Security-Policy" content="([^"]*)">/);
  return { html, policy, summary: block('summary'), details: block('details') };
}

/** Characters that a page never shows as they are. */
export const HIDDEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** @param {string} text */
export function visible(text) {
  return text.replace(HIDDEN, (character) => `\\u{${character.codePointAt(0).toString(16)}}`);
}

export const LISTS = ['repositories', 'tags', 'untagged', 'layers', 'findings', 'uploads'];

/** One route to each kind of view that this page has. */
export function routes({ summary, details }) {
  const { repositories, tags, untagged } = summary;
  const found = ['#/', ...LISTS.map((list) => `#/${list}`)];
  const encoded = (...parts) => `#/${parts.map(encodeURIComponent).join('/')}`;
  const index = summary.kinds.indexOf('index');
  if (repositories.name.length > 0)
    found.push(encoded('repository', repositories.name[0]), encoded('map', repositories.name[0]));
  const ofTag = (tag) => encoded('image', repositories.name[tags.repository[tag]], tags.name[tag]);
  const picked = [
    0,
    tags.kind.indexOf(index),
    tags.problem.findIndex((problem) => problem !== null),
    tags.image.indexOf(null),
  ];
  for (const tag of new Set(picked)) if (tag >= 0 && tag < tags.name.length) found.push(ofTag(tag));
  const manifest = untagged.image.find((image) => image !== null);
  if (manifest !== undefined) {
    const digest = details.images.digest.slice(manifest * 64, manifest * 64 + 64);
    found.push(encoded('image', repositories.name[details.images.repository[manifest]], `sha256:${digest}`));
  }
  return found;
}
