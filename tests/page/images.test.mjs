import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { go, isSample, launch, open, page } from './browser.mjs';
import { content, visible } from './content.mjs';

const { summary, details } = content(page);
const { repositories, tags } = summary;
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

const section = (tab, title) => tab.locator(`main section:has(> h2:text-is("${title}"))`);
const encoded = (...parts) => `#/${parts.map(encodeURIComponent).join('/')}`;
const digestOf = (image) => `sha256:${details.images.digest.slice(image * 64, image * 64 + 64)}`;

test('from a repository to its tag and its image, and back', { skip: tags.name.length === 0 }, async () => {
  const tab = await open(browser, { hash: '#/repositories' });
  await tab.locator('main tbody a').first().click();
  await tab.waitForFunction(() => document.documentElement.dataset.shown.startsWith('#/repository/'));
  const title = await tab.locator('h1').innerText();
  const repository = repositories.name.findIndex((name) => visible(name) === title);
  assert.deepEqual(
    await tab.locator('main dl dd').first().innerText(),
    await tab.locator('main dt:text-is("Exclusive") + dd').innerText(),
  );
  const tag = tags.repository.indexOf(repository);
  await section(tab, 'Tags').locator('tbody a').first().click();
  await tab.waitForFunction(() => document.documentElement.dataset.shown.startsWith('#/image/'));
  assert.equal(await tab.locator('h1').innerText(), visible(`${repositories.name[repository]}:${tags.name[tag]}`));
  if (tags.image[tag] !== null)
    assert.equal(await tab.locator('main dt:text-is("Digest") + dd').innerText(), digestOf(tags.image[tag]));
  await tab.locator('main p a').first().click();
  await tab.waitForFunction(() => document.documentElement.dataset.shown.startsWith('#/repository/'));
  assert.equal(await tab.locator('h1').innerText(), title);
});

test('an image has its layers, with their bytes and users', async (context) => {
  const tag = tags.image.findIndex((image) => image !== null && details.images.layers[image].length > 0);
  if (tag < 0) return context.skip('no image has layers');
  const tab = await open(browser, { hash: encoded('image', repositories.name[tags.repository[tag]], tags.name[tag]) });
  const layers = details.images.layers[tags.image[tag]];
  const rows = section(tab, 'Layers').locator('tbody tr');
  assert.equal(await rows.count(), layers.length);
  for (const [index, blob] of layers.entries()) {
    const cells = await rows.nth(index).locator('td').allInnerTexts();
    assert.equal(cells[1], `sha256:${details.blobs.digest.slice(blob * 16, blob * 16 + 12)}`);
    assert.deepEqual(
      cells.slice(3, 5),
      [details.blobs.images[blob], details.blobs.repositories[blob]].map((count) => count.toLocaleString('en-US')),
    );
  }
});

test('an index leads to its platforms, and they lead back', async (context) => {
  const tag = tags.image.findIndex((image) => image !== null && details.images.children[image].length > 0);
  if (tag < 0) return context.skip('no tag names an index');
  const image = tags.image[tag];
  const tab = await open(browser, { hash: encoded('image', repositories.name[tags.repository[tag]], tags.name[tag]) });
  const platforms = section(tab, 'Platforms').locator('tbody tr');
  assert.equal(await platforms.count(), details.images.children[image].length);
  await platforms.first().locator('a').click();
  await tab.waitForFunction(() => document.querySelector('h1').textContent.includes('@'));
  assert.match(await tab.locator('h1').innerText(), new RegExp(`@${digestOf(details.images.children[image][0])}$`));
  assert.match(await section(tab, 'Delete').innerText(), /An index holds this image/);
  await section(tab, 'Indexes with this image')
    .locator(`a[title="${digestOf(image)}"]`)
    .click();
  await tab.waitForFunction((digest) => document.querySelector('h1').textContent.endsWith(digest), digestOf(image));
  assert.ok((await section(tab, 'Tags of this image').locator('a').count()) > 0);
});

test('an index has what is attached to it', { skip: !isSample }, async () => {
  const tab = await open(browser, { hash: '#/image/team%2Frelease/stable' });
  const attached = section(tab, 'Signatures, SBOMs and other attached images');
  assert.deepEqual(await attached.locator('tbody td:nth-child(2)').allInnerTexts(), [
    'signature',
    'sbom',
    'attestation',
  ]);
  await attached.locator('a').first().click();
  await tab.waitForFunction(() => document.querySelector('h1').textContent.includes('@'));
  assert.equal(await section(tab, 'Attached to').locator('tbody tr').count(), 1);
});

test('a tag with a problem says which', { skip: !isSample }, async () => {
  const tab = await open(browser, { hash: '#/image/team%2Frelease/broken' });
  assert.equal(await tab.locator('main dt:text-is("Problem") + dd').innerText(), 'manifest sha256:5f1c… is missing');
  assert.match(
    await tab.locator('main').innerText(),
    /The platforms, layers and history of this image are not in this page/,
  );
});

test('history names the layer that a step made', { skip: !isSample }, async () => {
  const tab = await open(browser, { hash: '#/image/team%2Fapp/v2' });
  const rows = await section(tab, 'History')
    .locator('tbody tr')
    .evaluateAll((found) => found.map((row) => [row.cells[0].innerText, row.cells[3].innerText]));
  assert.deepEqual(
    rows.map(([layer]) => layer),
    ['1', '', '2', '', '3', '4', ''],
  );
  assert.match(rows[2][1], /apt-get update/);
});

test(
  'a tag, a repository and an untagged manifest have the commands that delete them',
  { skip: !isSample },
  async () => {
    const tab = await open(browser);
    const commands = async (route) => {
      await go(tab, route);
      return section(tab, 'Delete').locator('code').allInnerTexts();
    };
    const option = '-c /etc/docker/registry/config.yml';
    const both = (what) => [`regc rm --dry-run ${option} ${what}`, `regc rm ${option} ${what}`];
    assert.deepEqual(await commands('#/image/team%2Fapp/v2'), both('team/app:v2'));
    assert.deepEqual(await commands('#/repository/team%2Fapp'), both('team/app'));
    const untagged = summary.untagged.repository.indexOf(repositories.name.indexOf('team/app'));
    const digest = digestOf(summary.untagged.image[untagged]);
    assert.deepEqual(await commands(encoded('image', 'team/app', digest)), both(`team/app@${digest}`));
    const index = digestOf(tags.image[tags.name.indexOf('stable')]);
    assert.deepEqual(
      await commands(encoded('image', 'team/release', index)),
      both('team/release:2.4.0 team/release:stable'),
    );
    assert.deepEqual(await commands('#/repository/-rf'), both('--path docker/registry/v2/repositories/-rf'));
    assert.deepEqual(await commands('#/image/-rf/-rf'), []);
  },
);

test(
  'a finding leads to its repository, and has its remedy and page',
  { skip: summary.findings.length === 0 },
  async () => {
    const tab = await open(browser, { hash: '#/findings' });
    const codes = Object.keys(summary.finding_counts).sort();
    const commands = await tab.locator('main > div > .scrolls code').allInnerTexts();
    assert.deepEqual(
      commands.filter((text) => text.startsWith('regc explain')),
      codes.map((code) => `regc explain ${code}`),
    );
    const first = await tab.locator('.data tbody tr').first().innerText();
    assert.ok(first.includes(visible(summary.findings[0].message)));
    assert.ok(first.includes(visible(summary.findings[0].remedy ?? '').replaceAll('`', '')));
  },
);
