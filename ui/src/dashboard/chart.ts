// One chart: uPlot draws it, a table says the same in words.
import uPlot from "uplot";
import { localize } from "./times";
import { form } from "./units";
import type { Unit } from "./units";

interface Mark {
  at: number;
  text: string;
  bad: boolean;
  href: string;
  /** Of an incident: when it was over. */
  until?: number;
}

interface Data {
  from: number;
  to: number;
  times: number[];
  names: string[];
  values: (number | null)[][];
  previous?: ((number | null)[] | null)[];
  unit: Unit;
  target: number | null;
  marks: Mark[];
  left_out: number;
}

const HEIGHT_PX = 240;
/** How many colours the style has. */
const COLOURS = 12;
/** Steps between sizes, so that axes have round ones. */
const BINARY = Array.from({ length: 44 }, (_, at) => 2 ** at);
/** Up to what an axis goes at least: a line of noughts is at the bottom, and not in the middle of nothing. */
const LEAST: Record<Unit, number> = { seconds: 0.001, requests: 1, share: 0.01, cores: 0.01, bytes: 1024 };
const TOGETHER = uPlot.sync("mana");

export class Chart {
  /** Whether somebody points at it. */
  busy = false;
  /** Whether an answer is being waited for. */
  loading = false;
  private plot: uPlot | null = null;
  private data: Data | null = null;
  private waiting: AbortController | null = null;
  private readonly canvas = document.createElement("div");
  private readonly note = document.createElement("p");
  private readonly marks = document.createElement("ul");
  private readonly table = document.createElement("details");
  private readonly csv = document.createElement("a");

  constructor(
    private readonly element: HTMLElement,
    private readonly zoom: (from: number | null, to: number | null) => void,
    private readonly drawn: () => void,
  ) {
    this.canvas.className = "canvas";
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "group");
    this.canvas.setAttribute("aria-label", `${this.title}. Left and right move through time, escape shows the whole again.`);
    this.note.className = "soft chart-note";
    this.note.textContent = "Being measured …";
    this.marks.className = "marks";
    this.table.className = "behind";
    const tools = document.createElement("p");
    tools.className = "tools";
    this.csv.append("CSV", hidden(` of ${this.title}`));
    const png = document.createElement("button");
    png.type = "button";
    png.className = "link";
    png.append("PNG", hidden(` of ${this.title}`));
    png.addEventListener("click", () => this.save());
    tools.append(this.csv, png);
    element.replaceChildren(this.canvas, this.note, this.marks, this.table, tools);
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.resize()).observe(element);
  }

  private get title(): string {
    return this.element.dataset["title"] ?? "Chart";
  }

  /** Fetches what the time asked for shows; whoever asked before is not waited for any more. */
  async load(query: URLSearchParams): Promise<void> {
    this.waiting?.abort();
    const waiting = (this.waiting = new AbortController());
    const asked = new URLSearchParams(query);
    const { chart = "", service, range } = this.element.dataset;
    if (service !== undefined) asked.set("service", service);
    if (!asked.has("last") && !asked.has("from") && range !== undefined) asked.set("last", range);
    this.csv.href = `/data/${chart}?${asked.toString()}&format=csv`;
    this.loading = true;
    try {
      const answer = await fetch(`/data/${chart}?${asked.toString()}`, { signal: waiting.signal });
      const body: unknown = await answer.json();
      if (!answer.ok) throw new Error((body as { detail?: string }).detail ?? String(answer.status));
      this.data = body as Data;
      this.draw();
      this.drawn();
    } catch (error) {
      if (waiting.signal.aborted) return;
      this.say(`This chart's data is not there: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      if (this.waiting === waiting) this.loading = false;
    }
  }

  /** Tells the others where it is pointed at: one that was drawn anew does not know. */
  point(): void {
    if (this.plot === null) return;
    const { cursor, over } = this.plot;
    TOGETHER.pub("mousemove", this.plot, cursor.left ?? -10, cursor.top ?? -10, over.clientWidth, over.clientHeight, cursor.idx ?? 0);
  }

  private say(text: string): void {
    this.note.textContent = text;
    this.note.hidden = text === "";
  }

  draw(): void {
    const data = this.data;
    if (data === null) return;
    if (data.names.length === 0) {
      this.plot?.destroy();
      this.plot = null;
      this.canvas.hidden = true;
      this.table.hidden = true;
      this.say("Nothing was measured in this time.");
      this.describe(data);
      return;
    }
    this.canvas.hidden = false;
    this.say(data.left_out > 0 ? `${data.left_out} more are left out.` : "");
    const { series, columns } = lines(data);
    // New values of the same series are put in; nothing jumps under the pointer.
    const same = this.plot !== null && this.plot.series.length === series.length && series.every((one, at) => one.label === this.plot?.series[at]?.label);
    if (same && this.plot !== null && this.colours === colours().join()) this.plot.setData(columns);
    else {
      this.plot?.destroy();
      this.colours = colours().join();
      this.plot = new uPlot(this.options(data, series), columns, this.canvas);
    }
    this.describe(data);
  }

  private colours = "";

  private options(data: Data, series: uPlot.Series[]): uPlot.Options {
    const style = getComputedStyle(this.element);
    const soft = style.getPropertyValue("color");
    const line = style.getPropertyValue("--grid-line");
    const axis: uPlot.Axis = { stroke: soft, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui, sans-serif" };
    const unit = data.unit;
    return {
      width: this.width(),
      height: HEIGHT_PX,
      series,
      legend: { live: true },
      cursor: {
        sync: { key: TOGETHER.key, setSeries: false },
        drag: { x: true, y: false, setScale: false },
        focus: { prox: 24 },
        points: { size: 6 },
      },
      scales: { x: { time: true, range: () => [this.data?.from ?? 0, this.data?.to ?? 1] }, y: { range: (_, __, most) => [0, Math.max(most ?? 0, (data.target ?? 0) * 1.15, LEAST[unit]) * 1.06] } },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map((tick, at) => hour(tick, ticks[at - 1])) },
        { ...axis, size: 72, values: (_, ticks) => ticks.map((tick) => form(tick, unit)), ...(unit === "bytes" ? { incrs: BINARY } : {}) },
      ],
      hooks: {
        drawAxes: [(plot) => this.drawMarks(plot)],
        setSelect: [(plot) => this.select(plot)],
        setCursor: [() => (this.busy = this.canvas.matches(":hover"))],
        ready: [(plot) => plot.over.addEventListener("dblclick", () => this.zoom(null, null))],
      },
    };
  }

  private select(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width < 4) return;
    const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    // An hour of seconds shows nothing: one round of scraping is ten.
    if (to - from >= 30) this.zoom(from, to);
  }

  /** The target across, and a line where something was deployed. */
  private drawMarks(plot: uPlot): void {
    const data = this.data;
    if (data === null) return;
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    if (data.target !== null) {
      const y = plot.valToPos(data.target, "y", true);
      ctx.strokeStyle = resolve("var(--care)");
      ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
      stroke(ctx, bbox.left, y, bbox.left + bbox.width, y);
      ctx.fillStyle = ctx.strokeStyle;
      ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "right";
      ctx.fillText(`target ${form(data.target, data.unit)}`, bbox.left + bbox.width, y - 4 * devicePixelRatio);
    }
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const mark of data.marks) {
      const x = plot.valToPos(mark.at, "x", true);
      if (mark.until !== undefined) {
        const width = Math.max(plot.valToPos(mark.until, "x", true) - x, 2 * devicePixelRatio);
        ctx.globalAlpha = 0.12;
        ctx.fillStyle = resolve("var(--bad)");
        ctx.fillRect(x, bbox.top, width, bbox.height);
        ctx.globalAlpha = 1;
      }
      ctx.strokeStyle = resolve(mark.bad ? "var(--bad)" : "var(--accent)");
      ctx.fillStyle = ctx.strokeStyle;
      stroke(ctx, x, bbox.top, x, bbox.top + bbox.height);
      const size = 5 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x - size, bbox.top);
      ctx.lineTo(x + size, bbox.top);
      ctx.lineTo(x, bbox.top + size * 1.4);
      ctx.fill();
    }
    ctx.restore();
  }

  /** The same for whoever does not see it. */
  private describe(data: Data): void {
    this.marks.replaceChildren(
      ...data.marks.slice(0, 8).map((mark) => {
        const item = document.createElement("li");
        const link = document.createElement("a");
        link.href = mark.href;
        link.textContent = `${mark.until !== undefined ? "■" : mark.bad ? "✗" : "▾"} ${mark.text}`;
        const time = document.createElement("time");
        time.dateTime = new Date(mark.at * 1000).toISOString();
        item.append(link, " ", time);
        return item;
      }),
    );
    localize(this.marks);
    // Charts beside each other show the same: one of them names it.
    this.marks.hidden = data.marks.length === 0 || this.element.dataset["marks"] === "no";
    if (this.element.dataset["table"] === "no" || data.names.length === 0) {
      this.table.hidden = true;
      return;
    }
    this.table.hidden = false;
    const open = this.table.open;
    const summary = document.createElement("summary");
    summary.textContent = "As a table";
    const table = document.createElement("table");
    table.className = "grid";
    const caption = table.createCaption();
    caption.className = "hidden";
    caption.textContent = this.title;
    const head = table.createTHead().insertRow();
    for (const word of ["Series", "Last", "Least", "Mean", "Most"]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = word;
      if (word !== "Series") cell.className = "number";
      head.append(cell);
    }
    const body = table.createTBody();
    data.names.forEach((name, at) => {
      const row = body.insertRow();
      const first = document.createElement("th");
      first.scope = "row";
      first.textContent = name;
      row.append(first);
      const known = (data.values[at] ?? []).filter((value): value is number => value !== null);
      const sum = known.reduce((all, value) => all + value, 0);
      for (const value of [known.at(-1), Math.min(...known), sum / known.length, Math.max(...known)]) {
        const cell = row.insertCell();
        cell.className = "number";
        cell.textContent = value === undefined ? "–" : form(value, data.unit);
      }
    });
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", `Table: ${this.title}`);
    scroll.append(table);
    this.table.replaceChildren(summary, scroll);
    this.table.open = open;
  }

  private key(event: KeyboardEvent): void {
    const plot = this.plot;
    if (plot === null || this.data === null) return;
    if (event.key === "Escape") return this.zoom(null, null);
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    const last = this.data.times.length - 1;
    const at = Math.min(last, Math.max(0, (plot.cursor.idx ?? (by > 0 ? -1 : last + 1)) + by * (event.shiftKey ? 10 : 1)));
    plot.setCursor({ left: plot.valToPos(this.data.times[at] ?? 0, "x"), top: plot.over.clientHeight / 2 });
    const status = document.getElementById("status");
    if (status === null) return;
    const values = this.data.names.map((name, series) => {
      const value = this.data?.values[series]?.[at];
      return `${name} ${value === null || value === undefined ? "not measured" : form(value, this.data?.unit ?? "seconds")}`;
    });
    status.textContent = `${new Date((this.data.times[at] ?? 0) * 1000).toLocaleString()}: ${values.join(", ")}`;
  }

  private width(): number {
    return Math.max(200, Math.floor(this.element.clientWidth));
  }

  private resize(): void {
    if (this.plot !== null && this.plot.width !== this.width()) this.plot.setSize({ width: this.width(), height: HEIGHT_PX });
  }

  private save(): void {
    const drawn = this.plot?.ctx.canvas;
    if (drawn === undefined) return;
    const canvas = document.createElement("canvas");
    canvas.width = drawn.width;
    canvas.height = drawn.height;
    const context = canvas.getContext("2d");
    if (context === null) return;
    // Without a ground of its own it would be black on black somewhere.
    context.fillStyle = getComputedStyle(this.element.closest(".panel") ?? document.body).backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(drawn, 0, 0);
    canvas.toBlob((blob) => {
      if (blob === null) return;
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${[this.element.dataset["service"], this.element.dataset["chart"]].filter(Boolean).join("-")}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    }, "image/png");
  }
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const SECONDS = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** A tick of the time axis: the day where it begins, else the time of the day. */
function hour(tick: number, before: number | undefined): string {
  const at = new Date(tick * 1000);
  const other = before === undefined || new Date(before * 1000).toDateString() !== at.toDateString();
  const isMidnight = at.getHours() === 0 && at.getMinutes() === 0;
  if (isMidnight) return DAY.format(at);
  const clock = (at.getSeconds() === 0 ? CLOCK : SECONDS).format(at);
  return other ? `${clock}\n${DAY.format(at)}` : clock;
}

/** For screen readers alone. */
function hidden(text: string): HTMLElement {
  const element = document.createElement("span");
  element.className = "hidden";
  element.textContent = text;
  return element;
}

function stroke(ctx: CanvasRenderingContext2D, x0: number, y0: number, x1: number, y1: number): void {
  ctx.beginPath();
  ctx.moveTo(x0, y0);
  ctx.lineTo(x1, y1);
  ctx.stroke();
}

function colours(): string[] {
  const style = getComputedStyle(document.documentElement);
  return Array.from({ length: COLOURS }, (_, at) => style.getPropertyValue(`--series-${at + 1}`).trim());
}

/** The series with the period before beside each, dashed and in its colour. */
function lines(data: Data): { series: uPlot.Series[]; columns: uPlot.AlignedData } {
  const palette = colours();
  const resolved = (at: number): string => resolve(palette[at % palette.length] ?? "");
  const value = (_: uPlot, raw: number | null): string => (raw === null ? "–" : form(raw, data.unit));
  const series: uPlot.Series[] = [{ label: "Time", value: (_, raw) => (raw === null ? "" : new Date(raw * 1000).toLocaleString()) }];
  const columns: (number | null)[][] = [];
  data.names.forEach((name, at) => {
    series.push({ label: name, stroke: resolved(at), width: 1.6, value, points: { show: false }, spanGaps: false });
    columns.push(data.values[at] ?? []);
  });
  data.names.forEach((name, at) => {
    const before = data.previous?.[at];
    if (before === undefined || before === null) return;
    series.push({ label: `${name}, before`, stroke: resolved(at), width: 1, dash: [3, 4], alpha: 0.75, value, points: { show: false } });
    columns.push(before);
  });
  return { series, columns: [data.times, ...columns] as uPlot.AlignedData };
}

/** Canvases do not know `light-dark()`: an element says what it comes to. */
function resolve(colour: string): string {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  probe.style.color = colour;
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
