// The scanner page. With a network the server decides; without one the published keys do, and what was decided is told later.

import { canVerify, verify } from '/assets/scan-code.js';

const ANSWER_WITHIN_MS = 4000;
const TELL_EVERY_MS = 5000;
const MOST_AT_ONCE = 100;
const SHOWN = 20;
const WORDS = {
  already_used: 'Already used',
  used_today: 'Already used today',
  expired: 'Expired',
  not_yet_valid: 'Not valid yet',
  inactive: 'Not switched on yet',
  revoked: 'Revoked',
  deleted: 'Deleted',
  insufficient: 'Not enough left',
  wrong_project: 'For something else',
  unsigned: 'No signed code',
  superseded: 'An older code',
  stale: 'An old copy',
  forged: 'Not one of ours',
  by_reader: 'Turned away at the reader',
  unknown: 'Unknown',
  offline: 'Cannot be checked without a network',
};

const at = (id) => document.getElementById(id);
const state = JSON.parse(localStorage.getItem('passbridge-scanner') ?? '{}');
state.queue ??= [];
state.seen ??= {};
state.device ??= `reader-${crypto.getRandomValues(new Uint32Array(1))[0].toString(36)}`;
const save = () => localStorage.setItem('passbridge-scanner', JSON.stringify(state));

async function ask(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: { authorization: `Bearer ${state.key}`, ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  const json = await answer.json();
  // Anything but a fault of the moment is the server's word; only silence is for the keys to judge.
  if (answer.status >= 500 || answer.status === 429) throw new Error(json.detail);
  return { status: answer.status, json };
}

function show(tone, headline, lines) {
  const result = at('result');
  result.className = tone;
  result.replaceChildren();
  for (const [tag, text] of [['strong', headline], ...lines.filter(Boolean).map((line) => ['span', line])]) {
    const part = document.createElement(tag);
    part.textContent = text;
    result.append(part);
  }
  const entry = document.createElement('li');
  entry.textContent = `${new Date().toLocaleTimeString()} ${[headline, ...lines.filter(Boolean)].join(' · ')}`;
  at('history').prepend(entry);
  while (at('history').childElementCount > SHOWN) at('history').lastElementChild.remove();
}

function standing() {
  at('sign-in').hidden = Boolean(state.key);
  at('reader').hidden = !state.key;
  const waiting = state.queue.length;
  at('standing').textContent = waiting ? `${waiting} to tell` : 'All told';
  at('standing').dataset.waiting = String(waiting);
}

function answered(result) {
  const balances = Object.entries(result.booked ?? {}).map(([name, amount]) => `${name} ${amount}`).join(', ');
  const left = result.remaining === null || result.remaining === undefined ? null : `${result.remaining} left`;
  const lines = [result.holder, [result.project, result.variant].filter(Boolean).join(', '), balances, left];
  if (result.accepted) show('accepted', 'Accepted', lines);
  else show('refused', WORDS[result.reason] ?? result.reason, lines);
}

async function offline(item) {
  if (!state.ring || !canVerify()) return { reason: 'offline' };
  const verdict = await verify(item.code, state.ring, Date.parse(item.at) / 1000);
  if (verdict.reason === 'unsigned') return { reason: 'offline' };
  // Rules such as a limit are the server's; what this reader let in since it was last heard is not let in again.
  if (!verdict.reason && state.seen[verdict.pass]) return { pass: verdict.pass, reason: 'already_used' };
  return verdict;
}

function batch(scans) {
  const optional = { operator: state.operator, location: state.location, project: state.project };
  const given = Object.fromEntries(Object.entries(optional).filter(([, value]) => value));
  return { device: state.device, ...given, scans };
}

async function scan(code) {
  const item = { id: crypto.getRandomValues(new Uint32Array(4)).join('-'), code, at: new Date().toISOString() };
  try {
    const { status, json } = await ask('POST', '/v1/scans/batch', batch([{ ...item, accepted: null }]));
    if (status !== 200) return show('refused', 'The server refused', [json.detail]);
    const [one] = json.results;
    if (one.result) answered(one.result);
    else show('refused', 'Could not be scanned', [one.error?.message]);
    void tell();
  } catch {
    // The request may have arrived all the same: it is told again under the same id, and then counts once.
    const verdict = await offline(item);
    const accepted = !verdict.reason;
    if (accepted) state.seen[verdict.pass] = item.at;
    state.queue.push({ ...item, accepted });
    save();
    standing();
    show(accepted ? 'accepted' : 'refused', accepted ? 'Accepted' : WORDS[verdict.reason] ?? verdict.reason, [
      verdict.pass,
      'No network: told to the server later',
    ]);
  }
}

let telling = false;
async function tell() {
  if (telling || !state.key || !state.queue.length) return;
  telling = true;
  try {
    while (state.queue.length) {
      const part = state.queue.slice(0, MOST_AT_ONCE);
      const { status, json } = await ask('POST', '/v1/scans/batch', batch(part));
      if (status !== 200) return show('refused', 'The server does not take what is to be told', [json.detail]);
      const told = new Set(part.map((item) => item.id));
      state.queue = state.queue.filter((item) => !told.has(item.id));
      save();
      for (const one of json.results.filter((each) => each.conflict)) {
        const why = one.result ? WORDS[one.result.reason] ?? one.result.reason : one.error?.message;
        const title = one.result?.accepted ? 'Was turned away and counts as let in' : 'Was let in and must not';
        show('conflict', title, [why, one.result?.holder, one.result?.pass?.id]);
      }
    }
    state.seen = {};
    save();
  } catch {
    // Still no network; the next round tries again.
  } finally {
    telling = false;
    standing();
  }
}

async function signIn(key) {
  state.key = key;
  try {
    const { status, json } = await ask('GET', '/v1/scans/keys');
    if (status !== 200) {
      state.key = undefined;
      at('sign-in-fault').textContent = json.detail;
      return;
    }
    state.ring = json;
    at('sign-in-fault').textContent = '';
  } catch {
    if (!state.ring) {
      state.key = undefined;
      at('sign-in-fault').textContent = 'The server does not answer. Try again.';
      return;
    }
  }
  save();
  standing();
  at('code').focus();
  void tell();
}

function leave() {
  if (state.queue.length && !confirm('Scans are not told yet and would be lost. Sign out?')) return;
  localStorage.removeItem('passbridge-scanner');
  location.reload();
}

async function camera() {
  const video = at('camera');
  const detector = new BarcodeDetector();
  video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  video.hidden = false;
  await video.play();
  let last = '';
  let lastAt = 0;
  const look = async () => {
    const [found] = await detector.detect(video).catch(() => []);
    if (found && (found.rawValue !== last || Date.now() - lastAt > 4000)) {
      [last, lastAt] = [found.rawValue, Date.now()];
      await scan(found.rawValue);
    }
    setTimeout(look, 150);
  };
  void look();
}

at('sign-in').addEventListener('submit', (event) => {
  event.preventDefault();
  void signIn(at('key').value.trim());
});
at('scan').addEventListener('submit', (event) => {
  event.preventDefault();
  const code = at('code').value.trim();
  at('code').value = '';
  if (code) void scan(code);
});
for (const name of ['operator', 'location', 'project']) {
  at(name).value = state[name] ?? '';
  at(name).addEventListener('change', () => {
    state[name] = at(name).value.trim();
    save();
  });
}
at('sign-out').addEventListener('click', leave);
if ('BarcodeDetector' in globalThis && navigator.mediaDevices) {
  at('start-camera').hidden = false;
  at('start-camera').addEventListener('click', () => {
    camera().catch((error) => show('refused', 'The camera cannot be used', [error.message]));
  });
}
addEventListener('online', () => void tell());
setInterval(() => void tell(), TELL_EVERY_MS);
navigator.serviceWorker?.register('/scan/worker.js', { scope: '/scan' }).catch(() => {});
standing();
if (state.key) void signIn(state.key);
document.documentElement.dataset.ready = 'true';
