// Lines of logs, followed as they come.
import { localize } from "./times";

/** Lines that a page holds; the oldest make room. */
const MOST_LINES = 2_000;
const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
const FOLLOWS = "New lines are shown as they come.";
const BROKEN = "The connection is broken: no line is shown as it comes. It is tried again.";
const MISSED = `${FOLLOWS} Those that were written while nobody followed are not among them: search again to see all.`;

export function startLines(): void {
  const list = document.getElementById("lines");
  if (list === null) return;
  list.scrollTop = list.scrollHeight;
  const button = document.querySelector<HTMLButtonElement>("[data-does=follow]");
  const follower = new Follower(list, list.dataset["live"] ?? "");
  if (button === null) return follower.begin();
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(on));
    say(on ? FOLLOWS : "");
    if (on) follower.begin();
    else follower.end();
  });
}

function say(text: string): void {
  const place = document.getElementById("following");
  if (place !== null) place.textContent = text;
}

class Follower {
  private source: EventSource | null = null;
  private wanted = false;
  /** Whether it has followed before and stopped: what was written meanwhile is not shown. */
  private interrupted = false;
  private wait = FIRST_WAIT_MS;
  private retry = 0;

  constructor(
    private readonly list: HTMLElement,
    private readonly address: string,
  ) {
    document.addEventListener("visibilitychange", () => {
      if (!this.wanted) return;
      this.interrupted = true;
      if (document.hidden) this.close();
      else this.open();
    });
  }

  begin(): void {
    this.wanted = true;
    this.interrupted = false;
    this.open();
  }

  end(): void {
    this.wanted = false;
    this.close();
  }

  private close(): void {
    window.clearTimeout(this.retry);
    this.source?.close();
    this.source = null;
  }

  private open(): void {
    this.close();
    const source = (this.source = new EventSource(this.address));
    source.addEventListener("open", () => {
      this.wait = FIRST_WAIT_MS;
      if (this.interrupted) say(MISSED);
    });
    source.addEventListener("lines", (event) => this.add((event as MessageEvent<string>).data));
    source.addEventListener("error", () => {
      this.close();
      this.interrupted = true;
      say(BROKEN);
      this.retry = window.setTimeout(() => this.open(), this.wait);
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT_MS);
    });
  }

  private add(html: string): void {
    const list = this.list;
    // Who reads further up is not pulled away.
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const template = document.createElement("template");
    template.innerHTML = html;
    localize(template.content);
    list.append(template.content);
    while (list.childElementCount > MOST_LINES) list.firstElementChild?.remove();
    if (atEnd) list.scrollTop = list.scrollHeight;
  }
}
