// Every chart of the page: fetched, drawn, zoomed together. The time shown stands in the address, so links carry it.
import { Chart } from "./chart";
import { startLinks } from "./links";

export class Range {
  constructor(public query: URLSearchParams) {}

  static ofPage(): Range {
    const all = new URLSearchParams(location.search);
    const own = new URLSearchParams();
    for (const name of ["last", "from", "to", "previous"]) {
      const value = all.get(name);
      if (value !== null) own.set(name, value);
    }
    return new Range(own);
  }

  /** Whether it goes up to now, so that a later look shows more. */
  get moves(): boolean {
    return !this.query.has("to");
  }
}

export function startCharts(): void {
  // A chart that is drawn anew knows its size by then.
  const point = (): number => requestAnimationFrame(() => charts.find((chart) => chart.busy)?.point());
  const charts: Chart[] = [...document.querySelectorAll<HTMLElement>(".chart[data-chart]")].map((element) => new Chart(element, zoom, point));
  if (charts.length === 0) return;
  let range = Range.ofPage();
  startLinks(() => range.query);

  const load = (): void => {
    for (const chart of charts) void chart.load(range.query);
    markChoice(range.query);
  };
  function go(query: URLSearchParams): void {
    range = new Range(query);
    const all = new URLSearchParams(location.search);
    for (const name of ["last", "from", "to", "previous"]) all.delete(name);
    for (const [name, value] of query) all.set(name, value);
    const text = all.toString();
    history.replaceState(null, "", text === "" ? location.pathname : `?${text}`);
    load();
  }
  function zoom(from: number | null, to: number | null): void {
    const query = new URLSearchParams();
    if (from !== null && to !== null) {
      query.set("from", String(Math.floor(from)));
      query.set("to", String(Math.ceil(to)));
    }
    if (range.query.get("previous") === "1") query.set("previous", "1");
    go(query);
  }

  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest<HTMLAnchorElement>("nav.range a") : null;
    if (link === null || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const asked = new URLSearchParams(link.search);
    const query = new URLSearchParams(range.query);
    if (asked.has("last")) {
      for (const name of ["from", "to"]) query.delete(name);
      query.set("last", asked.get("last") ?? "");
    } else if (query.get("previous") === "1") query.delete("previous");
    else query.set("previous", "1");
    go(query);
  });
  document.addEventListener("mana:tick", () => {
    if (range.moves && !charts.some((chart) => chart.busy || chart.loading)) load();
  });
  document.addEventListener("mana:theme", () => charts.forEach((chart) => chart.draw()));
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((chart) => chart.draw()));
  load();
}

function markChoice(query: URLSearchParams): void {
  const nav = document.querySelector<HTMLElement>("nav.range");
  if (nav === null) return;
  const last = query.has("from") ? null : (query.get("last") ?? nav.dataset["default"]);
  for (const link of nav.querySelectorAll<HTMLAnchorElement>("a")) {
    const own = new URLSearchParams(link.search);
    const chosen = own.has("last") ? own.get("last") === last : query.get("previous") === "1";
    if (chosen) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}
