// Links to where the same time can be looked at keep it: a service's charts, and the lines that were written meanwhile.

/** The address that a link leads to, where this time is looked at (`last=1h`, or `from=…&to=…` in seconds). */
export function carried(address: URL, time: URLSearchParams): URL {
  const to = new URL(address);
  if (to.pathname.startsWith("/services/")) {
    for (const [name, value] of time) to.searchParams.set(name, value);
  }
  const [from, until] = [Number(time.get("from")), Number(time.get("to"))];
  // What goes up to now is what logs show anyway.
  if (to.pathname === "/logs" && from > 0 && until > from) {
    to.searchParams.set("from", second(Math.floor(from)));
    to.searchParams.set("to", second(Math.ceil(until)));
  }
  return to;
}

/** As the search for lines reads it, in UTC. */
function second(seconds: number): string {
  return new Date(seconds * 1000).toISOString().slice(0, 19);
}

/** Links are completed when somebody is about to follow them: panels are written anew meanwhile. */
export function startLinks(time: () => URLSearchParams): void {
  const complete = (event: Event): void => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    // What leads to this page itself says what is to be looked at.
    if (link !== null && link.origin === location.origin && link.pathname !== location.pathname) link.href = carried(new URL(link.href), time()).href;
  };
  for (const kind of ["pointerdown", "click"]) document.addEventListener(kind, complete, true);
}
