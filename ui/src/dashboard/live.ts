// One stream a page says which panels are new; each is then fetched by itself. Where the stream breaks it is begun again, later
// each time, and the page says that it stands still meanwhile.
import { localize } from "./times";

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;

interface News {
  at: string;
  panels: string[];
}

/** Asks for a panel anew. */
export function renew(name: string): void {
  document.querySelector(`[data-panel="${CSS.escape(name)}"] .panel-body`)?.dispatchEvent(new CustomEvent("renew"));
}

export function startLive(): void {
  const panels = document.body.dataset["live"];
  if (panels === undefined || panels === "") return;
  let wait = FIRST_WAIT_MS;
  let source: EventSource | null = null;
  let retry = 0;

  const show = (alive: boolean): void => {
    const pulse = document.getElementById("pulse");
    if (pulse === null) return;
    pulse.hidden = false;
    pulse.classList.toggle("still", !alive);
    pulse.title = alive ? "Kept up to date" : "Stands still: the connection is broken, it is tried again";
  };
  const begin = (): void => {
    source = new EventSource(`/live?panels=${encodeURIComponent(panels)}`);
    source.addEventListener("panels", (event) => {
      wait = FIRST_WAIT_MS;
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
      show(false);
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
