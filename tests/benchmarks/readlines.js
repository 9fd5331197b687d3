// The one function that dspy's runner.js imports from a remote library: the lines of a reader, without their ends.
export async function* readLines(reader) {
  const decoder = new TextDecoderStream();
  let rest = "";
  for await (const text of reader.readable.pipeThrough(decoder)) {
    const pieces = text.split("\n");
    if (pieces.length === 1) {
      rest += text;
      continue;
    }
    yield rest + pieces[0];
    yield* pieces.slice(1, -1);
    rest = pieces[pieces.length - 1];
  }
  if (rest) yield rest;
}
