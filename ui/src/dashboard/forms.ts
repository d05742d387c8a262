// Forms that change something: sent from the page that they are on. What was typed stays there where it is refused, with the reason beside the button; what is done
// shows on the page without its being loaded again. Without scripts they are forms like any other.
import { PATIENCE_MS, putIn } from "./page";
import { reason } from "./words";

const sending = new WeakSet<HTMLFormElement>();

export function startForms(): void {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!(form instanceof HTMLFormElement) || form.method !== "post" || event.defaultPrevented) return;
    const button = event.submitter;
    if (!(button instanceof HTMLButtonElement)) return;
    event.preventDefault();
    void send(form, button);
  });
}

async function send(form: HTMLFormElement, button: HTMLButtonElement): Promise<void> {
  // A second click asks for nothing a second time.
  if (sending.has(form)) return;
  sending.add(form);
  button.setAttribute("aria-busy", "true");
  forgetRefusals(form);
  try {
    const fields = [...new FormData(form, button)].map(([name, value]) => [name, String(value)]);
    const answer = await fetch(button.hasAttribute("formaction") ? button.formAction : form.action, {
      method: "POST",
      body: new URLSearchParams(fields),
      headers: { accept: "application/json" },
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const text = await answer.text();
    if (!answer.ok) refuse(button, reason(answer.status, text));
    else if (new URL(answer.url).pathname !== location.pathname && answer.redirected) location.assign(answer.url);
    else await done(form, button, text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    refuse(button, `Nothing was answered, so it is not known whether this was done (${why}): look before you try again.`);
  } finally {
    sending.delete(form);
    button.removeAttribute("aria-busy");
  }
}

function forgetRefusals(form: HTMLFormElement): void {
  for (const old of document.querySelectorAll<HTMLElement>(".refusal")) {
    if (old.dataset["of"] === form.action || form.contains(old)) old.remove();
  }
}

function refuse(button: HTMLButtonElement, why: string): void {
  const refusal = document.createElement("p");
  refusal.className = "problem refusal";
  refusal.setAttribute("role", "alert");
  refusal.textContent = why;
  refusal.dataset["of"] = button.form?.action ?? "";
  // A panel is kept up to date as a whole: what is said of its buttons stands before it.
  const panel = button.closest(".panel-body");
  if (panel === null) button.before(refusal);
  else panel.before(refusal);
}

/** What was typed has served; whoever pressed the button goes on from where it was. */
async function done(form: HTMLFormElement, button: HTMLButtonElement, html: string): Promise<void> {
  const details = button.closest("details");
  const title = button.closest("section")?.querySelector<HTMLElement>("h2") ?? null;
  const label = button.textContent?.trim().replace(/\s+/g, " ") ?? "";
  const had_focus = document.activeElement === button || (details ?? form).contains(document.activeElement) || document.activeElement === document.body;
  for (const field of form.elements) {
    if ((details ?? form).contains(field)) reset(field);
  }
  if (details !== null) details.open = false;
  await putIn(html);
  const status = document.getElementById("status");
  if (status !== null) status.textContent = `Done: ${label}`;
  if (had_focus) focusFirst([details?.querySelector("summary") ?? button, title, document.getElementById("main")]);
}

function reset(field: Element): void {
  if (field instanceof HTMLInputElement) {
    field.value = field.defaultValue;
    field.checked = field.defaultChecked;
  } else if (field instanceof HTMLTextAreaElement) {
    field.value = field.defaultValue;
  } else if (field instanceof HTMLSelectElement) {
    for (const option of field.options) option.selected = option.defaultSelected;
  }
}

/** The first of those that are still there. */
function focusFirst(places: (HTMLElement | null)[]): void {
  const place = places.find((one) => one !== null && one.isConnected);
  if (place === null || place === undefined) return;
  if (place.tabIndex < 0 && !place.hasAttribute("tabindex")) place.tabIndex = -1;
  place.focus();
}
