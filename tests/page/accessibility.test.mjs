import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';

import { go, isSample, launch, open, page } from './browser.mjs';
import { content, routes } from './content.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const held = content(page);
const isEmpty = held.summary.tags.name.length === 0;
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

for (const colorScheme of ['light', 'dark']) {
  for (const width of [1280, 390]) {
    test(`no view has a violation that axe finds, ${colorScheme}, ${width} px`, async () => {
      const tab = await open(browser, { colorScheme, viewport: { width, height: 900 }, bypassCSP: true });
      await tab.evaluate(axe);
      for (const route of routes(held)) {
        await go(tab, route);
        const { violations } = await tab.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
        const found = violations.map(
          ({ id, nodes }) =>
            `${id}: ${nodes
              .slice(0, 3)
              .map((node) => node.html)
              .join(' ')}`,
        );
        assert.deepEqual(found, [], route);
      }
    });
  }
}

/** Presses Tab until an element is reached that a selector matches. */
async function tabTo(tab, selector) {
  for (let presses = 0; presses < 300; presses += 1) {
    await tab.keyboard.press('Tab');
    if (await tab.evaluate((wanted) => document.activeElement.matches(wanted), selector)) return;
  }
  assert.fail(`Tab does not reach ${selector}`);
}

const shown = (tab, beginning) =>
  tab.waitForFunction((text) => document.documentElement.dataset.shown.startsWith(text), beginning);
const isFocused = (tab, selector) => tab.evaluate((wanted) => document.activeElement.matches(wanted), selector);

test('all is reached by keyboard: views, filter, sorting, an image', { skip: isEmpty }, async () => {
  const tab = await open(browser);
  await tab.keyboard.press('Tab');
  assert.ok(await isFocused(tab, '.skip'));
  await tab.keyboard.press('Enter');
  assert.ok(await isFocused(tab, 'main'));
  await tab.reload();
  await tab.waitForSelector('html[data-shown]');
  await tabTo(tab, '#views a[href="#/tags"]');
  await tab.keyboard.press('Enter');
  await shown(tab, '#/tags');
  assert.ok(await isFocused(tab, 'main h1'), 'the focus is on the title of the new view');
  if (held.summary.tags.name.length > 8) {
    await tabTo(tab, 'input[type=search]');
    await tab.keyboard.type(held.summary.tags.name[0].slice(0, 2));
    assert.match(await tab.locator('main .status').innerText(), /^Rows 1 to/);
  }
  await tabTo(tab, 'th.bytes button');
  await tab.keyboard.press('Enter');
  assert.equal(await tab.locator('th[aria-sort]').count(), 1);
  await tabTo(tab, 'main tbody a[href^="#/image/"]');
  await tab.keyboard.press('Enter');
  await shown(tab, '#/image/');
  await tab.goBack();
  await shown(tab, '#/tags');
});

test('the map is used by keyboard', { skip: isEmpty }, async () => {
  const tab = await open(browser);
  assert.equal(await tab.locator('.map .tile[tabindex="0"]').count(), 1, 'Tab stops once in the map');
  await tabTo(tab, '.map .tile');
  assert.ok(
    await tab.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== 'none'),
    'the focus is seen',
  );
  const label = () => tab.evaluate(() => document.activeElement.textContent);
  const first = await label();
  await tab.keyboard.press('Enter');
  await shown(tab, '#/map/');
  assert.ok(await isFocused(tab, '.map .tile'), 'the focus stays in the map');
  assert.notEqual(await label(), first);
  await tab.keyboard.press('Escape');
  await tab.waitForFunction(() => document.documentElement.dataset.shown === '#/map/');
  assert.equal(await label(), first, 'the focus is on what was left');
  if ((await tab.locator('.map .tile').count()) < 2) return;
  await tab.keyboard.press('End');
  assert.notEqual(await label(), first);
  await tab.keyboard.press('Home');
  assert.equal(await label(), first);
  assert.equal(await tab.locator('.map .tile[tabindex="0"]').count(), 1, 'Tab stops once in the map');
});

test('arrows move to the tile beside', { skip: !isSample }, async () => {
  const tab = await open(browser);
  await tabTo(tab, '.map .tile');
  const middle = () =>
    tab.evaluate(() => {
      const { offsetLeft, offsetTop, offsetWidth, offsetHeight } = document.activeElement;
      return { x: offsetLeft + offsetWidth / 2, y: offsetTop + offsetHeight / 2 };
    });
  const places = [await middle()];
  for (const arrow of ['ArrowRight', 'ArrowDown', 'ArrowLeft', 'ArrowUp']) {
    await tab.keyboard.press(arrow);
    places.push(await middle());
  }
  const [start, right, down, left, up] = places;
  assert.ok(right.x > start.x && down.y > right.y && left.x < down.x && up.y < left.y, JSON.stringify(places));
});

test('a change of the rows is announced', { skip: held.summary.tags.name.length <= 8 }, async () => {
  const tab = await open(browser, { hash: '#/tags' });
  await go(tab, '#/tags');
  const status = tab.getByRole('status').filter({ hasText: 'Rows' });
  await tab.getByLabel('Filter').fill(held.summary.tags.name[0]);
  assert.match(await status.innerText(), /filtered from|Rows 1 to/);
});
