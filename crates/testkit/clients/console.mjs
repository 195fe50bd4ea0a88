// console.mjs CHROMIUM < {"url", "key", "walk", "more"}: signs in to the console and walks through it, on a desktop
// and on a phone; fails unless each page shows what it must, fits its window, and loads without an error or a violation of its
// content policy, names every field once, and has no id twice. Where CONSOLE_PICTURES names a folder, a picture of each page that it
// looks at is kept there.
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

const forgiven = new Map();
/** Forgets that the page before was refused, which it was to be: browsers note that as an error. */
const faulty = (page) => forgiven.get(page)();

async function visit(name, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  forgiven.set(page, () => faults.splice(0, faults.length, ...faults.filter((fault) => !fault.includes('status of 422'))));
  const looked = async (what) => {
    // A page without its style yet is as wide as it likes.
    await page.waitForLoadState('load');
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 1) throw new Error(`${what} is ${wide} pixels wider than its ${name} window`);
    const unclear = await page.evaluate(() => {
      const ids = [...document.querySelectorAll('[id]')].map((it) => it.id);
      const bare = [...document.querySelectorAll('input:not([type="hidden"]), select, textarea')].filter(
        (it) => !it.labels.length && !it.ariaLabel && !it.getAttribute('aria-labelledby'),
      );
      return [...ids.filter((id, at) => ids.indexOf(id) < at), ...bare.map((it) => it.name)];
    });
    if (unclear.length > 0) throw new Error(`${what}, ${name}: ids that stand twice, or fields without a label: ${unclear}`);
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

walks.out = async (page, looked, name) => {
  const section = async (label, title = label) => {
    if (name === 'phone') await page.getByText('Menu', { exact: true }).click();
    await page.getByRole('navigation').getByRole('link', { name: label, exact: true }).click();
    await page.getByRole('heading', { level: 1, name: title, exact: true }).waitFor();
    await looked(label.toLowerCase());
  };
  await section('Webhooks');
  await page.getByText('failing', { exact: true }).waitFor();
  await page.getByRole('link', { name: 'New webhook' }).click();
  await looked('webhook-kinds');
  await page.getByRole('link', { name: 'Standard Webhooks', exact: true }).click();
  await looked('webhook-form');
  await page.getByLabel('Name').fill(`Receiver of ${name}`);
  await page.getByLabel('Address').fill('ftp://hooks.example.com/');
  await page.getByRole('button', { name: 'Make it' }).click();
  // The refusal stands beside its field, and what was typed is still there. Browsers note any 4xx as an error.
  await page.locator('#f-url-fault').waitFor();
  faulty(page);
  await looked('webhook-refused');
  await page.getByLabel('Address').fill('https://hooks.example.com/in');
  await page.getByRole('button', { name: 'Make it' }).click();
  await page.getByText('it is shown this once').waitFor();
  await looked('webhook-made');
  await page.getByRole('link', { name: 'I have it' }).click();
  await looked('webhook');
  await page.getByText('Replay', { exact: true }).click();
  await looked('webhook-replay');
  await section('Destinations');
  await page.goto(`${url}/destinations/${more.destination}`);
  await looked('destination');
  await page.getByRole('link', { name: 'Change' }).click();
  await looked('destination-form');
  await section('Deliveries');
  await page.getByLabel('Ended').selectOption('retrying');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.locator(`a[href="/console/deliveries/${more.webhook}/${more.event}"]`).first().click();
  await page.getByText('the receiver answered 503').first().waitFor();
  await looked('delivery');
  await page.getByRole('button', { name: 'Send again' }).click();
  await page.getByText('It is on its way once more.').waitFor();
  await page.goto(`${url}/deliveries/owed`);
  await looked('owed');
  await section('Backfills');
  await section('Syncs');
  await page.getByRole('link', { name: 'Members' }).first().click();
  await looked('sync');
  await section('Syncs');
  await page.getByRole('link', { name: 'New sync' }).click();
  await looked('sync-form');
  await page.getByLabel('Short name').fill(`rows-${name}`);
  await page.locator('#f-name').fill(`Rows of ${name}`);
  await page.getByLabel('Address').fill('http://warehouse.example.com/analytics');
  await page.getByLabel('User').fill('reader');
  await page.getByLabel('Password').fill('of nobody');
  await page.getByLabel('Query').fill('SELECT member_no, email FROM members');
  await page.locator('[data-place="external_id"]').getByRole('textbox').fill('$.member_no');
  await page.locator('[data-place="external_id"]').getByRole('textbox').press('Enter');
  await page.locator('[id="f-database.url-fault"]').waitFor();
  faulty(page);
  await looked('sync-refused');
  await page.getByLabel('Address').fill('postgresql://warehouse.example.com/analytics');
  await page.getByLabel('Password').fill('of nobody');
  await page.getByRole('button', { name: 'Make it' }).last().click();
  await page.getByText('The sync is made.').waitFor();
  await page.getByRole('link', { name: 'Change' }).click();
  await page.getByRole('heading', { level: 1, name: 'Change the sync' }).waitFor();
  if ((await page.locator('[data-place="external_id"] input').inputValue()) !== '$.member_no') throw new Error('the map is kept');
  await looked('sync-edit');
  await section('Inspectors');
};

// `more`: {"batch", "flow"}: a batch whose rows are held back, and a flow.
walks.mapping = async (page, looked, name) => {
  await page.goto(`${url}/batches`);
  await looked('batches');
  await page.goto(`${url}/batches/new`);
  await looked('upload');
  await page.goto(`${url}/batches/${more.batch}/map`);
  const says = page.getByRole('status').first();
  const place = (at) => page.locator(`[data-place="${at}"]`);
  const made = (at, text) => place(at).locator('[data-made]').filter({ hasText: text }).waitFor();
  await made('contact.email', '→ ada@example.com');
  await looked('map');
  // A value, then its place; then a place, and its value; and by the keyboard alone.
  await page.locator('.value', { hasText: 'Level' }).click();
  await says.filter({ hasText: '$.Level is chosen' }).waitFor();
  await place('fields.tier').getByRole('button', { name: 'Choose' }).click();
  await made('fields.tier', '→ gold');
  await place('balances.points').getByRole('button', { name: 'Choose' }).click();
  await page.locator('.value', { hasText: 'Score' }).click();
  await made('balances.points', '→ 10.5');
  await page.locator('.value', { hasText: 'Level' }).focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('Escape');
  if (await page.locator('.value[aria-pressed="true"]').count()) throw new Error('Escape lets go');
  await page.locator('.value', { hasText: 'Level' }).press('Enter');
  await place('contact.name').getByRole('button', { name: 'Choose' }).press('Enter');
  await made('contact.name', '→ gold');
  await place('contact.name').getByRole('button', { name: 'Remove' }).click();
  await page.waitForFunction(() => !document.querySelector('[data-place="contact.name"] [data-made]').textContent);
  // What does not fit is said as it is typed, and mended in the text beside.
  await place('balances.points').getByRole('textbox').fill('$.Level');
  await place('balances.points').locator('[data-fault]').filter({ hasText: 'from Level' }).waitFor();
  await looked('map-fault');
  await page.getByText('As YAML or JSON').click();
  await page.getByLabel('The whole map').fill('external_id: $.Nr\nfields: {tier: $.Level}\n');
  await page.waitForFunction(() => document.querySelector('[data-place="external_id"] input').value === '$.Nr');
  await made('fields.tier', '→ gold');
  await place('contact.email').getByRole('textbox').waitFor();
  if (await place('contact.email').getByRole('textbox').inputValue()) throw new Error('the fields follow the text');
  await page.goto(`${url}/flows`);
  await looked('flows');
  await page.goto(`${url}/flows/${more.flow}`);
  await looked('flow');
  await page.goto(`${url}/flows/${more.flow}/edit`);
  await page.locator('.value', { hasText: 'userId' }).click();
  await place('external_id').getByRole('button', { name: 'Choose' }).click();
  await made('external_id', '→ u-1');
  await page.getByRole('button', { name: 'Try it on the sample' }).click();
  await page.getByRole('heading', { name: 'What it would do' }).waitFor();
  await looked('flow-edit');
  if (name !== 'dark') return;
  await page.goto(`${url}/batches/${more.batch}/map`);
  await place('external_id').getByRole('textbox').fill('$.Nr');
  await page.getByRole('button', { name: 'Check the rows' }).click();
  await page.getByText('The rows are being checked.').waitFor();
  await looked('batch');
};

walks.passes = async (page, looked, name) => {
  await page.locator('#tail[data-live]').waitFor();
  await looked('overview');
  const live = await page.context().newPage();
  await live.goto(url);
  await live.locator('#tail[data-live]').waitFor();
  await page.goto(`${url}/passes`);
  await looked('passes');
  await page.getByLabel('Find').fill('ada@example.com');
  await page.getByRole('button', { name: 'Find' }).click();
  await page.getByRole('link', { name: more.pass }).click();
  await page.getByRole('heading', { level: 1, name: 'Ada <i>Example</i>' }).waitFor();
  await page.getByText('As each phone draws it').click();
  const preview = page.frameLocator('iframe');
  await preview.getByText('iOS', { exact: false }).first().waitFor();
  await looked('pass');
  await page.getByText('Change …').click();
  await page.getByLabel('Add to points').fill('5');
  await page.getByRole('button', { name: 'Change it' }).dblclick();
  await page.getByText('It is changed.').waitFor();
  await live.locator('#tail li.new', { hasText: 'pass.updated' }).first().waitFor();
  await live.close();
  await page.getByText('Notify …').click();
  await looked('pass-notify');
  await page.goto(`${url}/source-events`);
  await looked('source-events');
  await page.getByRole('link', { name: 'track signed_up' }).click();
  await page.getByRole('heading', { level: 1, name: 'track signed_up' }).waitFor();
  await looked('source-event');
};

const { defaultBrowserType, ...phone } = devices['Pixel 5'];
await visit('desktop', { viewport: { width: 1280, height: 800 } });
await visit('phone', { ...phone, viewport: { width: 390, height: 844 } });
await visit('dark', { viewport: { width: 1280, height: 800 }, colorScheme: 'dark' });
await browser.close();
