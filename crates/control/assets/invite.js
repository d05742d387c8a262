// The code of an invitation stands behind the `#` of its link. It goes into the form, and out of the address, where it would
// stay in the browser's history.
const code = location.hash.slice(1);
const field = document.getElementById("code");
if (code && field) {
  field.value = code;
  field.closest(".field").hidden = true;
  history.replaceState(null, "", location.pathname);
  document.getElementById("password")?.focus();
}
