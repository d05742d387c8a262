// The form at the foot of the page: Enter sends, Shift+Enter breaks the line, Escape stops.
import { ask, BROKEN_OFF, type AnswerEvent } from "./answer";
import { find, forget, keep, keyFor, type Asked } from "./asked";
import type { Attachment, Attachments } from "./attachments";
import type { Credits } from "./credits";
import type { Message, Messages } from "./messages";

type Failure = Extract<AnswerEvent, { kind: "failed" }>;

/** When to look at the balance after a stop: the server settles what was delivered a moment later. */
const AFTER_STOP_MS = [400, 1_500];

/** When to look for the name that the model gives a new conversation. */
const AFTER_FIRST_MS = [2_000, 6_000, 15_000];

const LOST = "The connection broke off. The answer goes on, and is picked up again…";

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

/** An answer under way. */
interface Running {
  asked: Asked;
  answer: Message;
  /** Whether its conversation was made for it. */
  fresh: boolean;
  /** Puts the page back to where nothing was asked. */
  undo: () => void;
  abort: AbortController;
}

export class Composer {
  readonly #parts: Parts;
  readonly #messages: Messages;
  readonly #credits: Credits;
  readonly #attachments: Attachments;
  #running: Running | undefined;

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
    stop.addEventListener("click", () => this.#stop());
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
      if (event.key === "Escape") this.#stop();
    });
    this.update();
    this.#resume();
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
    const { form, prompt } = this.#parts;
    const question = prompt.value.trim();
    if (question === "" || this.#running || !this.#credits.cover) return;
    const asked = this.#asked(new FormData(form), question, "");
    prompt.value = "";
    this.#attachments.clear();
    await this.#ask(asked);
  }

  /** Asks an edited question, or for another answer. */
  async #again(again: HTMLFormElement, does: "edit" | "regenerate"): Promise<void> {
    const message = again.closest(".message");
    if (this.#running || !this.#credits.cover || message === null) return;
    const body = new FormData(again);
    const model = new FormData(this.#parts.form).get("model");
    if (model !== null) body.set("model", model);
    const question = String(body.get("prompt") ?? "").trim();
    if (does === "edit" && question === "") return;
    await this.#ask(this.#asked(body, question, message.id));
  }

  /** Picks up what this page had asked when it was loaded again. */
  #resume(): void {
    const { conversation, form } = this.#parts;
    const place = conversation.value;
    const asked = find(place);
    if (asked === undefined) return;
    const [how] = performance.getEntriesByType("navigation");
    const again = place !== "" || (how instanceof PerformanceNavigationTiming && how.type === "reload");
    // Where there is another last message, the answer is kept and shown.
    if (!again || asked.last !== this.#messages.last) return forget(place);
    // It has no name yet.
    if (asked.last === "") this.#parts.heading.textContent = asked.question;
    const csrf = new FormData(form).get("csrf");
    asked.fields = asked.fields.map(([name, value]) => [name, name === "csrf" ? String(csrf) : value]);
    void this.#ask(asked);
  }

  #asked(body: FormData, question: string, from: string): Asked {
    const fields = [...body].map(([name, value]): [string, string] => [name, String(value)]);
    const key = keyFor(this.#parts.conversation.value, fields);
    return { fields: [...fields, ["key", key]], question, from, last: this.#messages.last, at: Date.now() };
  }

  /** Shows what is asked; gives what puts the page back. In whose place it is goes out of sight, with all that follows. */
  #show({ fields, question, from }: Asked): () => void {
    const { prompt, welcome } = this.#parts;
    welcome.hidden = true;
    const place = this.#messages.find(from);
    const back = place === null ? undefined : this.#messages.cut(place);
    const asked = question === "" ? undefined : this.#messages.add("user", question);
    const files = fields.find(([name]) => name === "attachments")?.[1] ?? "";
    const attached: Attachment[] = files === "" ? [] : JSON.parse(files);
    for (const { name } of attached) asked?.note(`Attached: ${name}`);
    return () => {
      asked?.remove();
      welcome.hidden = !this.#messages.isEmpty();
      if (back) return back();
      if (prompt.value === "") prompt.value = question;
      this.#attachments.set(attached);
    };
  }

  /** Sends a question and shows the answer. */
  async #ask(asked: Asked): Promise<void> {
    const { form, problem, status, conversation, prompt } = this.#parts;
    const undo = this.#show(asked);
    const answer = this.#messages.add("assistant", "");
    const running: Running = { asked, answer, fresh: conversation.value === "", undo, abort: new AbortController() };
    this.#running = running;
    problem.hidden = true;
    answer.writing = true;
    status.textContent = "Chat is answering. Press Escape to stop.";
    keep(conversation.value, asked);
    const sent = ask(form.action, new URLSearchParams(asked.fields), running.abort.signal, (event) => this.#on(event, running));
    this.update();
    try {
      await sent;
    } catch {
      this.#stopped(running);
    }
    answer.writing = false;
    this.#running = undefined;
    this.update();
    prompt.focus({ preventScroll: true });
  }

  /** Ends the answer under way, here and where it is written. */
  #stop(): void {
    if (!this.#running) return;
    const { asked, abort } = this.#running;
    abort.abort();
    const body = new URLSearchParams(asked.fields.filter(([name]) => name === "csrf" || name === "key"));
    // Should it not arrive, the answer ends by itself, some time after nobody reads it.
    void fetch("/ask/stop", { method: "POST", body, keepalive: true }).catch(() => undefined);
  }

  #on(event: AnswerEvent, running: Running): void {
    const { status, conversation } = this.#parts;
    const { answer, asked } = running;
    switch (event.kind) {
      case "start":
        answer.restart();
        return this.#opened(event.conversationId, asked);
      case "delta":
        answer.notice = "";
        return answer.patch(event.keep, event.html);
      case "lost":
        answer.notice = LOST;
        status.textContent = LOST;
        return;
      case "done":
        forget(conversation.value);
        answer.notice = "";
        this.#credits.left = event.credits;
        // Once and whole: announcing each word would bury the reader.
        status.textContent = `Chat says: ${answer.text} — ${this.#credits.words} left.`;
        this.#listChanged();
        void this.#messages.reload(conversation.value);
        return;
      case "failed":
        return this.#failed(event, running);
    }
  }

  /** A new conversation has an address now; reloading the page shows it. */
  #opened(id: string, asked: Asked): void {
    const { conversation, heading } = this.#parts;
    if (conversation.value === id) return;
    forget(conversation.value);
    asked.fields = asked.fields.map(([name, value]) => [name, name === "conversation" ? id : value]);
    keep(id, asked);
    conversation.value = id;
    heading.textContent = asked.question;
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

  #failed(failure: Failure, { answer, undo }: Running): void {
    const { problem, status, conversation } = this.#parts;
    const { code, message, kept } = failure;
    if (code === "signed_out") return location.assign("/login?ended");
    if (code === "out_of_credits") void this.#credits.refresh().then(() => this.update());
    // Of what broke off nobody knows what became of it: asked again it is the same question.
    if (code !== BROKEN_OFF) forget(conversation.value);
    answer.notice = "";
    if (kept === false) this.#closed();
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

  /** The conversation was made for one question alone, and is gone with it. */
  #closed(): void {
    const { conversation, options } = this.#parts;
    conversation.value = "";
    history.replaceState(null, "", "/");
    options.hidden = true;
  }

  #stopped({ answer, fresh, undo }: Running): void {
    const begun = answer.text !== "";
    forget(this.#parts.conversation.value);
    answer.notice = "";
    if (begun) {
      answer.note("Stopped.");
    } else {
      // As with a failure: nothing was said, so the question goes back.
      answer.remove();
      undo();
      if (fresh) this.#closed();
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
