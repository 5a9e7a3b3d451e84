import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { isSample, launch, open, page } from './browser.mjs';
import { content } from './content.mjs';

const { summary } = content(page);
const isEmpty = summary.repositories.name.length === 0;
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

const trail = (tab) => tab.getByRole('navigation', { name: 'Zoom' });
const tiles = (tab) => tab.locator('.map .tile');

async function shown(tab, hash) {
  await tab.waitForFunction((to) => document.documentElement.dataset.shown === to, hash);
}

test('a click zooms in, Escape and the trail zoom out', { skip: isEmpty }, async () => {
  const tab = await open(browser);
  const before = await tiles(tab).allTextContents();
  await tiles(tab).first().click();
  await tab.waitForFunction(() => document.documentElement.dataset.shown.startsWith('#/map/'));
  const inside = await tiles(tab).allTextContents();
  assert.notDeepEqual(inside, before);
  assert.equal((await trail(tab).getByRole('listitem').count()) > 1, true);
  await tiles(tab).first().focus();
  await tab.keyboard.press('Escape');
  await shown(tab, '#/map/');
  assert.deepEqual(await tiles(tab).allTextContents(), before);
  await tiles(tab).first().click();
  await trail(tab).getByRole('link', { name: 'registry', exact: true }).click();
  await shown(tab, '#/map/');
  assert.deepEqual(await tiles(tab).allTextContents(), before);
});

test('tiles fill the map, do not overlap, and are as large as their bytes', { skip: isEmpty }, async () => {
  const tab = await open(browser);
  const boxes = await tab.evaluate(() => {
    const map = document.querySelector('.map');
    const box = (node) => node.getBoundingClientRect();
    // What lies in no frame, and the frames: the outermost parts.
    const frames = [...map.querySelectorAll('.frame')].map(box);
    const isIn = (inner, outer) =>
      inner.left >= outer.left - 1 &&
      inner.right <= outer.right + 1 &&
      inner.top >= outer.top - 1 &&
      inner.bottom <= outer.bottom + 1;
    const free = [...map.querySelectorAll('.tile')]
      .map(box)
      .filter((tile) => !frames.some((frame) => isIn(tile, frame)));
    return {
      all: map.clientWidth * map.clientHeight,
      parts: [...frames, ...free].map(({ left, top, right, bottom }) => ({ left, top, right, bottom })),
    };
  });
  const area = (box) => Math.max(0, box.right - box.left) * Math.max(0, box.bottom - box.top);
  const sum = boxes.parts.reduce((total, box) => total + area(box), 0);
  assert.ok(Math.abs(sum / boxes.all - 1) < 0.02, `${sum} of ${boxes.all}`);
  for (const [index, one] of boxes.parts.entries()) {
    for (const other of boxes.parts.slice(index + 1)) {
      const both = {
        left: Math.max(one.left, other.left),
        right: Math.min(one.right, other.right),
        top: Math.max(one.top, other.top),
        bottom: Math.min(one.bottom, other.bottom),
      };
      assert.ok(area(both) < 2, JSON.stringify([one, other]));
    }
  }
});

test('the table beside the map has all parts', { skip: isEmpty }, async () => {
  const tab = await open(browser);
  const names = summary.repositories.name;
  const parts = new Set(names.map((name) => (name.includes('/') ? `${name.split('/')[0]}/` : name)));
  const rows = await tab.locator('.listed tbody tr').count();
  assert.equal(rows, Math.min(parts.size, 201));
});

test('exclusive and shared bytes are told apart by a pattern, and by words', { skip: isEmpty }, async () => {
  const tab = await open(browser);
  const tile = tab.locator('.tile.split').first();
  assert.match(await tile.textContent(), /exclusive [\d.]+ \w+, shared [\d.]+ \w+/);
  const images = await tile.evaluate((node) => [
    getComputedStyle(node).backgroundImage,
    getComputedStyle(node.querySelector('.solid')).backgroundImage,
  ]);
  assert.match(images[0], /repeating-linear-gradient/);
  assert.equal(images[1], 'none');
});

test('what is too small is folded, and opens', { skip: !isSample }, async () => {
  const tab = await open(browser, { hash: '#/map/sandbox%2F' });
  const others = tab.locator('.tile.others').last();
  const [, count] = (await others.innerText()).match(/^(\d+) others/);
  const own = await tab.locator('.tile:not(.others):not(.head)').count();
  assert.ok(own > 0);
  await others.click();
  await tab.waitForFunction(() => document.querySelector('.trail [aria-current]').textContent.endsWith('others'));
  assert.equal(await tab.locator('.trail [aria-current]').innerText(), `${count} others`);
  assert.equal(await tab.locator('.listed tbody tr').count(), Math.min(Number(count), 201));
});

test('a namespace has each blob once, and its tile says so', { skip: !isSample }, async () => {
  const tab = await open(browser);
  const index = summary.namespaces.name.indexOf('data');
  const label = await tab.locator('.tile[title^="namespace data/:"]').getAttribute('title');
  const gib = (value) => `${(value / 1024 ** 3).toFixed(2)} GiB`;
  const mib = (value) => `${(value / 1024 ** 2).toFixed(2)} MiB`;
  assert.equal(
    label,
    `namespace data/: exclusive ${gib(summary.namespaces.exclusive[index])}, shared ${mib(summary.namespaces.shared[index])}`,
  );
});

test('area is measured by exclusive bytes if that is chosen', { skip: !isSample }, async () => {
  const tab = await open(browser, { hash: '#/map/team%2F' });
  await tab.getByLabel('Area').selectOption('exclusive bytes');
  const label = tab.locator('.tile[title^="repository team/release:"] .size');
  assert.equal(await label.innerText(), '168.30 MiB');
});
