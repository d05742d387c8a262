// The list of messages: adds to it, and stays at its end unless the reader scrolled away. What is being written and what is kept
// comes from the server as HTML, which makes of it the few elements that there may be.
import htmx from "htmx.org";
import { addCopyButtons } from "./copy";
import { morph } from "./morph";

/** How far from the end still counts as reading along, in CSS pixels. */
const NEAR_END_PX = 80;

export class Messages {
  readonly #list: HTMLElement;
  readonly #scroller: HTMLElement;
  readonly #template: HTMLTemplateElement;

  constructor(list: HTMLElement, scroller: HTMLElement, template: HTMLTemplateElement) {
    this.#list = list;
    this.#scroller = scroller;
    this.#template = template;
  }

  /** Adds an empty or whole message and gives it. */
  add(role: "user" | "assistant", text: string): Message {
    const fragment = this.#template.content.cloneNode(true) as DocumentFragment;
    const element = fragment.querySelector<HTMLElement>(".message");
    const author = element?.querySelector(".author");
    const content = element?.querySelector<HTMLElement>(".content");
    if (!element || !author || !content) throw new Error("the template of a message is not complete");
    element.dataset["role"] = role;
    author.textContent = role === "user" ? "You" : "Chat";
    content.textContent = text;
    content.classList.toggle("prose", role === "assistant");
    this.#list.append(fragment);
    this.toEnd();
    return new Message(this, element, content);
  }

  /** Takes a message and all that follow out of sight; gives what brings them back. */
  cut(from: Element): () => void {
    const gone: Element[] = [];
    for (let next: Element | null = from; next !== null; next = next.nextElementSibling) gone.push(next);
    for (const element of gone) element.remove();
    return () => this.#list.append(...gone);
  }

  /** The id of the last message that is kept; empty where there is none. */
  get last(): string {
    return [...this.#list.querySelectorAll(".message[id]")].at(-1)?.id ?? "";
  }

  find(id: string): Element | null {
    return id === "" ? null : this.#list.querySelector(`#${CSS.escape(id)}`);
  }

  /** Shows what is kept of a conversation, in place of what was put together here. */
  async reload(conversation: string): Promise<void> {
    const answer = await fetch(`/c/${conversation}/messages`, { headers: { "hx-request": "true" } }).catch(() => undefined);
    if (!answer?.ok) return;
    const atEnd = this.isAtEnd();
    const kept = parsed(await answer.text());
    this.#replace([...kept.children]);
    htmx.process(this.#list);
    addCopyButtons(this.#list);
    if (atEnd) this.toEnd();
  }

  /** Puts these in place of all, where a text that is there already stays: it may be being read. */
  #replace(fresh: Element[]): void {
    const madeHere = [...this.#list.querySelectorAll<HTMLElement>(".message:not([id])")];
    fresh.forEach((message, n) => {
      const role = message instanceof HTMLElement ? message.dataset["role"] : undefined;
      const other = madeHere.findIndex((made) => made.dataset["role"] === role);
      const was = this.find(message.id) ?? madeHere.splice(other, other < 0 ? 0 : 1)[0];
      const [content, before] = [message.querySelector(":scope > .content"), was?.querySelector(":scope > .content")];
      if (was && content && before) {
        for (const name of ["class", "aria-busy"]) was.removeAttribute(name);
        for (const { name, value } of message.attributes) was.setAttribute(name, value);
        before.className = content.className;
        morph(before, content);
        // All around the text is new, the text itself is not moved.
        for (const node of [...was.childNodes]) if (node !== before) node.remove();
        let isBefore = true;
        for (const node of [...message.childNodes]) {
          if (node === content) isBefore = false;
          else if (isBefore) was.insertBefore(node, before);
          else was.append(node);
        }
      }
      const shown = was && content && before ? was : message;
      const there = this.#list.children[n];
      if (there !== shown) this.#list.insertBefore(shown, there ?? null);
    });
    while (this.#list.children.length > fresh.length) this.#list.lastElementChild?.remove();
  }

  isEmpty(): boolean {
    return this.#list.childElementCount === 0;
  }

  isAtEnd(): boolean {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroller;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  toEnd(): void {
    this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }
}

/** What may be put into the page; scripts in it would not run, and there are none. */
function parsed(html: string): DocumentFragment {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

export class Message {
  readonly #messages: Messages;
  readonly #element: HTMLElement;
  readonly #content: HTMLElement;
  #html = "";
  #frame = 0;
  #notice: HTMLElement | undefined;

  constructor(messages: Messages, element: HTMLElement, content: HTMLElement) {
    this.#messages = messages;
    this.#element = element;
    this.#content = content;
  }

  /** What was said, without what this page has added. */
  get text(): string {
    return parsed(this.#html).textContent ?? "";
  }

  set writing(writing: boolean) {
    this.#element.classList.toggle("writing", writing);
    this.#element.setAttribute("aria-busy", String(writing));
    if (!writing) this.#draw();
  }

  /** It is told from its beginning again. What is there stays until then. */
  restart(): void {
    this.#html = "";
  }

  /** The first `keep` UTF-16 units of what was said stay, `html` follows them. */
  patch(keep: number, html: string): void {
    this.#html = this.#html.slice(0, keep) + html;
    // At most once a frame, however it arrives.
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  #draw(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    if (this.#html === "") return;
    const follow = this.#messages.isAtEnd();
    morph(this.#content, parsed(this.#html));
    addCopyButtons(this.#content);
    if (follow) this.#messages.toEnd();
  }

  /** A word below the text for as long as it is true; empty for none. */
  set notice(text: string) {
    this.#notice?.remove();
    this.#notice = text === "" ? undefined : this.note(text);
  }

  /** A word below the text: that it was stopped, or why it is not whole. */
  note(text: string): HTMLElement {
    const note = document.createElement("p");
    note.className = "note";
    note.textContent = text;
    this.#element.append(note);
    this.#messages.toEnd();
    return note;
  }

  remove(): void {
    cancelAnimationFrame(this.#frame);
    this.#element.remove();
  }
}
