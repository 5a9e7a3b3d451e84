import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { runInNewContext } from 'node:vm';

import { script } from './assemble.mjs';
import { go, isSample, launch, open, page } from './browser.mjs';
import { HIDDEN, content, routes, visible } from './content.mjs';
import { HOSTILE } from './sample.mjs';

const held = content(page);
const { repositories, tags } = held.summary;
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

/** What a name would have made if it had been taken for markup, and characters that are shown as they are. */
function harm(tab) {
  return tab.evaluate((hidden) => {
    const made = [
      ...document.querySelectorAll(
        'main img, main script, main iframe, main object, main form, main link, main style, [onerror], [onclick]',
      ),
    ];
    const links = [...document.querySelectorAll('a')]
      .map((link) => link.getAttribute('href'))
      .filter((href) => !/^#(\/|main$)/.test(href));
    const attributes = [...document.querySelectorAll('main *')].flatMap((node) =>
      [...node.attributes].map((attribute) => attribute.value),
    );
    const shown = [document.title, document.querySelector('main').textContent, ...attributes].filter((text) =>
      new RegExp(hidden, 'u').test(text),
    );
    return { harmed: window.harmed ?? null, made: made.map((node) => node.outerHTML), links, shown };
  }, HIDDEN.source);
}

const NONE = { harmed: null, made: [], links: [], shown: [] };

/** All views in which a client's text appears. */
function hostileRoutes() {
  const found = routes(held);
  if (!isSample) return found;
  for (const name of HOSTILE) {
    const encoded = (...parts) => `#/${parts.map(encodeURIComponent).join('/')}`;
    found.push(encoded('repository', name), encoded('map', name), encoded('image', name, name.replaceAll('/', '_')));
  }
  return found;
}

test('names are inert, even if the policy did not stop them', async () => {
  const tab = await open(browser, { bypassCSP: true });
  for (const route of hostileRoutes()) {
    await go(tab, route);
    assert.deepEqual(await harm(tab), NONE, route);
  }
  assert.deepEqual(tab.errors, []);
  assert.equal(tab.requests.filter((url) => !/^(file|blob|data):/.test(url)).length, 0);
});

test('each name has its own view, and is shown as it is', { skip: !isSample }, async () => {
  const tab = await open(browser);
  for (const name of HOSTILE) {
    await go(tab, `#/repository/${encodeURIComponent(name)}`);
    assert.equal(await tab.locator('h1').textContent(), visible(name));
    await go(tab, `#/image/${encodeURIComponent(name)}/${encodeURIComponent(name.replaceAll('/', '_'))}`);
    assert.equal(await tab.locator('h1').textContent(), visible(`${name}:${name.replaceAll('/', '_')}`));
    assert.equal(await tab.locator('main dt:text-is("Problem") + dd').textContent(), visible(name));
    assert.ok(
      (await tab.locator('main section:has(> h2:text-is("History"))').textContent()).includes(visible(`RUN ${name}`)),
    );
  }
});

test('a link in a list leads to the view of its name', { skip: tags.name.length === 0 }, async () => {
  const tab = await open(browser, { hash: '#/tags' });
  // In the sample, the tags with a problem are those with a hostile name.
  if (isSample) await tab.getByLabel('Problem').selectOption('with a problem');
  const rows = await tab.locator('main tbody tr').evaluateAll((found) =>
    found.slice(0, 30).map((row) => {
      const [repository, tag] = row.querySelectorAll('a');
      return [
        [repository.textContent, repository.getAttribute('href')],
        [`${repository.textContent}:${tag.textContent}`, tag.getAttribute('href')],
      ];
    }),
  );
  for (const [text, href] of rows.flat()) {
    await go(tab, href);
    assert.equal(await tab.locator('h1').textContent(), text);
  }
});

test('the script does not parse text as markup or code', () => {
  const forbidden =
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|createContextualFragment|DOMParser|setHTML|srcdoc|<\/script|<!--|\{\{\w+\}\}/;
  assert.doesNotMatch(script(), forbidden);
});

test('a shell gets each name as it is', () => {
  const shown = runInNewContext(`${script().replace(/start\(\);\s*$/, '')}; ({ shellWord, removal, hasHidden })`, {
    TextEncoder,
    Intl,
  });
  const names = [
    ...new Set([
      ...HOSTILE,
      ...repositories.name.slice(0, 100),
      "a%b\\c\u0007'd",
      'x\u202e9',
      '100%\u200b',
      '\t',
      '~root',
      '!!',
      '*',
      '#',
      'é',
    ]),
  ];
  for (const name of names) {
    const word = shown.shellWord(name);
    assert.ok(!shown.hasHidden(word), `${JSON.stringify(name)}: ${word}`);
    assert.equal(
      execFileSync('/bin/sh', ['-c', `for word in ${word}; do printf '[%s]' "$word"; done`], { encoding: 'utf8' }),
      `[${name}]`,
      word,
    );
    const command = shown.removal('-c c.yml', name);
    const line = execFileSync('/bin/sh', ['-c', `regc() { for word; do printf '[%s]' "$word"; done; }; ${command}`], {
      encoding: 'utf8',
    });
    const served = /^[a-z0-9./_-]+$/.test(name) && !/^[-_.]|[._]$/.test(name);
    assert.equal(
      line,
      served ? `[rm][-c][c.yml][${name}]` : `[rm][-c][c.yml][--path][docker/registry/v2/repositories/${name}]`,
    );
  }
  const cut = shown.removal('-c c.yml', 'line end\n');
  assert.equal(
    execFileSync('/bin/sh', ['-c', `regc() { printf '%s' "$5"; }; ${cut}`], { encoding: 'utf8' }),
    'docker/registry/v2/repositories/line end\n/',
  );
});
