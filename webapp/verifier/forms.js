/* What payloads are made of: each form is a function that tells whether a value has it. */

import { EvidenceError } from "./failures.js";
import { decimal } from "./decimal.js";
import { isCount, isObject, parseTime } from "./strict.js";

const holds = (step) => {
  try {
    return step();
  } catch (error) {
    if (error instanceof EvidenceError) return false;
    throw error;
  }
};

/** A text of so many characters, of a pattern where one is given. */
export const text = (most = 200, pattern = /^/, least = 0) => (value) => {
  if (typeof value !== "string" || !pattern.test(value)) return false;
  const length = [...value].length;
  return least <= length && length <= most;
};
export const matching = (pattern) => text(Infinity, pattern);
export const oneOf = (...words) => (value) => words.includes(value);
export const integer = (least = -Infinity, most = Infinity) => (value) => Number.isSafeInteger(value) && least <= value && value <= most;
export const count = isCount;
export const positive = integer(1);
export const flag = (value) => typeof value === "boolean";
export const list = (form, least = 0, most = Infinity) => (value) =>
  Array.isArray(value) && least <= value.length && value.length <= most && value.every(form);
export const dict = (name, form, least = 0) => (value) =>
  isObject(value) && Object.keys(value).length >= least && Object.entries(value).every(([key, member]) => name(key) && form(member));
export const orNull = (form) => (value) => value === null || form(value);

/** An object of exactly these members; a name that ends in ? may be absent. Rules look at the whole. */
export const closed = (members, ...rules) => (value) =>
  isObject(value) &&
  Object.keys(value).every((name) => Object.hasOwn(members, name) || Object.hasOwn(members, `${name}?`)) &&
  Object.entries(members).every(([name, form]) => {
    const member = value[name.replace("?", "")];
    return member === undefined ? name.endsWith("?") : form(member);
  }) &&
  rules.every((rule) => rule(value));

const year = (value) => value.slice(0, 4) >= "2000" && value.slice(0, 4) <= "2199";
export const time = (value) => typeof value === "string" && holds(() => parseTime(value) !== null) && year(value);
export const day = (value) => typeof value === "string" && value.length === 10 && time(`${value}T00:00:00.000Z`);
export const number = (value) => text(64)(value) && holds(() => decimal(value) !== null);
export const period = (value) => matching(/^[0-9]{4}-(?:0[1-9]|1[0-2])$/)(value) && year(value);

const ID = /^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$/;
export const id = text(64, ID);
export const gatewayId = text(32, ID);
export const plantId = text(64, /^(?:[A-Za-z0-9][A-Za-z0-9._-]*)?$/);
export const sid = matching(/^[0-9a-f]{64}$/);
export const kid = matching(/^[A-Za-z0-9_-]{43}$/);
export const short = text(200);
export const said = text(200, /^/, 1);
export const words = text(2000);
export const reason = text(2000, /^/, 1);
