// The form at the foot of the page: Enter sends, Shift+Enter breaks the line, Escape stops.
import { ask, type AnswerEvent } from "./answer";
import type { Attachments } from "./attachments";
import type { Credits } from "./credits";
import type { Message, Messages } from "./messages";

type Failure = Extract<AnswerEvent, { kind: "failed" }>;

/** When to look at the balance after a stop: the server settles what was delivered a moment later. */
const AFTER_STOP_MS = [400, 1_500];

/** When to look for the name that the model gives a new conversation. */
const AFTER_FIRST_MS = [2_000, 6_000, 15_000];

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
  readonly #attachments: Attachments;
  #running: AbortController | undefined;

  constructor(parts: Parts, messages: Messages, credits: Credits, attachments: Attachments) {
    this.#parts = parts;
    this.#messages = messages;
    this.#credits = credits;
    this.#attachments = attachments;
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
    // Messages come and go, so their forms are listened to from above.
    document.addEventListener("submit", (event) => {
      const again = event.target;
      if (!(again instanceof HTMLFormElement) || again.closest(".message") === null) return;
      const does = again.dataset["does"];
      if (does !== "edit" && does !== "regenerate") return;
      event.preventDefault();
      void this.#again(again, does);
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
    const { form, prompt, welcome } = this.#parts;
    const question = prompt.value.trim();
    if (question === "" || this.#running || !this.#credits.cover) return;
    welcome.hidden = true;
    const attached = this.#attachments.all;
    const asked = this.#messages.add("user", question);
    for (const { name } of attached) asked.note(`Attached: ${name}`);
    const body = new FormData(form);
    prompt.value = "";
    this.#attachments.clear();
    await this.#ask(form.action, body, question, () => {
      if (prompt.value === "") prompt.value = question;
      this.#attachments.set(attached);
      asked.remove();
      welcome.hidden = !this.#messages.isEmpty();
    });
    prompt.focus({ preventScroll: true });
  }

  /** Asks an edited question, or for another answer: what follows goes out of sight, and comes back if nothing comes of it. */
  async #again(again: HTMLFormElement, does: "edit" | "regenerate"): Promise<void> {
    const message = again.closest(".message");
    if (this.#running || !this.#credits.cover || message === null) return;
    const body = new FormData(again);
    const model = new FormData(this.#parts.form).get("model");
    if (model !== null) body.set("model", model);
    const question = String(body.get("prompt") ?? "").trim();
    if (does === "edit" && question === "") return;
    const back = this.#messages.cut(message);
    const asked = does === "edit" ? this.#messages.add("user", question) : undefined;
    await this.#ask(again.action, body, question, () => {
      asked?.remove();
      back();
    });
    this.#parts.prompt.focus({ preventScroll: true });
  }

  /** Sends a question and shows the answer; `undo` puts things back where nothing was said. */
  async #ask(action: string, body: FormData, question: string, undo: () => void): Promise<void> {
    const { problem, status } = this.#parts;
    const running = new AbortController();
    this.#running = running;
    problem.hidden = true;
    const answer = this.#messages.add("assistant", "");
    answer.writing = true;
    status.textContent = "Chat is answering. Press Escape to stop.";
    const sent = ask(action, body, running.signal, (event) => this.#on(event, question, answer, undo));
    this.update();
    try {
      await sent;
    } catch {
      this.#stopped(answer, undo);
    }
    answer.writing = false;
    this.#running = undefined;
    this.update();
  }

  #on(event: AnswerEvent, question: string, answer: Message, undo: () => void): void {
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
        this.#listChanged();
        void this.#messages.reload(this.#parts.conversation.value);
        return;
      case "failed":
        return this.#failed(event, answer, undo);
    }
  }

  /** A new conversation has an address now; reloading the page shows it. */
  #opened(id: string, question: string): void {
    const { conversation, heading } = this.#parts;
    if (conversation.value === id) return;
    conversation.value = id;
    heading.textContent = question;
    for (const after of AFTER_FIRST_MS) setTimeout(() => this.#listChanged(), after);
    history.replaceState(null, "", `/c/${id}`);
    this.#parts.options.hidden = false;
    for (const form of this.#parts.options.querySelectorAll<HTMLFormElement>("form[data-does]")) {
      form.action = `/c/${id}/${form.dataset["does"]}`;
    }
    for (const link of this.#parts.options.querySelectorAll<HTMLAnchorElement>("a[data-does]")) {
      link.href = `/c/${id}/${link.dataset["does"]}`;
    }
  }

  #failed(failure: Failure, answer: Message, undo: () => void): void {
    const { problem, status, conversation, options } = this.#parts;
    const { code, message, kept } = failure;
    if (code === "signed_out") return location.assign("/login?ended");
    if (code === "out_of_credits") void this.#credits.refresh().then(() => this.update());
    if (kept === false) {
      // Made for this question alone, and gone with it.
      conversation.value = "";
      history.replaceState(null, "", "/");
      options.hidden = true;
    }
    if (answer.text === "") {
      // Nothing was said, so nothing is kept: the question goes back to where it can be sent again.
      answer.remove();
      undo();
    } else {
      answer.note(message);
    }
    problem.textContent = message;
    problem.hidden = false;
    status.textContent = "";
  }

  #stopped(answer: Message, undo: () => void): void {
    const begun = answer.text !== "";
    if (begun) {
      answer.note("Stopped.");
    } else {
      // As with a failure: nothing was said, so the question goes back.
      answer.remove();
      undo();
    }
    this.#parts.status.textContent = begun ? "Stopped." : "Stopped before the answer began. Nothing was charged.";
    for (const after of AFTER_STOP_MS) {
      setTimeout(() => {
        void this.#credits.refresh().then(() => this.update());
        this.#listChanged();
      }, after);
    }
    if (!begun) return;
    setTimeout(() => {
      const { value } = this.#parts.conversation;
      if (value !== "" && !this.#running) void this.#messages.reload(value);
    }, AFTER_STOP_MS.at(-1));
  }

  #listChanged(): void {
    document.body.dispatchEvent(new Event("conversations-changed"));
  }
}
