// The page that is open, as it is now: put into what is there, so that whatever somebody has opened, typed or focused stays.
import htmx from "htmx.org";

/** Longest wait for a page: whoever pressed a button is told that nothing came. */
export const PATIENCE_MS = 30_000;

let under_way = false;

/** Whether a page is being put in: what it swaps is no news. */
export function isPutIn(): boolean {
  return under_way;
}

/** Asks for this page anew. */
export async function showAnew(): Promise<void> {
  const answer = await fetch(location.href, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(PATIENCE_MS) });
  // Whoever has to log in again is somewhere else.
  if (answer.redirected) location.reload();
  else if (answer.ok) await putIn(await answer.text());
}

/** Puts in what the server has answered for this address. */
export async function putIn(html: string): Promise<void> {
  const fresh = new DOMParser().parseFromString(html, "text/html");
  const [mine, theirs] = [document.getElementById("main"), fresh.getElementById("main")];
  // What draws itself is not put in.
  if (mine === null || theirs === null || mine.querySelector(".chart") !== null) {
    location.reload();
    return;
  }
  const { stage } = fresh.body.dataset;
  if (stage !== undefined) document.body.dataset["stage"] = stage;
  under_way = true;
  try {
    await htmx.swap({ text: theirs.innerHTML, target: mine, sourceElement: mine, swap: "innerMorph" });
  } finally {
    under_way = false;
  }
}
