/* Encodings with one spelling each: base64, JSON, times. A text counts only if encoding its value gives it again. */

import { canonical } from "../static/js/canonical.js";
import { b64u, utf8 } from "../static/js/encoding.js";
import { fail } from "./failures.js";

const MAX_DEPTH = 16;
const TIME = /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$/;

function fromBase64(text) {
  try {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  } catch {
    return fail("ENCODING", "not base64");
  }
}

/** Decode base64url without padding. */
export function unb64u(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) fail("ENCODING", "not base64url without padding");
  const data = fromBase64(text.replaceAll("-", "+").replaceAll("_", "/"));
  return b64u(data) === text ? data : fail("ENCODING", "base64url with loose trailing bits");
}

/** Encode as base64 with padding. */
export const b64 = (data) => {
  const text = b64u(data).replaceAll("-", "+").replaceAll("_", "/");
  return text + "=".repeat(-text.length & 3);
};

/** Decode base64 with padding. */
export function unb64(text) {
  const data = fromBase64(text);
  return b64(data) === text ? data : fail("ENCODING", "base64 with loose trailing bits");
}

/** Decode bytes as a code of the caller's, or fail with it. */
export function decoded(data, code, label = "utf-8") {
  if (label === "ascii" && data.some((byte) => byte > 127)) fail(code, "a byte is not ASCII");
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return fail(code, "not UTF-8");
  }
}

export const unhex = (text) => Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
export const isCount = (value) => Number.isSafeInteger(value) && value >= 0;

/** Tell whether two values are the same, member by member. */
export const isSame = (one, other) => canonical(one ?? null) === canonical(other ?? null);

/** The neighbours of a list, two and two. */
export const pairs = (list) => list.slice(1).map((after, at) => [list[at], after]);

/** Sort things into lists by a key, in their order. */
export function grouped(things, keyOf) {
  const groups = new Map();
  for (const one of things) {
    const key = keyOf(one);
    if (groups.has(key)) groups.get(key).push(one);
    else groups.set(key, [one]);
  }
  return groups;
}

/** Compare two texts by code points, as the protocol sorts names and sids. */
export const byText = (one, other) => (one < other ? -1 : one > other ? 1 : 0);

/** A reader of JSON that refuses all that two readers could understand differently. */
class StrictReader {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  refuse(what) {
    fail("PAYLOAD", `${what} at character ${this.at}`);
  }

  take(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at += found[0].length;
    return found?.[0];
  }

  skip() {
    this.take(/[ \t\n\r]*/y);
  }

  is(mark) {
    this.skip();
    if (this.text[this.at] !== mark) return false;
    this.at += 1;
    return true;
  }

  value(depth) {
    this.skip();
    const next = this.text[this.at];
    if ((next === "{" || next === "[") && depth >= MAX_DEPTH) this.refuse(`nested deeper than ${MAX_DEPTH}`);
    if (next === "{") return this.object(depth + 1);
    if (next === "[") return this.list(depth + 1);
    if (next === '"') return this.string();
    const word = this.take(/true|false|null/y);
    if (word) return { true: true, false: false, null: null }[word];
    const number = this.take(/-?(?:0|[1-9][0-9]*)/y) ?? this.refuse("no JSON");
    if (/[.eE0-9]/.test(this.text[this.at] ?? "")) this.refuse("no integer");
    if (number === "-0" || !Number.isSafeInteger(Number(number))) this.refuse("integer out of range");
    return Number(number);
  }

  string() {
    const text = this.take(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y) ?? this.refuse("no string");
    const value = JSON.parse(text);
    return value.isWellFormed?.() ?? !/\p{Surrogate}/u.test(value) ? value : this.refuse("lone surrogate");
  }

  object(depth) {
    const members = Object.create(null);
    this.at += 1;
    if (this.is("}")) return members;
    do {
      this.skip();
      const name = this.text[this.at] === '"' ? this.string() : this.refuse("no member name");
      if (name in members) this.refuse("a member named twice");
      if (!this.is(":")) this.refuse("no colon");
      members[name] = this.value(depth);
    } while (this.is(","));
    return this.is("}") ? members : this.refuse("no end of an object");
  }

  list(depth) {
    const values = [];
    this.at += 1;
    if (this.is("]")) return values;
    do values.push(this.value(depth));
    while (this.is(","));
    return this.is("]") ? values : this.refuse("no end of a list");
  }
}

/** Parse JSON strictly; objects have no prototype, so that no name means anything. */
export function strictJson(data) {
  const reader = new StrictReader(typeof data === "string" ? data : decoded(data, "PAYLOAD"));
  const value = reader.value(0);
  reader.skip();
  return reader.at === reader.text.length ? value : reader.refuse("something behind the value");
}

/** Parse strictly and insist that the bytes are the canonical form of their value. */
export function canonicalJson(data) {
  const value = strictJson(data);
  const again = utf8(canonical(value));
  const isCanonical = again.length === data.length && again.every((byte, at) => byte === data[at]);
  return isCanonical ? value : fail("PAYLOAD", "JSON is not in canonical form");
}

/** Read the one spelling of a time; milliseconds. */
export function parseTime(text) {
  const moment = TIME.test(text) && !text.startsWith("0000") ? new Date(text) : null;
  const isTime = moment !== null && !Number.isNaN(moment.getTime()) && moment.toISOString() === text;
  return isTime ? moment.getTime() : fail("SCHEMA", "not a UTC time with three decimals");
}
