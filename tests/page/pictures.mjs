// Takes the pictures of the documentation: `node pictures.mjs DIRECTORY`.

import { join } from 'node:path';

import { go, launch, open } from './browser.mjs';

const PICTURES = [
  { file: 'report-light.png', colorScheme: 'light', viewport: { width: 1280, height: 860 }, route: '#/' },
  { file: 'report-map-dark.png', colorScheme: 'dark', viewport: { width: 1280, height: 640 }, route: '#/map/team%2F' },
  {
    file: 'report-image-light.png',
    colorScheme: 'light',
    viewport: { width: 1280, height: 860 },
    route: '#/image/team%2Fapp/v2',
  },
  { file: 'report-phone-dark.png', colorScheme: 'dark', viewport: { width: 390, height: 844 }, route: '#/' },
];

const directory = process.argv[2] ?? '.';
const browser = await launch();
for (const { file, route, ...options } of PICTURES) {
  const tab = await open(browser, options);
  if (route !== '#/') await go(tab, route);
  await tab.screenshot({ path: join(directory, file) });
  await tab.context().close();
}
await browser.close();
