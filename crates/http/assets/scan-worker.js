// Keeps the scanner page itself, so that it opens without a network. Answers of the API are never kept.

const KEPT = 'passbridge-scanner-1';
const FILES = ['/scan', '/assets/page.css', '/assets/scan.css', '/assets/scan.js', '/assets/scan-code.js'];

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll(FILES)).then(() => self.skipWaiting()));
});
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (event.request.method !== 'GET' || origin !== location.origin || !FILES.includes(pathname)) return;
  const fresh = async () => {
    const answer = await fetch(event.request);
    if (answer.ok) await (await caches.open(KEPT)).put(pathname, answer.clone());
    return answer;
  };
  event.respondWith(fresh().catch(() => caches.match(pathname)));
});
