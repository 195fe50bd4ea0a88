// pages.mjs FOLDER < [{"url", "name", "device"?, "see": […]}]: opens pages in Chromium, on a phone or a desktop, leaves a
// screenshot of each in FOLDER and fails on a console error, a request to anywhere else, or a text that is not seen.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { chromium, devices } = createRequire(import.meta.url)('playwright-core');
const [folder, executablePath] = process.argv.slice(2);
const pages = JSON.parse(readFileSync(0, 'utf8'));
const faults = [];
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
for (const { url, name, device, see } of pages) {
  const fault = (what) => faults.push(`${name} (${url}): ${what}`);
  const { defaultBrowserType, ...phone } = devices[device] ?? { viewport: { width: 1280, height: 800 } };
  const context = await browser.newContext(phone);
  const page = await context.newPage();
  page.on('console', (message) => message.type() === 'error' && fault(`console: ${message.text()}`));
  page.on('pageerror', (error) => fault(`script: ${error}`));
  page.on('request', (request) => {
    const to = new URL(request.url());
    if (to.origin !== new URL(url).origin && !['data:', 'blob:'].includes(to.protocol)) fault(`asks ${to.origin}`);
  });
  const answer = await page.goto(url, { waitUntil: 'networkidle' });
  if (answer.status() !== 200) fault(`status ${answer.status()}`);
  const text = await page.locator('body').innerText();
  for (const words of see) if (!text.toLowerCase().includes(words.toLowerCase())) fault(`does not show “${words}”`);
  const { tall, wide, language, title, unnamed } = await page.evaluate(() => ({
    tall: document.documentElement.scrollHeight,
    wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    language: document.documentElement.lang,
    title: document.title,
    unnamed: [...document.images].filter((image) => !image.hasAttribute('alt')).length,
  }));
  if (wide > 1) fault(`is ${wide} pixels wider than its window`);
  if (!language || !title) fault('has no language or no title');
  if (unnamed) fault(`has ${unnamed} images without alt`);
  // The API's documentation is too tall for a picture of all of it.
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: tall < 10_000, timeout: 90_000 });
  await context.close();
}
await browser.close();
if (faults.length) {
  console.error(faults.join('\n'));
  process.exit(1);
}
