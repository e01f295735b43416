import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { writeReport } from '../../src/report/write-report.ts';
import { studyPage } from '../../src/study/pages.ts';
import { writeRounds } from '../support/rounds-fixture.ts';
import { writeFinishedRun, writeUnfinishedRun } from '../support/run-fixture.ts';
import { smallStudy } from '../support/study-fixture.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
const hasChromium = existsSync(executablePath);
const mustRun = process.env.CI === 'true';
if (!hasChromium && !mustRun) {
  process.stderr.write(
    `report-page.test.ts is skipped: there is no ${executablePath} (apt-get install chromium, or set CHROMIUM)\n`,
  );
}

type Look = { width: number; scheme: 'light' | 'dark' };
const looks = [1400, 380].flatMap(width => (['light', 'dark'] as const).map(scheme => ({ width, scheme })));

describe.skipIf(!hasChromium && !mustRun)('report.html in Chromium', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  });
  afterAll(async () => browser?.close());

  test.each(looks)(
    'opens without errors, requests or overflow at $width px, $scheme',
    async ({ width, scheme }) => {
      for (const write of [writeFinishedRun, writeUnfinishedRun, writeRounds]) {
        const { page, problems } = await open(write, { width, scheme });
        expect(problems).toEqual([]);
        expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
        const paper = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
        expect(paper).toBe(scheme === 'light' ? 'rgb(255, 254, 251)' : 'rgb(21, 23, 26)');
        await page.close();
      }
    },
  );

  test.each(looks)('the page of a study does so, too, at $width px, $scheme', async look => {
    const { page, problems } = await openFile(temporaryFile('study.html', studyPage(smallStudy())), look);
    expect(problems).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(look.width);
    // A mark for each of twelve cells, and a mean for each of two methods at two recipes.
    expect(await page.locator('#pareto svg.panel').first().locator('[data-tip]').count()).toBe(12 + 4);
    await page.close();
  });

  test('does not overflow with everything unfolded', async () => {
    const { page, problems } = await open(writeFinishedRun, { width: 380, scheme: 'light' });
    await page.evaluate(() => {
      for (const one of document.querySelectorAll('details')) {
        one.removeAttribute('name');
        one.open = true;
      }
    });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(380);
    expect(problems).toEqual([]);
    await page.close();
  });

  test('shows the values of the point under the pointer', async () => {
    const { page } = await open(writeFinishedRun, { width: 1400, scheme: 'light' });
    await page.locator('#accuracy-retention [data-tip^="SFT, step 684"]').first().hover();
    expect(await page.locator('#tip').textContent()).toContain('target accuracy 0.680 [0.542, 0.792]');
    await page.close();
  });

  test('opens one prompt at a time, with the use of its answers', async () => {
    const { page } = await open(writeFinishedRun, { width: 1400, scheme: 'light' });
    const prompts = page.locator('details[name=prompt]');
    expect(await prompts.count()).toBe(20);
    await prompts.nth(3).locator('summary').click();
    expect(await page.locator('details[name=prompt][open]').count()).toBe(1);
    const text = (await prompts.nth(3).locator('.answers').innerText()).replace(/\s+/g, ' ');
    expect(text).toMatch(/^gold \S+ used \d+× SFT @91 /);
    expect(text).toContain('unfinished · drawn 4×, gold took its place');
    await page.close();
  });

  test('a page that asks for something outside would be noticed', async () => {
    const page = await browser.newPage();
    const problems = problemsOf(page);
    const file = join(temporaryDirectory(), 'page.html');
    writeFileSync(
      file,
      '<img src="https://example.invalid/x.png"><script>throw new Error("planted")</script>',
    );
    await page.goto(pathToFileURL(file).href);
    expect(problems).toContain('request https://example.invalid/x.png');
    expect(problems).toContain('error planted');
    await page.close();
  });

  async function open(
    write: (directory: string) => void,
    look: Look,
  ): Promise<{ page: Page; problems: string[] }> {
    const directory = temporaryDirectory();
    write(directory);
    const { html } = await writeReport(directory);
    return openFile(html, look);
  }

  async function openFile(
    html: string,
    { width, scheme }: Look,
  ): Promise<{ page: Page; problems: string[] }> {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: scheme });
    const problems = problemsOf(page);
    await page.goto(pathToFileURL(html).href);
    return { page, problems };
  }
});

/** Fills while the page is open: errors, warnings and requests to anything but a local file or the page itself. */
function problemsOf(page: Page): string[] {
  const problems: string[] = [];
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) problems.push(`console ${message.text()}`);
  });
  page.on('pageerror', error => problems.push(`error ${error.message}`));
  page.on('request', request => {
    if (!/^(file|data):/.test(request.url())) problems.push(`request ${request.url()}`);
  });
  return problems;
}
