// The list of messages: adds to it, and stays at its end unless the reader scrolled away. What is being written is text; what is
// kept comes from the server, which makes of it the few elements that there may be.
import htmx from "htmx.org";
import { addCopyButtons } from "./copy";

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

  /** Shows what is kept of a conversation, in place of what was put together here. */
  async reload(conversation: string): Promise<void> {
    const answer = await fetch(`/c/${conversation}/messages`, { headers: { "hx-request": "true" } }).catch(() => undefined);
    if (!answer?.ok) return;
    const atEnd = this.isAtEnd();
    this.#list.innerHTML = await answer.text();
    htmx.process(this.#list);
    addCopyButtons(this.#list);
    if (atEnd) this.toEnd();
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

export class Message {
  readonly #messages: Messages;
  readonly #element: HTMLElement;
  readonly #content: HTMLElement;

  constructor(messages: Messages, element: HTMLElement, content: HTMLElement) {
    this.#messages = messages;
    this.#element = element;
    this.#content = content;
  }

  get text(): string {
    return this.#content.textContent ?? "";
  }

  set writing(writing: boolean) {
    this.#element.classList.toggle("writing", writing);
    this.#element.setAttribute("aria-busy", String(writing));
  }

  append(text: string): void {
    const follow = this.#messages.isAtEnd();
    this.#content.append(text);
    if (follow) this.#messages.toEnd();
  }

  /** A word below the text: that it was stopped, or why it is not whole. */
  note(text: string): void {
    const note = document.createElement("p");
    note.className = "note";
    note.textContent = text;
    this.#element.append(note);
    this.#messages.toEnd();
  }

  remove(): void {
    this.#element.remove();
  }
}
