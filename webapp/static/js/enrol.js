/* The page "My signing key": say what this browser holds, make a key, prove its possession over the server's nonce. */

import { find, groups, isAvailable, make } from "./keystore.js";
import { explain, problem } from "./problems.js";
import { now, sign } from "./statement.js";

const form = document.querySelector("form[data-enrol]");
const words = JSON.parse(form.dataset.words);
const button = form.querySelector("[data-make]");
const account = document.body.dataset.account;

function say(text, kind) {
  const place = form.querySelector("[data-outcome]");
  place.className = kind ? `outcome note ${kind}` : "outcome";
  place.textContent = text;
}

async function fetchNonce() {
  const answer = await fetch(form.dataset.nonceUrl, {
    method: "POST",
    headers: { "X-CSRFToken": form.elements.csrf_token.value, Accept: "application/json" },
  });
  if (!answer.ok) throw problem("server", `HTTP ${answer.status}`);
  return (await answer.json()).nonce;
}

/** Return the key of this browser, unless it was registered and has ended: such a key is never taken again. */
async function usable() {
  const entry = await find(account);
  return entry && !JSON.parse(form.dataset.ended).includes(entry.kid) ? entry : undefined;
}

async function enrol() {
  const nonce = await fetchNonce();
  const held = await usable();
  const entry = held ?? (await make(account));
  const payload = { v: 1, kind: "key", plant: form.dataset.plant, t: now(), op: "enrol", kid: entry.kid, jwk: entry.jwk, nonce };
  const { jws } = await sign(payload, entry);
  form.elements.statement.value = jws;
  form.submit();
}

async function show() {
  if (!isAvailable()) {
    button.disabled = true;
    return say(words.insecure, "bad");
  }
  const entry = await usable();
  const here = document.querySelector("[data-here]");
  const registered = form.dataset.kid;
  if (!entry) here.textContent = registered ? words.elsewhere : words.none;
  else {
    here.textContent = groups(entry.kid);
    here.classList.add("fingerprint");
    if (entry.kid === registered) form.querySelectorAll("[data-offer]").forEach((part) => { part.hidden = true; });
    else {
      button.textContent = words.register;
      if (registered) say(words.differs, "warn");
    }
  }
  button.disabled = false;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  say(words.working, "");
  try {
    await enrol();
  } catch (error) {
    say(`${words.failed} ${explain(form, error)}`, "bad");
    button.disabled = false;
  }
});

show().catch((error) => say(`${words.failed} ${explain(form, error)}`, "bad"));
