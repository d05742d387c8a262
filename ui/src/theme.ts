// Light, dark, or what the system says. The server writes the choice into the page, from a cookie, so that nothing flashes;
// this only saves the round trip.

const YEAR_SECONDS = 365 * 24 * 3600;

export function startThemeSwitch(): void {
  for (const form of document.querySelectorAll<HTMLFormElement>("form.theme")) {
    form.addEventListener("submit", (event) => {
      const button = event.submitter;
      if (!(button instanceof HTMLButtonElement)) return;
      event.preventDefault();
      const secure = location.protocol === "https:" ? "; Secure" : "";
      document.cookie = `theme=${button.value}; Path=/; Max-Age=${YEAR_SECONDS}; SameSite=Lax${secure}`;
      document.documentElement.dataset["theme"] = button.value;
      document.dispatchEvent(new CustomEvent("mana:theme"));
      for (const other of document.querySelectorAll<HTMLButtonElement>("form.theme button")) {
        other.setAttribute("aria-pressed", String(other.value === button.value));
      }
    });
  }
}
