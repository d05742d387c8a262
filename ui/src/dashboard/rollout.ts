// The page of a rollout: when it gets to another stage, its buttons are others.
import { isPutIn, showAnew } from "./page";

export function startRollout(): void {
  if (document.body.dataset["stage"] === undefined) return;
  document.addEventListener("htmx:after:swap", () => void follow());
  // Whoever was deciding meanwhile, and has closed that, sees what there is to decide now.
  document.addEventListener("toggle", () => void follow(), true);
}

async function follow(): Promise<void> {
  const now = document.querySelector<HTMLElement>(".going")?.dataset["stage"];
  // Whoever is just deciding finishes: what is pressed too late is refused with its reason.
  const deciding = document.querySelector("details.decision[open]") !== null;
  if (now === undefined || now === document.body.dataset["stage"] || deciding || isPutIn()) return;
  document.body.dataset["stage"] = now;
  try {
    await showAnew();
  } catch {
    // The connection is broken, which the page says; with the next stage, or when it is back, it is tried again.
    document.body.dataset["stage"] = "";
  }
}
