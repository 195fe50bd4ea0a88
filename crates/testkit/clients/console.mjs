// console.mjs CHROMIUM < {"url", "key", "walk", "more"}: signs in to the console and walks through it, on a desktop
// and on a phone; fails unless each page shows what it must, fits its window, and loads without an error or a violation of its
// content policy. Where CONSOLE_PICTURES names a folder, a picture of each page that it looks at is kept there.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { chromium, devices } = createRequire(import.meta.url)('playwright-core');
const [executablePath] = process.argv.slice(2);
const pictures = process.env.CONSOLE_PICTURES;
const { url, key, walk, more } = JSON.parse(readFileSync(0, 'utf8'));
const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});

async function visit(name, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  const looked = async (what) => {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 1) throw new Error(`${what} is ${wide} pixels wider than its ${name} window`);
    if (pictures) await page.screenshot({ path: `${pictures}/${what}-${name}.png`, fullPage: true });
    if (faults.length > 0) throw new Error(`${what}, ${name}: ${faults.join('; ')}`);
  };
  await page.goto(url);
  await looked('sign-in');
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor();
  await walks[walk](page, looked, name);
  await context.close();
}

const walks = {
  async frame(page, looked, name) {
    await looked('overview');
    if (name === 'phone') {
      await page.getByText('Menu', { exact: true }).click();
      await looked('menu');
    }
    await page.getByRole('navigation').getByRole('link', { name: 'Overview' }).click();
    if (name === 'phone') await page.getByText('Menu', { exact: true }).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
  },
};

const { defaultBrowserType, ...phone } = devices['Pixel 5'];
await visit('desktop', { viewport: { width: 1280, height: 800 } });
await visit('phone', { ...phone, viewport: { width: 390, height: 844 } });
await visit('dark', { viewport: { width: 1280, height: 800 }, colorScheme: 'dark' });
await browser.close();
