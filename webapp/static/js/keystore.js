/* The browser's own signing keys: ECDSA P-256, not extractable, in IndexedDB, one for each account of this site. */

import { problem } from "./problems.js";
import { thumbprint } from "./statement.js";

const NAME = "cunzheng-keys";
const STORE = "keys";

/** Say whether this browser can hold a signing key here (it cannot without HTTPS). */
export const isAvailable = () => Boolean(globalThis.isSecureContext && globalThis.crypto?.subtle && globalThis.indexedDB);

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(NAME, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "account" });
    request.onsuccess = () => {
      request.result.onversionchange = () => request.result.close();
      resolve(request.result);
    };
    request.onerror = () => reject(request.error);
    request.onblocked = () => reject(problem("blocked", "another tab holds the key store open"));
  });
}

async function inStore(mode, act) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode, { durability: "strict" });
      const request = act(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onerror = transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

/** Return {account, kid, jwk, key, made} or undefined. */
export const find = (account) => inStore("readonly", (store) => store.get(account));

/** Make a key for the account and keep it. The private half can be used here but never read out. */
export async function make(account) {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  const jwk = { crv, kty, x, y };
  const entry = { account, kid: await thumbprint(jwk), jwk, key: pair.privateKey, made: new Date().toISOString() };
  await inStore("readwrite", (store) => store.put(entry));
  await navigator.storage?.persist?.().catch(() => false);
  return entry;
}

/** Return the fingerprint in groups of four, as people read it out. */
export const groups = (kid) => kid.match(/.{1,4}/g).join(" ");
