// @segment/actions-core: mapping-kit.mjs FOLDER SECONDS. Resolves the mapping of FOLDER/mapping.json until so many CPU
// seconds are spent, and prints one JSON line.
import { deepStrictEqual } from "node:assert";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { cpuSeconds } from "./measure.mjs";

const [folder, seconds] = process.argv.slice(2);
// Its ES modules import without file extensions, which Node refuses; its CommonJS build loads.
const { transform } = createRequire(import.meta.url)("@segment/actions-core/mapping-kit");
const { mapping, event, made } = JSON.parse(readFileSync(join(folder, "mapping.json"), "utf8"));
const STRETCH = 1000;

deepStrictEqual(transform(mapping, event), made);
for (let n = 0; n < STRETCH; n += 1) transform(mapping, event);
const from = cpuSeconds();
let [count, spent] = [0, 0];
while (spent < Number(seconds)) {
  for (let n = 0; n < STRETCH; n += 1) transform(mapping, event);
  count += STRETCH;
  spent = cpuSeconds() - from;
}
console.log(JSON.stringify({ count, cpu_seconds: spent }));
