/**
 * A rich output of generated code: pictures as pictures, everything else as its plain text.
 *
 * HTML and scripts are never run here: the code that made them is not trusted. An SVG is drawn as an image, where a
 * browser runs none of its scripts and loads nothing for it.
 */

const PICTURES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

export function Display({ mimebundle }: { mimebundle: Record<string, unknown> }) {
  const plain = mimebundle["text/plain"];
  const label = typeof plain === "string" ? plain : "";
  const source = picture(mimebundle);
  if (source) {
    return <img class="flt-picture" src={source} alt={label} />;
  }
  return label ? <pre class="flt-pre">{label}</pre> : null;
}

/** The address of the bundle's picture, null where it has none. */
export function picture(mimebundle: Record<string, unknown>): string | null {
  for (const mime of PICTURES) {
    const data = mimebundle[mime];
    if (typeof data === "string") {
      return `data:${mime};base64,${data.replace(/\s/g, "")}`;
    }
  }
  const svg = mimebundle["image/svg+xml"];
  return typeof svg === "string" ? `data:image/svg+xml,${encodeURIComponent(svg)}` : null;
}
