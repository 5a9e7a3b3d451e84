// Pages that hold less than a registry has, nothing at all, or what nobody knows.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';

import { LISTS } from './content.mjs';
import { go, launch, open, written } from './browser.mjs';
import { MadeRegistry } from './registry.mjs';
import { small } from './sample.mjs';

let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

test('a page that shows less than all says so at the top of every view', async () => {
  const sample = small();
  Object.assign(sample.summary.shown, {
    repositories: 400,
    of_repositories: 10_000,
    tags: 9000,
    of_tags: 200_000,
  });
  const tab = await open(browser, { path: written('cut.html', sample) });
  for (const route of ['#/', '#/tags', '#/repository/team%2Fapp']) {
    await go(tab, route);
    assert.equal(
      await tab.getByRole('note').innerText(),
      'This page shows the 400 largest of 10,000 repositories. It lists 9,000 of 200,000 tags. ' +
        'The totals are those of the whole registry.',
    );
    assert.ok((await tab.getByRole('note').boundingBox()).y < 120);
  }
  const whole = await open(browser, { path: written('whole.html', small()) });
  assert.equal(await whole.getByRole('note').count(), 0);
});

test('an empty registry has a page', async () => {
  const made = new MadeRegistry(1);
  const tab = await open(browser, {
    path: written('empty.html', { summary: made.summary(), details: made.details() }),
  });
  assert.match(await tab.locator('.map').innerText(), /^Empty$/);
  for (const list of LISTS) {
    await go(tab, `#/${list}`);
    assert.ok(await tab.locator('main h1').isVisible());
  }
  assert.match(await tab.evaluate(() => document.body.innerText), /No rows/);
  assert.deepEqual(tab.errors, []);
});

test('a history that may have been cut says so', async () => {
  for (const [steps, says] of [
    [255, 0],
    [256, 1],
  ]) {
    const sample = small();
    const history = Array.from({ length: steps }, () => [0, null, null]);
    sample.details.images.history.fill(history);
    const tab = await open(browser, { path: written(`history-${steps}.html`, sample) });
    await go(tab, '#/image/team%2Fapp/v2');
    assert.equal(await tab.getByText('Only the first 256 steps are shown').count(), says);
  }
});

test('what is unknown is called so', async () => {
  const sample = small();
  const { summary, details } = sample;
  Object.assign(summary, { config: null });
  Object.assign(summary.totals, { free: null, capacity: null });
  for (const column of ['pulled', 'created', 'pushed', 'tags_of_image']) summary.tags[column].fill(null);
  summary.uploads.started.fill(null);
  summary.untagged.bytes.fill(null);
  summary.untagged.image.fill(null);
  for (const column of ['bytes', 'created', 'config', 'history']) details.images[column].fill(null);
  const tab = await open(browser, { path: written('unknown.html', sample) });
  assert.match(await tab.locator('main').innerText(), /Free disk\s+unknown/);
  for (const route of [
    ...LISTS.map((list) => `#/${list}`),
    '#/image/team%2Fapp/v2',
    '#/repository/team%2Fapp',
    '#/map/team%2Fapp',
  ]) {
    await go(tab, route);
    assert.doesNotMatch(await tab.locator('main').innerText(), /NaN|null|undefined|Infinity|1970/, route);
  }
  await go(tab, '#/image/team%2Fapp/v2');
  assert.equal(await tab.locator('main dt:text-is("Pulled") + dd').innerText(), 'unknown');
  assert.deepEqual(tab.errors, []);
});

test('a digest that is not sha256 is shown in full', async () => {
  const sample = small();
  const { summary, details } = sample;
  const digest = `sha512:${'ab'.repeat(64)}`;
  const [tag] = [summary.tags.name.indexOf('stable')];
  const image = summary.tags.image[tag];
  details.images.digest =
    details.images.digest.slice(0, image * 64) + '0'.repeat(64) + details.images.digest.slice(image * 64 + 64);
  details.images.other_digests[image] = digest;
  const tab = await open(browser, {
    path: written('sha512.html', sample),
    hash: `#/image/team%2Frelease/${encodeURIComponent(digest)}`,
  });
  assert.equal(await tab.locator('main dt:text-is("Digest") + dd').innerText(), digest);
});

test('where all is small, the largest are still seen, and the map says that it is not to scale', async () => {
  const made = new MadeRegistry(3);
  for (let index = 0; index < 3000; index += 1) {
    const repository = made.repository(`flat-${index}`);
    made.tag(repository, 'v1', made.image(repository, { layers: [made.blob(1_000_000)] }));
  }
  const tab = await open(browser, { path: written('flat.html', { summary: made.summary(), details: made.details() }) });
  const others = tab.locator('.tile.others');
  assert.match(await others.getAttribute('title'), /the area is not to scale/);
  const { width, height } = await others.boundingBox();
  const map = await tab.locator('.map').boundingBox();
  assert.ok((width * height) / (map.width * map.height) < 0.51);
  const own = await tab.locator('.tile:not(.others)').count();
  assert.ok(own >= 20, `${own} of their own`);
  assert.equal(Number((await others.innerText()).match(/^[\d,]+/)[0].replace(',', '')), 3000 - own);
});

/** Cuts 200 characters off a data block. */
function cutOff(name, block) {
  const path = written(name, small());
  writeFileSync(path, readFileSync(path, 'utf8').replace(new RegExp(`id="${block}">.{200}`), `id="${block}">`));
  return path;
}

test('a page that was cut off says that it cannot be read', async () => {
  const context = await browser.newContext();
  const tab = await context.newPage();
  await tab.goto(`file://${cutOff('no-summary.html', 'summary')}`);
  assert.match(await tab.getByRole('alert').innerText(), /This report cannot be read/);
});

test('without its details, a page still has all that does not need them', async () => {
  const tab = await open(browser, { path: cutOff('no-details.html', 'details') });
  await go(tab, '#/image/team%2Fapp/v2');
  assert.match(await tab.getByRole('alert').innerText(), /This report cannot be read/);
  await go(tab, '#/repositories');
  assert.ok((await tab.locator('main tbody tr').count()) > 0);
});

test('a view that needs the details waits until they are parsed', async () => {
  const sample = small();
  sample.details.more = randomBytes(6_000_000).toString('hex');
  const tab = await open(browser, { path: written('late.html', sample), hash: '#/untagged' });
  assert.equal(await tab.locator('main h1').innerText(), 'Untagged manifests');
  assert.ok((await tab.locator('main tbody tr').count()) > 0);
});

test('a view that takes time does not replace the one that was opened after it', async () => {
  const tab = await open(browser, { path: written('slow.html', small()) });
  await tab.evaluate(() => {
    const { text } = Response.prototype;
    Response.prototype.text = async function slow() {
      await new Promise((resolve) => {
        setTimeout(resolve, 300);
      });
      return text.call(this);
    };
    location.hash = '#/untagged';
    setTimeout(() => {
      location.hash = '#/layers';
    }, 30);
  });
  await tab.waitForTimeout(600);
  assert.equal(await tab.locator('main h1').innerText(), 'Layers');
  await tab.evaluate(() => {
    location.hash = '#/untagged';
  });
  await tab.getByRole('heading', { name: 'Untagged manifests' }).waitFor();
});

test('without JavaScript, the page says what it needs', async () => {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const tab = await context.newPage();
  await tab.goto(`file://${written('plain.html', small())}`);
  assert.match(await tab.locator('main').innerText(), /This report needs JavaScript/);
});
