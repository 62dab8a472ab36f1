/* Exact decimals: a whole number `n`, and `scale`, how many of its digits stand behind the point. */

import { fail } from "./failures.js";

const DECIMAL = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$/;
const scaled = (value, scale) => value.n * 10n ** BigInt(scale - value.scale);

/** Read a decimal string; SCHEMA for an exponent, a plus sign, -0, leading zeros and the like. */
export function decimal(text) {
  if (typeof text !== "string" || !DECIMAL.test(text) || /^-[0.]*$/.test(text)) fail("SCHEMA", "not a decimal string");
  const [whole, part = ""] = text.split(".");
  return { n: BigInt(whole + part), scale: part.length };
}

export const plus = (one, other, sign = 1n) => {
  const scale = Math.max(one.scale, other.scale);
  return { n: scaled(one, scale) + sign * scaled(other, scale), scale };
};
export const minus = (one, other) => plus(one, other, -1n);
export const times = (one, other) => ({ n: one.n * other.n, scale: one.scale + other.scale });
export const whole = (count) => ({ n: BigInt(count), scale: 0 });

/** Below 0, 0 or above 0, as one is less than, equal to or more than the other. */
export const compared = (one, other) => {
  const { n } = minus(one, other);
  return n < 0n ? -1 : n > 0n ? 1 : 0;
};

export const isLess = (one, other) => compared(one, other) < 0;

/** Write plainly, keeping the digits: no exponent, no negative zero. */
export function decimalText({ n, scale }) {
  const digits = (n < 0n ? -n : n).toString().padStart(scale + 1, "0");
  const text = scale ? `${digits.slice(0, -scale)}.${digits.slice(-scale)}` : digits;
  return n < 0n ? `-${text}` : text;
}
