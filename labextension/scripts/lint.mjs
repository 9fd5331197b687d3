// Checks who may import whom: core knows nobody, ui knows core and preact, widget knows both.
// Nothing here may import JupyterLab: the same views are shown by hosts that are not JupyterLab.
import { build } from "esbuild";
import { sources } from "./sources.mjs";

const ALLOWED = {
  core: { rooms: ["core"], packages: [] },
  ui: { rooms: ["core", "ui"], packages: ["preact"] },
  widget: { rooms: ["core", "ui", "widget"], packages: [] },
};

const files = sources().filter((path) => !/\.test\.tsx?$/.test(path));
const { metafile } = await build({
  entryPoints: files,
  outdir: "unused",
  write: false,
  metafile: true,
  bundle: true,
  format: "esm",
  packages: "external",
  jsx: "automatic",
  jsxImportSource: "preact",
});

const roomOf = (path) => path.split("/")[1];
const faults = [];
for (const file of files) {
  const rule = ALLOWED[roomOf(file)];
  if (!rule) {
    faults.push(`${file}: no rule for this folder in scripts/lint.mjs`);
    continue;
  }
  for (const { path, external } of metafile.inputs[file].imports) {
    const name = path.split("/")[0];
    const allowed = external ? rule.packages.includes(name) : rule.rooms.includes(roomOf(path));
    if (!allowed) {
      faults.push(`${file} must not import ${path}`);
    }
  }
}
faults.forEach((fault) => console.error(fault));
console.log(`${files.length} files, ${faults.length} forbidden imports`);
process.exitCode = faults.length ? 1 : 0;
