// What the Node peers share: node PEER.mjs FOLDER ASSETS SECONDS OUT
// Reads the fixture, signs passes with serials of their own until so many CPU seconds are spent, and prints one JSON line.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const [folder, assets, seconds, out] = process.argv.slice(2);
const WARM_UP_PASSES = 20;
const KEPT_PASSES = 3;

export function fixture() {
  const read = (name) => [name, readFileSync(join(folder, assets, name))];
  const files = Object.fromEntries(readdirSync(join(folder, assets)).map(read));
  const pem = (name) => readFileSync(join(folder, name), "utf8");
  return { folder: join(folder, assets), files, pem, pass: JSON.parse(pem("pass.json")) };
}

export const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

export async function measure(sign) {
  for (let n = 0; n < WARM_UP_PASSES; n += 1) await sign(`warm-${n}`);
  const from = cpuSeconds();
  let passes = 0;
  let spent = 0;
  while (spent < Number(seconds)) {
    const bytes = await sign(`peer-${passes}`);
    if (passes < KEPT_PASSES) writeFileSync(`${out}-${passes}.pkpass`, bytes);
    passes += 1;
    spent = cpuSeconds() - from;
  }
  console.log(JSON.stringify({ count: passes, cpu_seconds: spent }));
}
