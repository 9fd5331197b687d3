/**
 * Keys that belong to the element in focus, in a host that reads every key before the page does.
 *
 * JupyterLab looks at keys on the document, before any element: an arrow would move to another cell, "d d" would delete
 * one. It passes over elements with a certain attribute, and then over all keys, Ctrl+S too. So the attribute is set
 * from the window, which is asked even earlier, for each plain key and taken away for each one with a modifier.
 */
export function keepPlainKeys(element: HTMLElement): () => void {
  const decide = (event: KeyboardEvent) => {
    if (element.contains(event.target as Node)) {
      const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
      element.toggleAttribute("data-lm-suppress-shortcuts", plain);
    }
  };
  window.addEventListener("keydown", decide, true);
  return () => window.removeEventListener("keydown", decide, true);
}
