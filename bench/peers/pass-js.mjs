// @walletpass/pass-js: a template with the images loaded once, as its documentation advises.
import { fixture, measure } from "./measure.mjs";

const { files, pem, pass } = fixture();
// Read when the library is loaded; without it, it embeds Apple's own intermediate.
process.env.APPLE_WWDR_CERT_PEM = pem("intermediate.pem");
const { Template } = await import("@walletpass/pass-js");

const { storeCard, ...keys } = pass;
const template = new Template("storeCard", { ...keys, storeCard });
for (const [name, bytes] of Object.entries(files)) {
  const [, kind, , scale] = /^(\w+)(@(\d)x)?\.png$/.exec(name);
  await template.images.add(kind, bytes, scale ? `${scale}x` : undefined);
}
template.setCertificate(pem("certificate.pem"));
template.setPrivateKey(pem("key.pem"));

await measure((serial) => template.createPass({ serialNumber: serial }).asBuffer());
