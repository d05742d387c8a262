// The page of a rollout: when it gets to another stage, its buttons are others.

export function startRollout(): void {
  const stage = document.body.dataset["stage"];
  if (stage === undefined) return;
  document.addEventListener("htmx:after:swap", () => {
    const now = document.querySelector<HTMLElement>(".going")?.dataset["stage"];
    // Whoever is just deciding finishes: what is pressed too late is refused with its reason.
    const deciding = document.querySelector("details.decision[open]") !== null;
    if (now !== undefined && now !== stage && !deciding) location.reload();
  });
}
