// How long a page about 10,000 repositories and 200,000 tags takes to open and to answer. Prints, and judges nothing.
// `node speed.mjs [REPOSITORIES] [TAGS]`; with $REGC_PAGE, it measures that page.

import { isSample, launch, open, page, written } from './browser.mjs';
import { large } from './sample.mjs';

const [repositories = 10_000, tags = 20] = process.argv.slice(2).map(Number);
const QUERIES = ['s', 'service', 'service-77', 'group-3 1.7', 'nothing has this name'];

const path = isSample ? written('large.html', large(repositories, tags)) : page;
const browser = await launch();

/** In the page: notes when the first view is painted. */
function notePaint() {
  const painted = () => {
    window.painted ??= performance.now();
  };
  const shown = new MutationObserver(() => requestAnimationFrame(() => setTimeout(painted)));
  shown.observe(document, { subtree: true, attributeFilter: ['data-shown'] });
}

/** Opens the page. Prints the time from the beginning of the navigation until the first view is painted. */
async function opening(hash) {
  const tab = await open(browser, { path, hash, first: notePaint });
  await tab.waitForFunction(() => window.painted && document.readyState === 'complete');
  print(`open ${hash}`, await tab.evaluate(() => window.painted));
  return tab;
}

/** How long a change of the filter takes: until the rows are replaced, and until they are painted. */
function filtering(tab, query) {
  return tab.evaluate(
    (text) =>
      new Promise((resolve) => {
        const field = document.querySelector('main input[type=search]');
        field.value = text;
        const started = performance.now();
        field.dispatchEvent(new Event('input'));
        const replaced = performance.now() - started;
        requestAnimationFrame(() => setTimeout(() => resolve({ replaced, painted: performance.now() - started })));
      }),
    query,
  );
}

/** How long it takes until another view is shown. */
function going(tab, hash) {
  return tab.evaluate(
    (to) =>
      new Promise((resolve) => {
        const started = performance.now();
        new MutationObserver(() => resolve(performance.now() - started)).observe(document.documentElement, {
          attributeFilter: ['data-shown'],
        });
        location.hash = to;
      }),
    hash,
  );
}

const print = (what, milliseconds) => console.log(`${what.padEnd(44)} ${milliseconds.toFixed(0).padStart(6)} ms`);

for (const hash of ['#/', '#/repositories', '#/tags']) {
  const tab = await opening(hash);
  if (hash !== '#/') {
    for (const query of QUERIES) {
      const { replaced, painted } = await filtering(tab, query);
      print(`filter ${hash} by "${query}"`, replaced);
      print(`filter ${hash} by "${query}", painted`, painted);
    }
    await filtering(tab, '');
    const sorting = await tab.evaluate(() => {
      const started = performance.now();
      document.querySelector('main th.bytes button').click();
      return performance.now() - started;
    });
    print(`sort ${hash} by bytes`, sorting);
    const link = await tab.evaluate(() => document.querySelector('main td:nth-last-child(n+9) a').getAttribute('href'));
    print(`go to a view from ${hash}`, await going(tab, link));
  } else {
    print('go to #/tags', await going(tab, '#/tags'));
    print('go to #/untagged, which decodes the details', await going(tab, '#/untagged'));
  }
  await tab.context().close();
}
await browser.close();
