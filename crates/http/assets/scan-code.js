// Checks signed and rotating codes in the browser, with the published keys alone. The format is that of crates/scan-code.

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const BASE62 = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ';
const CLAIM_BYTES = 27;
const PERIOD_SECONDS = 30;

const hex = (text) => Uint8Array.from(text.match(/../g) ?? [], (byte) => parseInt(byte, 16));
const joined = (...parts) => new Uint8Array(parts.flatMap((part) => [...part]));

function base32(text) {
  const bytes = [];
  let bits = 0;
  let word = 0;
  for (const letter of text.toUpperCase()) {
    const value = ALPHABET.indexOf(letter);
    if (value < 0) return null;
    word = (word << 5) | value;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((word >> bits) & 255);
      word &= (1 << bits) - 1;
    }
  }
  return word === 0 ? new Uint8Array(bytes) : null;
}

/** A pass's id as the server shows it. */
function shown(bytes) {
  let number = bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  let text = '';
  for (let index = 0; index < 22; index += 1) {
    text = BASE62[Number(number % 62n)] + text;
    number /= 62n;
  }
  return text;
}

/** Whether this browser can check signatures: only on https or localhost. */
export const canVerify = () => Boolean(globalThis.crypto?.subtle);

async function digitsAt(secret, step) {
  const key = await crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-1' }, false, ['sign']);
  const counter = new DataView(new ArrayBuffer(8));
  counter.setBigUint64(0, BigInt(Math.max(step, 0)));
  const tag = new DataView(await crypto.subtle.sign('HMAC', key, counter.buffer));
  const word = tag.getUint32(tag.getUint8(19) & 15) & 0x7fffffff;
  return String(word % 100_000_000).padStart(8, '0');
}

async function isFresh(rotationKey, claim, digits, seconds) {
  const key = await crypto.subtle.importKey('raw', rotationKey, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
  const secret = new Uint8Array(await crypto.subtle.sign('HMAC', key, claim.slice(1, 19))).slice(0, 20);
  const step = Math.floor(seconds / PERIOD_SECONDS);
  for (const near of [step, step - 1, step + 1]) {
    if ((await digitsAt(secret, near)) === digits) return true;
  }
  return false;
}

/**
 * What a code proves at a time: `{pass}` when it is genuine and valid, else `{reason}`, one of the server's names.
 * `ring` is the answer of GET /v1/scans/keys.
 */
export async function verify(text, ring, seconds) {
  const read = /^PB([12])\.([A-Z2-7]+)(?:\.([0-9]{8}))?$/i.exec(text.trim());
  if (!read) return { reason: /^PB[12]\./i.test(text.trim()) ? 'forged' : 'unsigned' };
  const [, form, body, digits] = read;
  const bytes = base32(body);
  if (bytes?.length !== CLAIM_BYTES + 64 || (form === '2') !== (digits !== undefined)) return { reason: 'forged' };
  const claim = bytes.slice(0, CLAIM_BYTES);
  const key = ring.keys.find((known) => known.number === claim[0]);
  if (!key) return { reason: 'forged' };
  const context = new TextEncoder().encode('passbridge scan code\0' + form);
  const publicKey = await crypto.subtle.importKey('raw', hex(key.public_key), { name: 'Ed25519' }, false, ['verify']);
  const message = joined(context, hex(ring.organization_hex), claim);
  if (!(await crypto.subtle.verify('Ed25519', publicKey, bytes.slice(CLAIM_BYTES), message))) return { reason: 'forged' };
  const view = new DataView(claim.buffer, claim.byteOffset);
  const [start, end] = [view.getUint32(19) * 60, view.getUint32(23) * 60];
  const pass = shown(claim.slice(1, 17));
  if (start && seconds < start) return { pass, reason: 'not_yet_valid' };
  if (end && seconds >= end) return { pass, reason: 'expired' };
  if (digits !== undefined) {
    if (!key.rotation_key) return { pass, reason: 'stale' };
    if (!(await isFresh(hex(key.rotation_key), claim, digits, seconds))) return { pass, reason: 'stale' };
  }
  return { pass };
}
