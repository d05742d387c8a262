// What is said of an answer.

/** Why something was not done, as the API says it. */
export function reason(status: number, text: string): string {
  let said: { title?: unknown; detail?: unknown } = {};
  try {
    const read: unknown = JSON.parse(text);
    if (typeof read === "object" && read !== null) said = read;
  } catch {
    // Whoever answered is not the control plane.
  }
  const parts = [said.title, said.detail].filter((part): part is string => typeof part === "string" && part !== "");
  const why = parts.length === 0 ? `this was not done: status ${status}` : parts.join(": ").replace("?: ", "? ");
  return `${why.charAt(0).toUpperCase()}${why.slice(1)}`;
}
