import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';

import { go, isSample, launch, open, page } from './browser.mjs';
import { content, routes } from './content.mjs';

const held = content(page);
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

test('the policy allows this script and this style alone', () => {
  const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const [, script] = held.html.match(/<script>(.*?)<\/script>/s);
  const [, style] = held.html.match(/<style>(.*?)<\/style>/s);
  assert.equal(
    held.policy,
    `default-src 'none'; script-src ${hash(script)}; style-src ${hash(style)}; ` +
      "img-src data:; base-uri 'none'; form-action 'none'",
  );
});

test('the file has no markup that the policy would stop', () => {
  const frame = held.html.replace(/<(script|style)[^>]*>.*?<\/\1>/gs, '');
  assert.doesNotMatch(frame, /\sstyle=|\son\w+=|src=|javascript:|\{\{\w+\}\}/);
});

test('every view opens from the disk without an error and without a request', async () => {
  const tab = await open(browser);
  for (const route of routes(held)) {
    await go(tab, route);
    assert.ok(await tab.locator('main h1').isVisible(), route);
  }
  assert.deepEqual(tab.errors, []);
  assert.deepEqual(
    tab.requests.filter((url) => !url.startsWith('blob:') && !url.startsWith('data:')),
    [pathToFileURL(page).href],
  );
});

test('a view opens by its address', async () => {
  for (const route of routes(held)) {
    const tab = await open(browser, { hash: route });
    const title = await tab.title();
    assert.ok(
      route.startsWith('#/map') || route === '#/' ? title.startsWith('Overview') : !title.startsWith('Overview'),
      `${route}: ${title}`,
    );
    assert.deepEqual(tab.errors, []);
    await tab.context().close();
  }
});

test('an address that leads to nothing says so', async () => {
  const tab = await open(browser, { hash: '#/repository/no%2Fsuch' });
  assert.match(await tab.locator('main').innerText(), /Repository no\/such is not in this page/);
  for (const route of ['#/nothing', '#/%', '#/image/no/such', '#/map/no%2Fsuch%2F']) {
    await go(tab, route);
    assert.ok(await tab.locator('main h1').isVisible(), route);
  }
  assert.deepEqual(tab.errors, []);
});

test('the totals are those of the report', async () => {
  const tab = await open(browser);
  const shown = await tab.locator('main section:has(> h2:text-is("Totals")) dd b').allInnerTexts();
  const { totals } = held.summary;
  const expected = [
    totals.live,
    totals.exclusive,
    totals.shared,
    totals.untagged,
    totals.garbage,
    totals.uploads,
    totals.trash,
    totals.free,
  ];
  assert.deepEqual(shown, expected.map(inUnits));
});

/** Written anew: with the page's own function, the page would be compared with itself. */
function inUnits(value) {
  if (value === null) return 'unknown';
  const power = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'].map((unit, index) => [value / 1024 ** (index + 1), unit]);
  const [amount, unit] = power.reverse().find(([amount]) => amount.toFixed(2) >= 1) ?? [];
  return value < 1024 ? `${value} B` : `${amount.toFixed(2)} ${unit}`;
}

test('each command that frees something is listed and copied', async () => {
  const tab = await open(browser, { permissions: ['clipboard-read', 'clipboard-write'] });
  const rows = tab.locator('main section:has(> h2:text-is("Reclaimable")) tbody tr');
  assert.equal(await rows.count(), held.summary.would_free.length);
  for (const [index, run] of held.summary.would_free.entries()) {
    const row = rows.nth(index);
    assert.match(
      await row.innerText(),
      run.refused === null ? new RegExp(inUnits(run.bytes).replace('.', '\\.')) : /refused/,
    );
    await row.getByRole('button').click();
    await tab.waitForFunction(
      (at) => document.querySelectorAll('.freed')[at].closest('tr').innerText.includes('Copied'),
      index,
    );
    assert.equal(await tab.evaluate(() => navigator.clipboard.readText()), run.command);
  }
});

test("both colour schemes: the system's, and the one that is chosen", async () => {
  const colour = (tab) => tab.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const [light, dark] = await Promise.all(['light', 'dark'].map((colorScheme) => open(browser, { colorScheme })));
  const [paper, night] = [await colour(light), await colour(dark)];
  assert.notEqual(paper, night);
  await light.getByLabel('Colours').selectOption('dark');
  assert.equal(await colour(light), night);
  await light.reload();
  await light.waitForSelector('html[data-shown]');
  assert.equal(await colour(light), night, 'the choice is remembered');
  await dark.getByLabel('Colours').selectOption('light');
  assert.equal(await colour(dark), paper);
});

test('a phone scrolls no view sideways', async () => {
  const tab = await open(browser, { viewport: { width: 390, height: 800 }, isMobile: true, hasTouch: true });
  for (const route of routes(held)) {
    await go(tab, route);
    const { content: wide, screen } = await tab.evaluate(() => ({
      content: document.documentElement.scrollWidth,
      screen: window.innerWidth,
    }));
    assert.deepEqual([wide, screen], [390, 390], route);
  }
});

test('paper holds the rows and no controls, in the light scheme', async () => {
  const tab = await open(browser, { colorScheme: 'dark', hash: '#/tags' });
  await tab.emulateMedia({ media: 'print', colorScheme: 'dark' });
  const rows = () => tab.locator('main tbody tr').count();
  await tab.evaluate(() => window.dispatchEvent(new Event('beforeprint')));
  assert.equal(await rows(), Math.min(2000, held.summary.tags.name.length));
  for (const control of ['#views', '.tools', '.pages', '#scheme'])
    assert.equal(await tab.locator(control).first().isVisible(), false, control);
  assert.equal(await tab.evaluate(() => getComputedStyle(document.body).backgroundColor), 'rgb(255, 255, 255)');
  await tab.evaluate(() => window.dispatchEvent(new Event('afterprint')));
  assert.equal(await rows(), Math.min(50, held.summary.tags.name.length));
  assert.ok((await tab.pdf()).length > 1000);
});

test('the sample has what the tests look for', { skip: !isSample }, () => {
  assert.ok(held.summary.tags.name.length > 100 && held.summary.would_free.some((run) => run.refused !== null));
  assert.ok(
    held.summary.tags.image.includes(null) && held.summary.tags.kind.includes(held.summary.kinds.indexOf('index')),
  );
});
