// What is left, what the chosen model costs, and what to say when the one does not cover the other.

export class Credits {
  readonly #display: HTMLElement;
  readonly #notice: HTMLElement;
  readonly #model: HTMLSelectElement;
  #left: number | undefined;

  constructor(display: HTMLElement, notice: HTMLElement, model: HTMLSelectElement) {
    this.#display = display;
    this.#notice = notice;
    this.#model = model;
    const known = display.dataset["credits"];
    this.#left = known ? Number(known) : undefined;
  }

  get price(): number {
    return Number(this.#model.selectedOptions[0]?.dataset["credits"] ?? 0);
  }

  /** Whether the next question can be paid; unknown counts as yes, since the server decides. */
  get cover(): boolean {
    return this.#left === undefined || this.#left >= this.price;
  }

  get words(): string {
    return this.#left === undefined ? "" : count(this.#left);
  }

  set left(left: number) {
    this.#left = left;
    this.#display.textContent = count(left);
    this.#display.dataset["credits"] = String(left);
    this.show();
  }

  show(): void {
    this.#notice.hidden = this.cover;
    const why = this.#notice.querySelector(".why");
    const left = this.#left ?? 0;
    if (why) why.textContent = left > 0 ? `A message to this model costs ${count(this.price)}; you have ${count(left)}.` : "You have used all your credits.";
    this.#display.classList.toggle("gone", !this.cover);
  }

  /** The server refused for want of credits, whatever we thought was left. */
  async refresh(): Promise<void> {
    const answer = await fetch("/credits", { headers: { accept: "application/json" } }).catch(() => undefined);
    if (!answer?.ok) return;
    const { credits }: { credits: number } = await answer.json();
    this.left = credits;
  }
}

const number = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });

export function count(credits: number): string {
  return `${number.format(credits)} ${credits === 1 ? "credit" : "credits"}`;
}
