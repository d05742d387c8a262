// The form at the foot of the page: Enter sends, Shift+Enter breaks the line, Escape stops.
import { ask, type AnswerEvent } from "./answer";
import type { Credits } from "./credits";
import type { Message, Messages } from "./messages";

type Failure = Extract<AnswerEvent, { kind: "failed" }>;

/** When to look at the balance after a stop: the server settles what was delivered a moment later. */
const AFTER_STOP_MS = [400, 1_500];

export interface Parts {
  form: HTMLFormElement;
  prompt: HTMLTextAreaElement;
  send: HTMLButtonElement;
  stop: HTMLButtonElement;
  conversation: HTMLInputElement;
  status: HTMLElement;
  problem: HTMLElement;
  welcome: HTMLElement;
  heading: HTMLElement;
  /** Rename and delete, once there is a conversation. */
  options: HTMLElement;
}

export class Composer {
  readonly #parts: Parts;
  readonly #messages: Messages;
  readonly #credits: Credits;
  #running: AbortController | undefined;

  constructor(parts: Parts, messages: Messages, credits: Credits) {
    this.#parts = parts;
    this.#messages = messages;
    this.#credits = credits;
  }

  start(): void {
    const { form, prompt, stop } = this.#parts;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#send();
    });
    form.addEventListener("change", () => this.update());
    stop.addEventListener("click", () => this.#running?.abort());
    prompt.addEventListener("input", () => this.update());
    prompt.addEventListener("keydown", (event) => {
      // While an input method composes a character, Enter chooses it.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.#running?.abort();
    });
    this.update();
  }

  /** Fills in a question without sending it. */
  fill(text: string): void {
    this.#parts.prompt.value = text;
    this.#parts.prompt.focus();
    this.update();
  }

  update(): void {
    const { prompt, send, stop } = this.#parts;
    const running = this.#running !== undefined;
    this.#credits.show();
    send.hidden = running;
    stop.hidden = !running;
    send.disabled = prompt.value.trim() === "" || !this.#credits.cover;
    prompt.style.height = "auto";
    prompt.style.height = `${prompt.scrollHeight}px`;
  }

  async #send(): Promise<void> {
    const { form, prompt, problem, status, welcome } = this.#parts;
    const question = prompt.value.trim();
    if (question === "" || this.#running || !this.#credits.cover) return;
    const running = new AbortController();
    this.#running = running;
    problem.hidden = true;
    welcome.hidden = true;
    const asked = this.#messages.add("user", question);
    const answer = this.#messages.add("assistant", "");
    answer.writing = true;
    status.textContent = "Chat is answering. Press Escape to stop.";
    const sent = ask(form, running.signal, (event) => this.#on(event, question, asked, answer));
    prompt.value = "";
    this.update();
    try {
      await sent;
    } catch {
      this.#stopped(answer);
    }
    answer.writing = false;
    this.#running = undefined;
    this.update();
    prompt.focus({ preventScroll: true });
  }

  #on(event: AnswerEvent, question: string, asked: Message, answer: Message): void {
    const { status } = this.#parts;
    switch (event.kind) {
      case "start":
        return this.#opened(event.conversationId, question);
      case "delta":
        return answer.append(event.content);
      case "done":
        this.#credits.left = event.credits;
        // Once and whole: announcing each word would bury the reader.
        status.textContent = `Chat says: ${answer.text} — ${this.#credits.words} left.`;
        document.body.dispatchEvent(new Event("conversations-changed"));
        return;
      case "failed":
        return this.#failed(event, question, asked, answer);
    }
  }

  /** A new conversation has an address now; reloading the page shows it. */
  #opened(id: string, question: string): void {
    const { conversation, heading } = this.#parts;
    if (conversation.value === id) return;
    conversation.value = id;
    heading.textContent = question;
    history.replaceState(null, "", `/c/${id}`);
    this.#parts.options.hidden = false;
    for (const form of this.#parts.options.querySelectorAll<HTMLFormElement>("form[data-does]")) {
      form.action = `/c/${id}/${form.dataset["does"]}`;
    }
  }

  #failed(failure: Failure, question: string, asked: Message, answer: Message): void {
    const { prompt, problem, status, welcome, conversation, options } = this.#parts;
    const { code, message, kept } = failure;
    if (code === "signed_out") return location.assign("/login?ended");
    if (code === "out_of_credits") void this.#credits.refresh().then(() => this.update());
    if (kept === false) {
      // Made for this question alone, and gone with it.
      conversation.value = "";
      history.replaceState(null, "", "/");
      options.hidden = true;
    }
    if (prompt.value === "") prompt.value = question;
    if (answer.text === "") {
      // Nothing was said, so nothing is kept: the question goes back to where it can be sent again.
      answer.remove();
      asked.remove();
      welcome.hidden = !this.#messages.isEmpty();
    } else {
      answer.note(message);
    }
    problem.textContent = message;
    problem.hidden = false;
    status.textContent = "";
  }

  #stopped(answer: Message): void {
    answer.note("Stopped.");
    this.#parts.status.textContent = "Stopped.";
    for (const after of AFTER_STOP_MS) {
      setTimeout(() => {
        void this.#credits.refresh().then(() => this.update());
        document.body.dispatchEvent(new Event("conversations-changed"));
      }, after);
    }
  }
}
