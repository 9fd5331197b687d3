// Runs every src/**/*.test.ts(x) under node's own test runner, compiled by the bundler that builds the widget.
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { build } from "esbuild";
import { sources } from "./sources.mjs";

const outdir = "node_modules/.cache/tests";
rmSync(outdir, { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: sources().filter((path) => /\.test\.tsx?$/.test(path)),
  outdir,
  outbase: "src",
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  external: ["happy-dom"],
  jsx: "automatic",
  jsxImportSource: "preact",
  loader: { ".css": "empty" },
  sourcemap: "inline",
  metafile: true,
  outExtension: { ".js": ".mjs" },
});
const files = Object.keys(metafile.outputs)
  .filter((path) => path.endsWith(".test.mjs"))
  .map((path) => resolve(path));
// Through the API, because the command line passes over everything below node_modules.
run({ files, concurrency: 2 })
  .on("test:fail", () => (process.exitCode = 1))
  .compose(spec)
  .pipe(process.stdout);
