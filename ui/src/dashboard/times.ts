// Times are written in UTC; whoever looks reads them in their own.

const MINUTE = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "short" });
const CLOCK = new Intl.DateTimeFormat("sv-SE", { timeStyle: "medium" });
const MILLIS = new Intl.DateTimeFormat("sv-SE", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

export function localize(root: ParentNode): void {
  for (const element of root.querySelectorAll<HTMLTimeElement>("time[datetime]")) {
    const at = new Date(element.dateTime);
    if (Number.isNaN(at.getTime()) || element.dataset["local"] === element.dateTime) continue;
    element.dataset["local"] = element.dateTime;
    element.title = element.dateTime;
    const form = "millis" in element.dataset ? MILLIS : "clock" in element.dataset ? CLOCK : MINUTE;
    element.textContent = form.format(at).replace(",", ".");
  }
}

export function startTimes(): void {
  localize(document);
  document.addEventListener("htmx:after:swap", () => localize(document));
}
