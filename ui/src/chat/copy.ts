// Buttons that copy: code in answers, links, keys. They are made here, since without scripts there is nothing to press.

/** How long the button says that it has copied. */
const SAID_MS = 2_000;

/** Adds what is missing below `root`. */
export function addCopyButtons(root: ParentNode): void {
  for (const block of root.querySelectorAll<HTMLElement>(".code:not(:has(> .copy))")) {
    block.append(button("Copy code", () => block.querySelector("code")?.textContent ?? ""));
  }
  for (const field of root.querySelectorAll<HTMLInputElement>("input[data-copy]:not(:has(+ .copy))")) {
    field.after(button("Copy", () => field.value));
  }
}

function button(words: string, text: () => string): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "plain copy";
  made.textContent = words;
  made.addEventListener("click", () => {
    const said = (what: string) => {
      made.textContent = what;
      setTimeout(() => (made.textContent = words), SAID_MS);
    };
    // On a page that came by plain HTTP there is no clipboard; that counts as not copied.
    const copied = async () => navigator.clipboard.writeText(text());
    copied().then(
      () => said("Copied"),
      () => said("Not copied"),
    );
  });
  return made;
}
