// sender.mjs KIND URL SECRET < body: sends a body as a vendor does, signed or wrapped by the vendor's own library for Node, and
// prints the status and the answer.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const [kind, url, secret] = process.argv.slice(2);
const body = readFileSync(0, 'utf8');
const json = { 'content-type': 'application/json' };

const kinds = {
  stripe() {
    const Stripe = require('stripe');
    const header = new Stripe('sk_test_none').webhooks.generateTestHeaderString({ payload: body, secret });
    return { headers: { ...json, 'stripe-signature': header }, body };
  },
  'standard-webhooks'() {
    const { Webhook } = require('standardwebhooks');
    const at = new Date();
    const signature = new Webhook(secret).sign('msg_node', at, body);
    const stamp = String(Math.floor(at.getTime() / 1000));
    return { headers: { ...json, 'webhook-id': 'msg_node', 'webhook-timestamp': stamp, 'webhook-signature': signature }, body };
  },
  // No library signs with Ed25519 yet; Node's own crypto does.
  'standard-webhooks-ed25519'() {
    const { createPrivateKey, sign } = require('node:crypto');
    const stamp = String(Math.floor(Date.now() / 1000));
    const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(secret, 'base64')]);
    const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
    const signature = sign(null, Buffer.from(`msg_ed.${stamp}.${body}`), key).toString('base64');
    return { headers: { ...json, 'webhook-id': 'msg_ed', 'webhook-timestamp': stamp, 'webhook-signature': `v1a,${signature}` }, body };
  },
  'cloudevents-binary'() {
    const { CloudEvent, HTTP } = require('cloudevents');
    return HTTP.binary(new CloudEvent(JSON.parse(body)));
  },
  'cloudevents-structured'() {
    const { CloudEvent, HTTP } = require('cloudevents');
    return HTTP.structured(new CloudEvent(JSON.parse(body)));
  },
};

const message = kinds[kind]();
const headers = kind.startsWith('cloudevents') ? { ...message.headers, authorization: `Bearer ${secret}` } : message.headers;
const answer = await fetch(url, { method: 'POST', headers, body: typeof message.body === 'string' ? message.body : JSON.stringify(message.body) });
console.log(answer.status, await answer.text());
