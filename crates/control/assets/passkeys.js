// Makes and uses passkeys. A form says where the browser is told what to do (`data-asks`); what comes of it goes into the form, which is
// then sent as any other. Browsers that know no passkeys are shown none.
for (const form of document.querySelectorAll("form[data-asks]")) {
  if (!globalThis.PublicKeyCredential?.parseRequestOptionsFromJSON || !PublicKeyCredential.prototype.toJSON) break;
  form.hidden = false;
  const said = form.querySelector("[role=status]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    said.textContent = "";
    try {
      const answer = await fetch(form.dataset.asks, { headers: { accept: "application/json" } });
      if (!answer.ok) throw new Error("Load the page again and try once more.");
      const options = await answer.json();
      const makes = "user" in options;
      const credential = makes
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
      form.elements.challenge.value = options.challenge;
      form.elements.credential.value = JSON.stringify(credential);
      form.submit();
    } catch (error) {
      // Whoever closes the browser's own question knows it.
      const closed = error instanceof DOMException && error.name === "NotAllowedError";
      const known = error instanceof DOMException && error.name === "InvalidStateError";
      said.textContent = closed ? "Nothing was done." : known ? "This device has a passkey for you already." : error.message;
    }
  });
}
