// How old a page is, and whether that is too old to be believed.

/** It is written anew every minute; some may be missed. */
const OLD_MS = 3 * 60_000;

export function isOld(ms: number): boolean {
  return ms > OLD_MS;
}

/** `4 minutes`, `3 hours`, `2 days`. */
export function age(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  const [count, unit] = minutes < 120 ? [minutes, "minute"] : minutes < 48 * 60 ? [Math.floor(minutes / 60), "hour"] : [Math.floor(minutes / 1_440), "day"];
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
