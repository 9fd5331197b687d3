// Builds the run widget into the Python package: one ES module and one style sheet, not committed.
// The module is stored in every saved widget, so a build over the limit fails.
import { statSync } from "node:fs";
import { build } from "esbuild";

const LIMIT = 150_000;
const outdir = "../fleet_rlm/_static";

await build({
  entryPoints: { widget: "src/widget/index.ts" },
  outdir,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "none",
});

for (const name of ["widget.js", "widget.css"]) {
  const { size } = statSync(`${outdir}/${name}`);
  console.log(`${name} ${(size / 1000).toFixed(1)} kB`);
  if (size > LIMIT) {
    console.error(`${name} is over its limit of ${LIMIT / 1000} kB`);
    process.exitCode = 1;
  }
}
