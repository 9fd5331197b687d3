/**
 * Python source as coloured pieces: enough to read a cell, not a parser.
 */

export interface Piece {
  text: string;
  /** Class suffix, or null for plain text. */
  kind: "comment" | "string" | "number" | "keyword" | "call" | null;
}

const KEYWORDS =
  "False|None|True|and|as|assert|async|await|break|case|class|continue|def|del|elif|else|except|finally|for|from|" +
  "global|if|import|in|is|lambda|match|nonlocal|not|or|pass|raise|return|try|while|with|yield";
/** What only exists in the sandbox stands out: these are where a cell thinks, recurses or answers. */
const CALLS = "llm_query|llm_query_batched|sub_rlm|sub_rlm_batched|SUBMIT";
const KINDS = ["comment", "string", "number", "keyword", "call"] as const;

const TOKEN = new RegExp(
  [
    /(#[^\n]*)/,
    /((?<![A-Za-z0-9_])[rRbBfFuU]{0,2}(?:"""[^]*?(?:"""|$)|'''[^]*?(?:'''|$)|"(?:\\[^]|[^"\\\n])*"?|'(?:\\[^]|[^'\\\n])*'?))/,
    /(\b\d[\w.]*)/,
    new RegExp(`\\b(${KEYWORDS})\\b`),
    new RegExp(`\\b(${CALLS})\\b`),
  ]
    .map((pattern) => pattern.source)
    .join("|"),
  "g",
);

/** The pieces of `code`; joined they are `code` again. */
export function highlight(code: string): Piece[] {
  const pieces: Piece[] = [];
  let end = 0;
  for (const match of code.matchAll(TOKEN)) {
    if (match.index > end) {
      pieces.push({ text: code.slice(end, match.index), kind: null });
    }
    const kind = KINDS[match.slice(1).findIndex((group) => group !== undefined)] ?? null;
    pieces.push({ text: match[0], kind });
    end = match.index + match[0].length;
  }
  if (end < code.length) {
    pieces.push({ text: code.slice(end), kind: null });
  }
  return pieces;
}
