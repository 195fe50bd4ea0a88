// segment_sdk.mjs DATA_PLANE WRITE_KEY < calls.json: sends `[{"type", …}]` with Segment's SDK for Node.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { Analytics } = createRequire(import.meta.url)('@segment/analytics-node');
const [dataPlane, writeKey] = process.argv.slice(2);
const { origin: host, pathname } = new URL(dataPlane);
const calls = JSON.parse(readFileSync(0, 'utf8'));
const client = new Analytics({ writeKey, host, path: `${pathname}/v1/batch`, maxRetries: 1 });
client.on('error', (error) => {
  console.error(error);
  process.exit(1);
});
for (const { type, ...call } of calls) client[type](call);
await client.closeAndFlush();
