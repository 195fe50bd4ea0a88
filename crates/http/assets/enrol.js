// Sends an enrolment link's form by itself as soon as a person sees the page; without scripts, and for whoever comes back to
// it, there is the button.

const form = document.querySelector('form[data-by-itself]');
const [arrival] = performance.getEntriesByType('navigation');
let sent = false;

function send() {
  if (!form || sent || document.prerendering || document.visibilityState !== 'visible' || arrival?.type === 'back_forward') return;
  sent = true;
  form.requestSubmit();
}

document.addEventListener('visibilitychange', send);
document.addEventListener('prerenderingchange', send);
send();
