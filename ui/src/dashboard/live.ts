// One stream a page says which panels are new; each is then fetched by itself. Where the stream breaks it is begun again, later
// each time; the page says that it stands still meanwhile, and asks for everything that it shows once it is back.
import { localize } from "./times";

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
/** A panel that did not come is asked for again then. */
const ASK_AGAIN_MS = 5_000;

interface News {
  at: string;
  panels: string[];
}

/** Asks for a panel anew. */
export function renew(name: string): void {
  document.querySelector(`[data-panel="${CSS.escape(name)}"] .panel-body`)?.dispatchEvent(new CustomEvent("renew"));
}

export function startLive(): void {
  const panels = [...document.querySelectorAll<HTMLElement>("[data-live]")].map((panel) => panel.dataset["live"]).join(",");
  askAgain();
  if (panels === "") return;
  // With each panel stands what the page showed of it when it was written; what it shows later, only the page knows.
  const keys = panels.replace(/~[0-9a-f]*/g, "");
  let asked = panels;
  let wait = FIRST_WAIT_MS;
  let failures = 0;
  let source: EventSource | null = null;
  let retry = 0;

  const begin = (): void => {
    source = new EventSource(`/live?panels=${encodeURIComponent(asked)}`);
    source.addEventListener("panels", (event) => {
      wait = FIRST_WAIT_MS;
      failures = 0;
      asked = keys;
      show(true);
      const news = JSON.parse((event as MessageEvent<string>).data) as News;
      const updated = document.getElementById("updated");
      if (updated instanceof HTMLTimeElement) {
        updated.dateTime = news.at;
        localize(updated.parentElement ?? document);
      }
      for (const name of news.panels) renew(name);
      document.dispatchEvent(new CustomEvent("mana:tick"));
    });
    source.addEventListener("error", () => {
      source?.close();
      source = null;
      failures += 1;
      // A stream ends after an hour, and the next one begins at once.
      if (failures > 1) show(false);
      retry = window.setTimeout(begin, wait);
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
    });
  };
  // A page that nobody sees asks for nothing.
  document.addEventListener("visibilitychange", () => {
    window.clearTimeout(retry);
    source?.close();
    source = null;
    if (!document.hidden) begin();
  });
  if (!document.hidden) begin();
}

/** Whether the page is kept up to date, as a shape and in words. */
function show(alive: boolean): void {
  const pulse = document.getElementById("pulse");
  if (pulse !== null) {
    pulse.hidden = false;
    pulse.classList.toggle("still", !alive);
    pulse.title = alive ? "Kept up to date" : "Stands still: the connection is broken, it is tried again";
  }
  const still = document.getElementById("still");
  const words = alive ? "" : "Not up to date: the connection is broken. It is tried again.";
  if (still !== null && still.textContent !== words) still.textContent = words;
}

/** What is answered instead of a panel is not put into its place: the panel stays as it was, and one that was never there is asked for again. */
function askAgain(): void {
  const later = (event: Event): void => {
    const body = event.target;
    if (!(body instanceof HTMLElement) || !body.matches(".panel-body.waiting")) return;
    window.setTimeout(() => body.dispatchEvent(new CustomEvent("renew")), ASK_AGAIN_MS);
  };
  document.addEventListener("htmx:response:error", later);
  document.addEventListener("htmx:error", later);
  document.addEventListener("htmx:after:swap", (event) => {
    const { ctx } = (event as CustomEvent<{ ctx: { response?: { status: number } } }>).detail;
    const came = ctx.response !== undefined && ctx.response.status < 400;
    if (came && event.target instanceof HTMLElement) event.target.classList.remove("waiting");
  });
  document.addEventListener("htmx:before:response", (event) => {
    const { ctx } = (event as CustomEvent<{ ctx: { response: { raw: Response } } }>).detail;
    if (!ctx.response.raw.redirected) return;
    // Only who is not logged in any more is sent elsewhere.
    event.preventDefault();
    location.reload();
  });
}
