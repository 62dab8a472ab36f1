/* Canonical JSON (RFC 8785) for what statements hold: strings, integers, booleans, null, arrays, objects. Floats are refused. */

import { problem } from "./problems.js";

const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

function text(value) {
  if (LONE_SURROGATE.test(value)) throw problem("surrogate", "a string holds half a character (lone surrogate)");
  return JSON.stringify(value);
}

/** Return the canonical text. Members are in the order of UTF-16 code units, which is what Array.sort() does. */
export function canonical(value) {
  if (value === null || value === true || value === false) return String(value);
  if (typeof value === "string") return text(value);
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) throw problem("number", `only whole numbers up to 2^53-1 can be signed, not ${value}`);
    return String(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (typeof value === "object" && [Object.prototype, null].includes(Object.getPrototypeOf(value))) {
    return `{${Object.keys(value).sort().map((name) => `${text(name)}:${canonical(value[name])}`).join(",")}}`;
  }
  throw problem("type", `a ${typeof value} cannot be signed`);
}
