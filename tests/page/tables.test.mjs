import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';

import { go, isSample, launch, open, page } from './browser.mjs';
import { LISTS, content, visible } from './content.mjs';

const held = content(page);
const { summary } = held;
const { repositories, tags } = summary;
const few = Math.min(50, repositories.name.length);
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

const column = (tab, number) => tab.locator(`main tbody tr td:nth-child(${number})`).allTextContents();

/** Presses "Export CSV" and reads what was saved. */
async function exported(tab) {
  const waits = tab.waitForEvent('download');
  await tab.getByRole('button', { name: 'Export CSV' }).first().click();
  const download = await waits;
  return { file: download.suggestedFilename(), rows: parsed(await readFile(await download.path(), 'utf8')) };
}

/** Reads CSV as RFC 4180 has it. */
function parsed(text) {
  const rows = [[]];
  for (const [whole, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|$)/g)) {
    if (whole === '') break;
    rows.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end === '\r\n') rows.push([]);
  }
  return rows.filter((row) => row.length > 0);
}

test('a table has as many rows as the report', async () => {
  const tab = await open(browser);
  const counts = {
    repositories: repositories.name,
    tags: tags.name,
    untagged: summary.untagged.repository,
    layers: summary.layers.digest,
    findings: summary.findings,
    uploads: summary.uploads.upload,
  };
  for (const list of LISTS) {
    await go(tab, `#/${list}`);
    const all = counts[list].length;
    if (list === 'findings' && all === 0) continue;
    const expected = all === 0 ? 'No rows' : `Rows 1 to ${Math.min(50, all)} of ${all.toLocaleString('en-US')}`;
    assert.equal(await tab.locator('main .data .status').last().innerText(), expected, list);
  }
});

test('repositories sort by bytes and by name, in both directions', async () => {
  const tab = await open(browser, { hash: '#/repositories' });
  const largest = [...repositories.exclusive].sort((a, b) => b - a).slice(0, few);
  const byName = [...repositories.name].sort((a, b) => (a < b ? -1 : 1));
  const exclusive = new Map(repositories.name.map((name, row) => [visible(name), repositories.exclusive[row]]));
  const sizes = async () => (await column(tab, 1)).map((name) => exclusive.get(name));
  assert.deepEqual(await sizes(), largest);
  await tab.getByRole('button', { name: 'Exclusive', exact: true }).click();
  assert.equal(await tab.getByRole('columnheader', { name: 'Exclusive' }).getAttribute('aria-sort'), 'ascending');
  assert.deepEqual(await sizes(), [...repositories.exclusive].sort((a, b) => a - b).slice(0, few));
  await tab.getByRole('button', { name: 'Repository', exact: true }).click();
  assert.deepEqual(await column(tab, 1), byName.slice(0, few).map(visible));
  await tab.getByRole('button', { name: 'Repository', exact: true }).click();
  assert.deepEqual(await column(tab, 1), byName.reverse().slice(0, few).map(visible));
});

test('unknown values come last', { skip: !isSample }, async () => {
  const tab = await open(browser, { hash: '#/tags' });
  for (const direction of ['descending', 'ascending']) {
    await tab.getByRole('button', { name: 'Pulled', exact: true }).click();
    assert.equal(await tab.getByRole('columnheader', { name: 'Pulled' }).getAttribute('aria-sort'), direction);
    await tab.getByRole('button', { name: 'Last', exact: true }).click();
    assert.equal((await column(tab, 6)).at(-1), 'unknown');
  }
});

test('pages turn', { skip: repositories.name.length <= 50 }, async () => {
  const tab = await open(browser, { hash: '#/repositories' });
  const first = await column(tab, 1);
  assert.ok(await tab.getByRole('button', { name: 'Previous' }).isDisabled());
  await tab.getByRole('button', { name: 'Next' }).click();
  const second = await column(tab, 1);
  assert.equal(second.filter((name) => first.includes(name)).length, 0);
  await tab.getByRole('button', { name: 'Last', exact: true }).click();
  assert.ok(await tab.getByRole('button', { name: 'Next' }).isDisabled());
  await tab.getByRole('button', { name: 'First' }).click();
  assert.deepEqual(await column(tab, 1), first);
});

test('a filter keeps the rows that hold every word', { skip: tags.name.length <= 8 }, async () => {
  const tab = await open(browser, { hash: '#/tags' });
  const references = tags.name.map((name, row) => `${repositories.name[tags.repository[row]]}:${name}`);
  const words = [references[0].slice(0, 4).trim(), tags.name[0].trim()];
  const kept = references.filter((reference) =>
    words.every((word) => reference.toLowerCase().includes(word.toLowerCase())),
  );
  await tab.getByLabel('Filter').fill(words.join(' ').toUpperCase());
  const shown = await tab
    .locator('main tbody tr')
    .evaluateAll((rows) => rows.map((row) => `${row.cells[0].innerText}:${row.cells[1].innerText}`));
  assert.equal(shown.length, Math.min(50, kept.length));
  assert.ok(shown.every((reference) => kept.map(visible).includes(reference)));
  await tab.getByLabel('Filter').fill('no name holds \u0001 this');
  assert.equal(
    await tab.locator('main .status').innerText(),
    `No rows, filtered from ${references.length.toLocaleString('en-US')}`,
  );
});

test('a choice keeps one kind', { skip: !isSample }, async () => {
  const tab = await open(browser, { hash: '#/tags' });
  await tab.getByLabel('Kind').selectOption('index');
  assert.deepEqual(await column(tab, 2), ['2.4.0', 'stable']);
  await tab.getByLabel('Problem').selectOption('with a problem');
  assert.equal(await tab.locator('main tbody tr').count(), 0);
  await tab.getByLabel('Kind').selectOption('unknown');
  assert.deepEqual(await column(tab, 2), ['broken']);
});

test('a filter is kept while another view is open', { skip: tags.name.length <= 8 }, async () => {
  const tab = await open(browser, { hash: '#/tags' });
  await tab.getByLabel('Filter').fill(tags.name[0]);
  const before = await column(tab, 2);
  await go(tab, '#/layers');
  await go(tab, '#/tags');
  assert.equal(await tab.getByLabel('Filter').inputValue(), tags.name[0]);
  assert.deepEqual(await column(tab, 2), before);
});

test('CSV has all rows, in bytes', async () => {
  const tab = await open(browser, { hash: '#/repositories' });
  const {
    file,
    rows: [titles, ...rows],
  } = await exported(tab);
  assert.equal(file, 'repositories.csv');
  assert.deepEqual(titles.slice(0, 3), ['Repository', 'Exclusive (bytes)', 'Shared (bytes)']);
  assert.equal(rows.length, repositories.name.length);
  const sum = (list) => list.reduce((total, value) => total + Number(value), 0);
  assert.equal(sum(rows.map((row) => row[1])), sum(repositories.exclusive));
  const names = rows.map(([name]) => (/^'[=+\-@]/.test(name) ? name.slice(1) : name));
  assert.deepEqual(names.sort(), [...repositories.name].sort());
});

test('CSV has what the filter keeps, and no formula', { skip: !isSample }, async () => {
  const tab = await open(browser, { hash: '#/tags' });
  await tab.getByLabel('Problem').selectOption('with a problem');
  const {
    rows: [titles, ...rows],
  } = await exported(tab);
  assert.equal(rows.length, tags.problem.filter((problem) => problem !== null).length);
  assert.ok(rows.every((row) => row.length === titles.length));
  const cells = rows.flat();
  assert.deepEqual(
    cells.filter((cell) => /^[=+\-@\t\r]/.test(cell)),
    [],
  );
  for (const cell of ['\'=HYPERLINK("x")', "'-rf", "'+1", "'@sum", 'line\nbreak\r', 'it\'s "quoted" & <b>bold</b>'])
    assert.ok(cells.includes(cell), cell);
});
