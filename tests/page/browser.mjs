// Chromium, and the page to test: that of $REGC_PAGE, or else one about the small sample.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

import { chromium } from 'playwright-core';

import { assemble } from './assemble.mjs';
import { small } from './sample.mjs';

/** Whether the page is the sample, whose names are known. */
export const isSample = !process.env.REGC_PAGE;

const directory = mkdtempSync(join(tmpdir(), 'regc-page-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

/** Writes a page into a directory that is removed at the end. @returns {string} its path */
export function written(name, sample) {
  const path = join(directory, name);
  writeFileSync(path, assemble(sample));
  return path;
}

export const page = isSample ? written('sample.html', small()) : resolve(process.env.REGC_PAGE);

export function launch() {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  return chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
  });
}

/**
 * Opens the page as a file. What it requests, and every error, is noted.
 * @param {import('playwright-core').Browser} browser
 * @param {object} options those of a browser context, and `first`, which runs in the page before its own script
 */
export async function open(browser, { path = page, hash = '', first = () => {}, ...options } = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 900 },
    reducedMotion: 'reduce',
    ...options,
  });
  const tab = await context.newPage();
  tab.setDefaultTimeout(10_000);
  await tab.addInitScript(first);
  tab.requests = [];
  tab.errors = [];
  context.on('request', (request) => tab.requests.push(request.url()));
  tab.on('pageerror', (error) => tab.errors.push(String(error)));
  tab.on('console', (message) => {
    if (message.type() === 'error') tab.errors.push(message.text());
  });
  tab.on('dialog', (dialog) => {
    tab.errors.push(dialog.message());
    dialog.dismiss();
  });
  await tab.goto(pathToFileURL(path).href + hash);
  await tab.waitForSelector('html[data-shown]', { timeout: 10_000 }).catch((error) => {
    throw new Error(`${tab.errors.join('; ')}: ${error.message}`);
  });
  return tab;
}

/** Goes to a route, and waits for its view. */
export async function go(tab, hash) {
  await tab.evaluate((to) => {
    location.hash = to;
  }, hash);
  await tab.waitForFunction((to) => document.documentElement.dataset.shown === to, hash);
}
