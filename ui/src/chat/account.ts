// Signing in with a passkey, making one, and codes from the links in letters. Pages without it offer no passkeys, and codes are
// typed.

interface Asked {
  ticket: string;
  options: PublicKeyCredentialCreationOptionsJSON & PublicKeyCredentialRequestOptionsJSON;
}

async function post<T>(path: string, csrf: string, body: unknown): Promise<T> {
  const response = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-csrf-token": csrf, accept: "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.detail ?? "This did not work. Reload the page and try again.");
  return answer as T;
}

function onSubmit(form: HTMLFormElement, problem: HTMLElement, act: () => Promise<string>): void {
  form.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    problem.hidden = true;
    try {
      location.assign(await act());
    } catch (error) {
      // Whoever closes the browser's own question wants nothing said.
      if (error instanceof DOMException && error.name === "NotAllowedError") return;
      problem.textContent = error instanceof Error ? error.message : String(error);
      problem.hidden = false;
    }
  });
}

export function startAccount(): void {
  const code = document.querySelector<HTMLInputElement>("[data-from-fragment]");
  if (code !== null && location.hash.length > 1) {
    code.value = location.hash.slice(1);
    history.replaceState(null, "", location.pathname);
  }
  if (typeof PublicKeyCredential === "undefined" || !("parseCreationOptionsFromJSON" in PublicKeyCredential)) return;

  const login = document.querySelector<HTMLFormElement>("#passkey-login");
  const loginProblem = document.getElementById("passkey-problem");
  if (login !== null && loginProblem !== null) {
    const csrf = login.dataset["csrf"] ?? "";
    onSubmit(login, loginProblem, async () => {
      const { ticket, options } = await post<Asked>("/login/passkey/begin", csrf, {});
      const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
      const credential = (await navigator.credentials.get({ publicKey })) as PublicKeyCredential;
      const body = { ticket, credential: credential.toJSON() };
      return (await post<{ next: string }>("/login/passkey", csrf, body)).next;
    });
  }

  const make = document.querySelector<HTMLFormElement>("#new-passkey");
  const page = document.getElementById("account");
  const problem = document.getElementById("account-problem");
  if (make !== null && page !== null && problem !== null) {
    const csrf = page.dataset["csrf"] ?? "";
    onSubmit(make, problem, async () => {
      const fields = new FormData(make);
      const password = fields.get("password");
      const asked = password === "" ? {} : { password };
      const { ticket, options } = await post<Asked>("/account/passkeys/begin", csrf, asked);
      const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
      const credential = (await navigator.credentials.create({ publicKey })) as PublicKeyCredential;
      const body = { ticket, name: fields.get("name"), credential: credential.toJSON() };
      return (await post<{ next: string }>("/account/passkeys/finish", csrf, body)).next;
    });
  }
}
