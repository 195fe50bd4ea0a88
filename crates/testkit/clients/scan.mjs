// scan.mjs CHROMIUM < {"url", "key", "first", "second", "forged"}: scans codes on the scanner page by its text input, with a
// network, without one, and again with one; fails unless each shows what it must.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { chromium, devices } = createRequire(import.meta.url)('playwright-core');
const [executablePath] = process.argv.slice(2);
const { url, key, first, second, forged } = JSON.parse(readFileSync(0, 'utf8'));
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const { defaultBrowserType, ...phone } = devices['Pixel 5'];
const context = await browser.newContext(phone);
const page = await context.newPage();
page.setDefaultTimeout(20_000);
page.on('pageerror', (error) => {
  throw error;
});

async function shows(tone, words) {
  const result = page.locator(`#result.${tone}`);
  await result.filter({ hasText: words }).waitFor();
}
async function scan(code, tone, words) {
  await page.locator('#code').fill(code);
  await page.locator('#code').press('Enter');
  await shows(tone, words);
}

await page.goto(url, { waitUntil: 'networkidle' });
await page.locator('html[data-ready]').waitFor();
await page.locator('#key').fill('pbk_wrong');
await page.getByRole('button', { name: 'Sign in' }).click();
await page.locator('#sign-in-fault', { hasText: 'valid API key' }).waitFor();
await page.locator('#key').fill(key);
await page.getByRole('button', { name: 'Sign in' }).click();
await page.locator('#reader').waitFor();
await scan(first, 'accepted', 'Ada');
await scan(first, 'refused', 'Already used');
await scan(forged, 'refused', 'Not one of ours');
await page.evaluate(() => navigator.serviceWorker.ready.then(() => true));
await context.setOffline(true);
await scan(second, 'accepted', 'No network');
await scan(forged, 'refused', 'Not one of ours');
await scan(second, 'refused', 'Already used');
await scan('a bare id', 'refused', 'Cannot be checked without a network');
await page.locator('#standing', { hasText: '4 to tell' }).waitFor();
await page.reload();
await page.locator('#standing', { hasText: '4 to tell' }).waitFor();
await context.setOffline(false);
await page.locator('#standing', { hasText: 'All told' }).waitFor();
const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
if (wide > 1) throw new Error(`the page is ${wide} pixels wider than its window`);
await browser.close();
