// Times are written in UTC; whoever looks reads them in their own.

const MINUTE = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat("sv-SE", { timeStyle: "medium" });

export function localize(root: ParentNode): void {
  for (const element of root.querySelectorAll<HTMLTimeElement>("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime()) || element.dataset["local"] === element.dateTime) continue;
    element.dataset["local"] = element.dateTime;
    element.title = element.dateTime;
    element.textContent = ("clock" in element.dataset ? CLOCK : MINUTE).format(at);
  }
}

export function startTimes(): void {
  localize(document);
  document.addEventListener("htmx:after:swap", () => localize(document));
}
