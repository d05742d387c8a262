// Texts that go along with a question: chosen, shown, taken back. What is no text, or too long, is said and not taken.

/** As chat-backend has them. */
const MAX_FILES = 4;
const MAX_CHARS = 50_000;
const MAX_NAME_CHARS = 120;

export interface Attachment {
  name: string;
  content: string;
}

export class Attachments {
  readonly #field: HTMLInputElement;
  readonly #list: HTMLElement;
  readonly #say: (problem: string) => void;
  #all: Attachment[] = [];

  constructor(field: HTMLInputElement, list: HTMLElement, say: (problem: string) => void) {
    this.#field = field;
    this.#list = list;
    this.#say = say;
  }

  start(button: HTMLButtonElement, files: HTMLInputElement): void {
    button.hidden = false;
    button.addEventListener("click", () => files.click());
    files.addEventListener("change", () => {
      const chosen = [...(files.files ?? [])];
      files.value = "";
      void this.add(chosen);
    });
  }

  get all(): readonly Attachment[] {
    return this.#all;
  }

  async add(files: File[]): Promise<void> {
    for (const file of files) {
      if (this.#all.length >= MAX_FILES) return this.#say(`At most ${MAX_FILES} files go with one message.`);
      const problem = await this.#take(file);
      if (problem !== undefined) this.#say(`${file.name}: ${problem}`);
    }
  }

  /** Takes all back. */
  clear(): void {
    this.set([]);
  }

  set(all: readonly Attachment[]): void {
    this.#all = [...all];
    this.#show();
  }

  async #take(file: File): Promise<string | undefined> {
    // A character takes four bytes at the most, so that nothing larger need be read.
    if (file.size > 4 * MAX_CHARS) return "this file is too long.";
    let content: string;
    try {
      content = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    } catch {
      return "this file is no text.";
    }
    if (content.includes("\0")) return "this file is no text.";
    if (content === "") return "this file is empty.";
    if ([...content].length > MAX_CHARS) return "this file is too long.";
    this.#all.push({ name: [...file.name].slice(0, MAX_NAME_CHARS).join(""), content });
    this.#show();
    return undefined;
  }

  #show(): void {
    this.#field.value = this.#all.length > 0 ? JSON.stringify(this.#all) : "";
    this.#list.hidden = this.#all.length === 0;
    this.#list.replaceChildren(
      ...this.#all.map((attachment, place) => {
        const item = document.createElement("li");
        const remove = document.createElement("button");
        remove.type = "button";
        remove.className = "plain";
        remove.textContent = "×";
        remove.setAttribute("aria-label", `Remove ${attachment.name}`);
        remove.addEventListener("click", () => this.set(this.#all.filter((_, other) => other !== place)));
        item.append(attachment.name, remove);
        return item;
      }),
    );
  }
}
