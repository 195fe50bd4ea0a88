// passkit-generator, given the files in memory: the fastest way that it offers.
import { PKPass } from "passkit-generator";
import { fixture, measure } from "./measure.mjs";

const { files, pem, pass } = fixture();
const certificates = { wwdr: pem("intermediate.pem"), signerCert: pem("certificate.pem"), signerKey: pem("key.pem") };

await measure((serial) => {
  const json = Buffer.from(JSON.stringify({ ...pass, serialNumber: serial }));
  return new PKPass({ ...files, "pass.json": json }, certificates).getAsBuffer();
});
