// What the status page does beyond being read: it says how old it is, shows times as whoever looks has them, and fetches itself anew. All
// of it is there without this.
import { localize } from "./dashboard/times";
import { age, isOld } from "./status/age";

const LOOK_EVERY_MS = 15_000;
const FETCH_EVERY_MS = 60_000;

function show(): void {
  const rendered = document.querySelector<HTMLTimeElement>("#rendered");
  const old = document.getElementById("old");
  if (rendered === null || old === null) return;
  const ms = Date.now() - Date.parse(rendered.dateTime);
  old.hidden = !isOld(ms);
  const text = isOld(ms) ? `This was written ${age(ms)} ago and has not been renewed since: what it says may be out of date.` : "";
  if (old.textContent !== text) old.textContent = text;
}

async function renew(): Promise<void> {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.pathname, { cache: "no-cache", signal: AbortSignal.timeout(LOOK_EVERY_MS) });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [mine, theirs] = [document.querySelector("main"), fresh.querySelector("main")];
    const at = (page: ParentNode) => page.querySelector<HTMLTimeElement>("#rendered")?.dateTime;
    if (mine === null || theirs === null || at(mine) === at(theirs)) return;
    mine.replaceWith(document.adoptNode(theirs));
    localize(document);
  } catch {
    // It stays as it is, and says how old that is.
  } finally {
    show();
  }
}

localize(document);
show();
window.setInterval(show, LOOK_EVERY_MS);
window.setInterval(() => void renew(), FETCH_EVERY_MS);
document.addEventListener("visibilitychange", () => void renew());
