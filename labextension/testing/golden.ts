/** The golden logs both folds are checked against, read from where the Python tests keep them. */
import { readdirSync, readFileSync } from "node:fs";
import { parseLog, type FleetEvent } from "../src/core/events";

const FOLDER = "../tests/golden";

export const GOLDEN = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".jsonl"))
  .map((name) => name.replace(".jsonl", ""));

export function goldenLog(name: string): FleetEvent[] {
  return parseLog(readFileSync(`${FOLDER}/${name}.jsonl`, "utf8"));
}

/** The same events as they travel: plain values nobody has checked yet. */
export function goldenItems(name: string): { seq: number; ts: number }[] {
  const lines = readFileSync(`${FOLDER}/${name}.jsonl`, "utf8").split("\n");
  return lines.filter(Boolean).map((line) => JSON.parse(line));
}

export function goldenTree(name: string): unknown {
  return JSON.parse(readFileSync(`${FOLDER}/${name}.tree.json`, "utf8"));
}
