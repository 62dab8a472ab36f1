/* A form that signs: form[data-sign] holds the text to be signed in [data-payload]; what the person enters fills its members.

   The text on the screen is the text that is signed, plus `t`, the time of signing. The form then goes the ordinary way. */

import { canonical } from "./canonical.js";
import { find, isAvailable } from "./keystore.js";
import { explain } from "./problems.js";
import { now, sign } from "./statement.js";

/** One text a line, without empty ones. */
function lines(text) {
  return text.split("\n").map((line) => line.trim()).filter(Boolean);
}

function entered(form) {
  const members = {};
  for (const field of form.querySelectorAll("[data-member]")) {
    if (field.type === "radio" && !field.checked) continue;
    const text = field.value.trim();
    members[field.dataset.member] = "lines" in field.dataset ? lines(text) : text;
  }
  return members;
}

/** Return the payload as it stands: the page's text with what was entered in the place of its members. */
function payloadOf(form) {
  const payload = JSON.parse(form.querySelector("[data-payload]").textContent);
  for (const [name, value] of Object.entries(entered(form))) {
    if (value === "" && !(name in payload)) continue;
    else payload[name] = value;
  }
  return payload;
}

function say(form, words, kind) {
  const place = form.querySelector("[data-outcome]");
  place.className = kind ? `outcome note ${kind}` : "outcome";
  place.textContent = words;
}

async function signAndSend(form, words) {
  if (!isAvailable()) return say(form, words.insecure, "bad");
  const entry = await find(document.body.dataset.account);
  if (!entry) return say(form, words.nokey, "bad");
  if (form.dataset.kid && form.dataset.kid !== entry.kid) return say(form, words.otherkey, "bad");
  say(form, words.signing, "");
  const { jws } = await sign({ ...payloadOf(form), t: now() }, entry);
  form.elements.statement.value = jws;
  form.dataset.signed = "yes";
  form.submit();
}

function prepare(form) {
  if ("ready" in form.dataset) return;
  form.dataset.ready = "yes";
  const words = JSON.parse(form.dataset.words);
  const preview = form.querySelector("[data-preview]");
  const button = form.querySelector("[data-sign-button]");
  const show = () => {
    const note = form.querySelector("#note");
    if (note) note.required = Boolean(form.querySelector("[data-needs-note]:checked"));
    if (preview) preview.textContent = canonical(payloadOf(form));
  };
  form.addEventListener("input", show);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.dataset.signed || button.disabled) return;
    button.disabled = true;
    try {
      await signAndSend(form, words);
    } catch (error) {
      say(form, `${words.failed} ${explain(form, error)}`, "bad");
    } finally {
      if (!form.dataset.signed) button.disabled = false;
    }
  });
  show();
  if ("locked" in form.dataset) return; // the page says why; the button stays shut
  unlock(form, words, button);
}

/* The button opens when this browser holds the registered key; else one warning says what to do. */
async function unlock(form, words, button) {
  if (!isAvailable()) return say(form, words.insecure, "bad");
  try {
    const entry = await find(document.body.dataset.account);
    if (!entry) return say(form, words.nokey, "warn");
    if (form.dataset.kid && form.dataset.kid !== entry.kid) return say(form, words.otherkey, "warn");
    button.disabled = false;
  } catch (error) {
    say(form, `${words.failed} ${explain(form, error)}`, "bad");
  }
}

globalThis.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
document.querySelectorAll("form[data-sign]").forEach(prepare);
/* A form that came after the page: the review's, once the verification is done. */
document.body.addEventListener("htmx:load", (event) => event.detail.elt.querySelectorAll("form[data-sign]").forEach(prepare));
