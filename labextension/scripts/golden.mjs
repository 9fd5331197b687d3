// Rewrites tests/golden/*.tree.json from the logs beside them. Review the difference: both folds promise these files.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const folder = "../tests/golden";
const outfile = "node_modules/.cache/golden.mjs";
await build({
  stdin: { contents: 'export * from "./events"; export * from "./reducer";', resolveDir: "src/core" },
  outfile,
  bundle: true,
  format: "esm",
});
const { parseLog, fold, canonical } = await import(`../${outfile}`);

for (const log of readdirSync(folder).filter((name) => name.endsWith(".jsonl"))) {
  const tree = canonical(fold(parseLog(readFileSync(`${folder}/${log}`, "utf8"))));
  writeFileSync(`${folder}/${log.replace(".jsonl", ".tree.json")}`, `${JSON.stringify(tree, null, 1)}\n`);
}
