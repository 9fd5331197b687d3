// Every TypeScript file below src/, as paths with forward slashes.
import { readdirSync } from "node:fs";

export function sources() {
  return readdirSync("src", { recursive: true, encoding: "utf8" })
    .map((path) => `src/${path.replaceAll("\\", "/")}`)
    .filter((path) => /\.tsx?$/.test(path))
    .sort();
}
