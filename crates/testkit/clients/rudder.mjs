// rudder.mjs DATA_PLANE WRITE_KEY < calls.json: sends `[{"type", …}]` with RudderStack's SDK for Node.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const RudderAnalytics = createRequire(import.meta.url)('@rudderstack/rudder-sdk-node');
const [dataPlaneUrl, writeKey] = process.argv.slice(2);
const calls = JSON.parse(readFileSync(0, 'utf8'));

const fail = (error) => {
  console.error(error?.response ? `${error.response.status} ${JSON.stringify(error.response.data)}` : error);
  process.exit(1);
};
const Client = RudderAnalytics.default ?? RudderAnalytics;
const client = new Client(writeKey, {
  dataPlaneUrl,
  flushAt: 100,
  flushInterval: 60000,
  errorHandler: fail,
});
for (const { type, ...call } of calls) client[type](call);
client.flush((error) => (error ? fail(error) : process.exit(0)));
