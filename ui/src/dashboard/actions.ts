// Buttons that are the browser's own matter, and the keys.
import { renew } from "./live";

export function startActions(): void {
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    const button = event.target.closest<HTMLElement>("[data-does]");
    if (button?.dataset["does"] === "refresh") refresh();
    for (const menu of document.querySelectorAll<HTMLDetailsElement>("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      for (const menu of document.querySelectorAll<HTMLDetailsElement>("details.menu[open]")) {
        menu.open = false;
        menu.querySelector("summary")?.focus();
      }
      return;
    }
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || isField(event.target)) return;
    const search = document.querySelector<HTMLInputElement>("input[type=search]");
    event.preventDefault();
    if (search === null) location.assign("/logs#search");
    else search.focus();
  });
  if (location.hash === "#search") document.querySelector<HTMLInputElement>("input[type=search]")?.focus();
}

function refresh(): void {
  for (const panel of document.querySelectorAll<HTMLElement>("[data-panel]")) renew(panel.dataset["panel"] ?? "");
  document.dispatchEvent(new CustomEvent("mana:tick"));
  const status = document.getElementById("status");
  if (status !== null) status.textContent = "Refreshed";
}

function isField(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}
