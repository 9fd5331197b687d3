/** A document to render into, for tests that run without a browser; import it before anything that renders. */
import { Window } from "happy-dom";

const window = new Window();
for (const name of ["document", "HTMLElement", "Event", "KeyboardEvent", "MouseEvent"] as const) {
  Object.defineProperty(globalThis, name, { value: window[name], configurable: true });
}
Object.defineProperty(globalThis, "window", { value: window, configurable: true });
// Frames come when the test says so, as they do not come at all in a page nobody looks at.
let frames: (() => void)[] = [];
Object.assign(globalThis, {
  requestAnimationFrame: (callback: () => void) => frames.push(callback),
  cancelAnimationFrame: () => undefined,
});

/** Let effects run and draw every frame asked for, until the page is at rest. */
export async function drawn(): Promise<void> {
  for (let quiet = 0; quiet < 3; quiet++) {
    await new Promise((resolve) => setTimeout(resolve));
    const due = frames;
    frames = [];
    due.forEach((frame) => frame());
    quiet = due.length ? 0 : quiet;
  }
}

/** How many frames the page has asked for and not been given. */
export function framesDue(): number {
  return frames.length;
}

export function freshElement(): HTMLElement {
  document.body.replaceChildren(document.createElement("div"));
  return document.body.firstElementChild as HTMLElement;
}
