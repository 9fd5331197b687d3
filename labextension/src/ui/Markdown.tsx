/**
 * An answer as a reader wants it: paragraphs, headings, lists, tables and code of Markdown.
 *
 * Everything a model wrote stays text: elements are built, no HTML is parsed, and links and images are shown as they
 * were written, so that an answer can neither run anything nor fetch anything.
 */
import type { ComponentChildren } from "preact";

export function Markdown({ source }: { source: string }) {
  return <div class="flt-markdown">{blocks(source)}</div>;
}

const FENCE = /^\s*(```|~~~)/;
const HEADING = /^#{1,6}\s+(.*?)\s*#*$/;
const ITEM = /^\s*(?:[-*+]|(\d+)[.)])\s+(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

function blocks(source: string): ComponentChildren[] {
  const lines = source.replace(/\r\n?/g, "\n").split("\n");
  const out: ComponentChildren[] = [];
  let at = 0;
  const takeWhile = (test: (line: string) => boolean) => {
    const from = at;
    while (at < lines.length && test(lines[at] ?? "")) {
      at++;
    }
    return lines.slice(from, at);
  };
  const isTable = (index: number) => (lines[index] ?? "").includes("|") && TABLE_RULE.test(lines[index + 1] ?? "");
  while (at < lines.length) {
    const line = lines[at] ?? "";
    const fence = FENCE.exec(line)?.[1];
    if (!line.trim()) {
      at++;
    } else if (fence) {
      at++;
      const body = takeWhile((next) => !next.trim().startsWith(fence));
      at++;
      out.push(<pre class="flt-pre">{body.join("\n")}</pre>);
    } else if (HEADING.test(line)) {
      at++;
      out.push(<p class="flt-heading">{inline(HEADING.exec(line)?.[1] ?? "")}</p>);
    } else if (ITEM.test(line)) {
      out.push(list(takeWhile((next) => ITEM.test(next) || /^\s+\S/.test(next))));
    } else if (isTable(at)) {
      out.push(table(takeWhile((next) => next.includes("|"))));
    } else {
      at++;
      const rest = takeWhile((next) => next.trim() !== "" && ![FENCE, ITEM, HEADING].some((other) => other.test(next)));
      out.push(<p>{inline([line, ...rest].join("\n"))}</p>);
    }
  }
  return out;
}

function list(lines: string[]): ComponentChildren {
  const items: string[] = [];
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item) {
      items.push(item[2] ?? "");
    } else {
      items.push(`${items.pop() ?? ""}\n${line.trim()}`);
    }
  }
  const first = ITEM.exec(lines[0] ?? "")?.[1];
  const children = items.map((item) => <li>{inline(item)}</li>);
  return first === undefined ? <ul>{children}</ul> : <ol start={Number(first)}>{children}</ol>;
}

function table(lines: string[]): ComponentChildren {
  const cells = (line: string) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const [head, , ...body] = lines;
  return (
    <div class="flt-table">
      <table>
        <thead>
          <tr>{cells(head ?? "").map((cell) => <th>{inline(cell)}</th>)}</tr>
        </thead>
        <tbody>
          {body.map((line) => (
            <tr>{cells(line).map((cell) => <td>{inline(cell)}</td>)}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function inline(text: string): ComponentChildren[] {
  return text.split(/(`[^`\n]+`|\*\*[^*\n]+\*\*)/).map((part) => {
    if (part.length > 2 && part.startsWith("`") && part.endsWith("`")) {
      return <code>{part.slice(1, -1)}</code>;
    }
    if (part.length > 4 && part.startsWith("**") && part.endsWith("**")) {
      return <strong>{inline(part.slice(2, -2))}</strong>;
    }
    return part;
  });
}
