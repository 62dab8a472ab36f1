/* Small comforts of every page: copy buttons, print buttons, fragments that could not be fetched, focus on an error summary. */

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.querySelector(button.dataset.copy).textContent.trim());
    button.textContent = button.dataset.done;
  });
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}

document.querySelector("[data-focus]")?.focus();

/* What is missing is said in the language of the page, not of the browser; a word set here goes with the next change. */
const missing = JSON.parse(document.body.dataset.missing);
const kinds = { radio: "choose", checkbox: "tick", "select-one": "choose" };
document.addEventListener("invalid", ({ target }) => {
  if (target.validity.valueMissing) target.setCustomValidity(missing[kinds[target.type] ?? "fill"]);
}, true);
document.addEventListener("input", ({ target }) => {
  for (const field of target.form?.elements ?? []) field.setCustomValidity?.("");
});

/* A poll that fails leaves the old values on the screen; say so rather than let them look fresh. */
const stale = document.querySelector("[data-stale]");
if (stale) {
  const set = (isStale) => { stale.hidden = !isStale; };
  document.body.addEventListener("htmx:sendError", () => set(true));
  document.body.addEventListener("htmx:responseError", (event) => {
    set(true);
    if (event.detail.xhr.status === 401) location.reload();
  });
  document.body.addEventListener("htmx:afterOnLoad", (event) => { if (event.detail.xhr.status < 400) set(false); });
}

/* A table that somebody opened to read is not swapped away under their eyes. */
document.body.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt;
  if (part.matches("[data-keep-open]") && part.querySelector("details[open]")) event.preventDefault();
});
