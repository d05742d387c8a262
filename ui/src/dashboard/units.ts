// Numbers as people read them, as short as an axis needs them.

export type Unit = "seconds" | "requests" | "share" | "cores" | "bytes";

export function form(value: number, unit: Unit): string {
  switch (unit) {
    case "seconds":
      if (value >= 1) return `${short(value)} s`;
      return `${short(value * 1000)} ms`;
    case "requests":
      return `${short(value)}/s`;
    case "share":
      return `${short(value * 100)} %`;
    case "cores":
      return short(value);
    case "bytes":
      return bytes(value);
  }
}

function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return String(Number(value.toFixed(1)));
  // Two digits that say something, however small: ticks of an axis must not look the same.
  return String(Number(value.toPrecision(size >= 1 ? 3 : 2)));
}

function bytes(value: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let left = value;
  while (left >= 1024 && at + 1 < units.length) {
    left /= 1024;
    at += 1;
  }
  return `${short(left)} ${units[at] ?? ""}`;
}
