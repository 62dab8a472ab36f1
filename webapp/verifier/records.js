/* The data of events: channels as they are declared, marks of operation, calibrations, changed devices. */

import { compared, decimal, minus } from "./decimal.js";
import { EvidenceError } from "./failures.js";
import { closed, count, dict, flag, id, list, matching, number, oneOf, positive, reason, said, short, sid, text, time, words } from "./forms.js";

const has = (value, name) => value[name] !== undefined;
const hexWords = text(400, /^(?:[0-9A-F]{4}(?: [0-9A-F]{4})*|[01])$/);
const ORDERS = ["ABCD", "BADC", "CDAB", "DCBA", "ABCDEFGH", "BADCFEHG", "GHEFCDAB", "HGFEDCBA", "EFGHABCD", "CDABGHEF"];

function numberOf(shown) {
  try {
    return decimal(shown);
  } catch (error) {
    if (error instanceof EvidenceError) return null;
    throw error;
  }
}

/** Numbers agree when least <= read - shown <= most; words agree when they are the same. */
function agreementFollows(display) {
  const [shown, read] = [numberOf(display.shown), numberOf(display.read)];
  const figures = ["off", "least", "most"].filter((name) => has(display, name));
  if (!shown || !read) return !figures.length && display.agrees === (display.shown === display.read);
  if (figures.length !== 3) return false;
  const [off, least, most] = figures.map((name) => decimal(display[name]));
  const isBetween = (figure) => compared(least, figure) <= 0 && compared(figure, most) <= 0;
  return !compared(off, minus(read, shown)) && isBetween(decimal("0")) && display.agrees === isBetween(off);
}

const display = closed(
  { at: time, shown: said, read: said, read_at: time, words: hexWords, agrees: flag, "off?": number, "least?": number, "most?": number },
  agreementFollows,
);

const commissioned = closed(
  {
    at: time, by: said, point: short, table: oneOf("holding", "input", "coil", "discrete"), address: count, words: hexWords, value: said,
    displays: list(display, 2, 2), "order?": oneOf(...ORDERS), "reason?": reason,
    "neighbours?": list(closed({ offset: oneOf(-1, 1), words: hexWords }), 1, 2),
  },
  ({ displays: [first, last] }) => last.at > first.at,
  ({ at, displays }) => displays.every((one) => one.at <= at && one.read_at <= at),
  ({ words: seen, value, displays: [, last] }) => seen === last.words && value === last.read,
  (one) => has(one, "reason") || one.displays.every((shown) => shown.agrees),
);

const override = closed(
  { rule: matching(/^Q[0-9]{2}$/), reason, "limit?": id, "value?": number, "off?": oneOf("yes") },
  (one) => has(one, "limit") === has(one, "value") && has(one, "limit") !== has(one, "off"),
);
const rules = closed({ id, version: words, hash: sid, "overrides?": list(override, 1) });

export const config = closed(
  {
    channel: id, unit: short, kind: oneOf("value", "interval", "total", "state", "derived"), poll_ms: positive,
    source: closed({ device: short, via: oneOf("modbus", "mqtt", "hj212", "import", "derived") }),
    "param?": short, "subject?": id, "serial?": short, "certificate?": short,
    "profile?": closed({ id: short, version: positive, hash: sid }),
    "totaliser?": closed({ max_rate: number, backstep: number, resettable: flag, "modulus?": number, "step?": number }),
    "stack?": closed({ quantity: id, samples: number, share: number, rules }),
    "derived?": closed({ rule: id, inputs: dict(id, id, 1), "constants?": dict(id, number), "basis?": oneOf("dry", "wet"), rules }),
    "commissioned?": commissioned,
  },
  (one) => (one.kind === "total") === has(one, "totaliser"),
  (one) => !has(one, "derived") || one.kind === "derived",
  (one) => !has(one, "commissioned") || has(one, "profile"),
);

const MARKS = ["stop", "start-up", "drying", "fault", "accident", "blow-back", "maintenance", "monitor-fault", "other"];
const mark = closed(
  {
    record: oneOf("mark"), kind: oneOf(...MARKS), from: time, to: time, entered: time, by: said, reason,
    "subject?": id, "channels?": list(id, 1), "evidence?": list(sid),
  },
  (one) => one.to > one.from && has(one, "subject") !== has(one, "channels"),
);
const calibration = closed({
  record: oneOf("calibration"), channel: id, check: oneOf("zero", "span", "zero-span", "whole-path", "comparison"), at: time, entered: time,
  by: said, passed: flag, "reference?": number, "reading?": number, "note?": words, "evidence?": list(sid),
});
const identity = closed(
  { record: oneOf("identity"), device: id, point: id, before: short, after: short, seen: time, found: time },
  (one) => one.before !== one.after,
);

/** Type of event and form of the data, by the name that a record bears; other data are free. */
const RECORDS = { mark: ["maintenance", mark], calibration: ["calibration", calibration], identity: ["maintenance", identity] };

export function isEventData({ type, data }) {
  if (type === "config" && !config(data)) return false;
  if (typeof data.record !== "string" || !Object.hasOwn(RECORDS, data.record)) return true;
  const [event, form] = RECORDS[data.record];
  return type === event && form(data);
}
