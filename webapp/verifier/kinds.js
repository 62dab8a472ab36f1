/* The payload of every kind of statement, member by member; whatever does not fit is SCHEMA. */

import { compared, decimal, isLess, times, whole } from "./decimal.js";
import { fail } from "./failures.js";
import {
  closed, count, day, dict, gatewayId, id, integer, kid, list, matching, number, oneOf, orNull, period, plantId, positive,
  short, sid, text, time, words,
} from "./forms.js";
import { isEventData } from "./records.js";
import { isObject } from "./strict.js";

const FILE = /^[^/\\\u0000-\u001f\u007f]+$/;
const has = (value, name) => value[name] !== undefined;

const subject = closed({ name: text(200, FILE, 1), size: count, sha256: sid, type: text(100, /^[a-z0-9.+-]+\/[a-z0-9.+-]+$/) });
const subjects = list(subject, 1, 1000);
const anchor = orNull(closed({ origin: short, size: count, root: sid }));
const clock = closed({ boot: short, mono: count, src: oneOf("ntp", "gnss", "rtc", "none"), off_ms: integer(), "sync?": time });
const COMMON = { v: oneOf(1), plant: plantId, t: time };
const DEVICE = { ...COMMON, gw: gatewayId, epoch: positive, seq: positive, prev: orNull(sid), clk: clock, anchor };

const kind = (name, members, ...rules) => closed({ ...COMMON, kind: oneOf(name), ...members }, ...rules);
const device = (name, members, ...rules) =>
  closed({ ...DEVICE, kind: oneOf(name), ...members }, (one) => (one.prev === null) === (one.seq === 1), ...rules);

const GROUPS = [["sum", "min", "max"], ["first", "last", "use"]];

function figuresCanBeTrue(entry) {
  if (entry.valid > entry.n) return false;
  for (const group of GROUPS) {
    const given = group.filter((name) => has(entry, name)).length;
    if (given && (given < 3 || !entry.valid)) return false;
  }
  if (has(entry, "use") && decimal(entry.use).n < 0n) return false;
  if (!has(entry, "sum")) return true;
  const [sum, low, high] = ["sum", "min", "max"].map((name) => decimal(entry[name]));
  const [least, most] = [low, high].map((limit) => times(limit, whole(entry.valid)));
  return !isLess(high, low) && compared(least, sum) <= 0 && compared(sum, most) <= 0;
}

const entry = closed(
  {
    id, n: positive, valid: count, "sum?": number, "min?": number, "max?": number, "hour?": time, "first?": number, "last?": number,
    "use?": number, "gap?": oneOf(true), "minutes?": matching(/^[NFMSDCTB-]{60}$/), "code?": id,
    "found?": dict(matching(/^Q[0-9]{2}$/), positive, 1),
  },
  figuresCanBeTrue,
);

const challengedTile = closed({ gw: gatewayId, epoch: positive, tile: count, state: oneOf("proven", "refused", "missing") });
const challenge = closed(
  { month: sid, asked: count, seed: text(4000), tiles: list(challengedTile, 1, 450), result: oneOf("passed", "failed") },
  ({ tiles }) => new Set(tiles.map(({ gw, epoch, tile }) => `${gw} ${epoch} ${tile}`)).size === tiles.length,
);

const KINDS = {
  segment: device(
    "segment",
    { tree: closed({ start: count, end: count, root: sid }), span: list(time, 2, 2), ch: list(entry) },
    ({ tree, span }) => tree.end > tree.start && span[1] > span[0],
    ({ tree, ch }) => ch.reduce((sum, { n }) => sum + BigInt(n), 0n) === BigInt(tree.end - tree.start),
    ({ ch }) => new Set(ch.map((one) => `${one.id} ${one.hour}`)).size === ch.length,
  ),
  event: device(
    "event",
    { type: oneOf("epoch-open", "clock-step", "gap", "restart", "config", "calibration", "maintenance"), data: isObject },
    isEventData,
  ),
  month: device(
    "month",
    {
      period, rev: positive, supersedes: orNull(sid), prev_month: orNull(sid), subjects, declared: list(sid, 2, 2), "reason?": words,
      cover: list(closed({ gw: gatewayId, epoch: positive, start: count, end: count, root: sid, first: sid, last: sid, n: positive })),
    },
    (one) => (one.supersedes === null) === (one.rev === 1) && (one.supersedes === null || Boolean(one.reason)),
  ),
  lab: kind("lab", {
    sample: short, point: short, taken: time, subjects: list(subject),
    results: list(closed({ param: short, value: number, unit: short, method: short, "lod?": number }), 1),
  }),
  ledger: kind(
    "ledger",
    {
      param: short, value: number, unit: short, mode: oneOf("measured", "default", "calculated"), source: words, subjects: list(subject),
      "subject?": id, "period?": period, "day?": day,
    },
    (one) => has(one, "period") !== has(one, "day"),
  ),
  declare: kind(
    "declare",
    { role: oneOf("technician", "responsible"), period, rev: positive, subjects, after: orNull(sid), "reason?": words },
    (one) => (one.after === null) === (one.role === "technician"),
  ),
  review: kind("review", {
    level: oneOf("city", "province", "nation"), subject: sid, decision: oneOf("approve", "return", "reject", "query"), after: sid,
    report: sid, note: words, anchor,
  }),
  inspect: kind(
    "inspect",
    { subjects: list(sid, 1, 1000), findings: list(words, 0, 100), anchor, "challenge?": challenge },
    (one) => !has(one, "challenge") || one.subjects.includes(one.challenge.month),
  ),
  key: kind(
    "key",
    {
      op: oneOf("enrol", "approve", "revoke"), kid, "jwk?": dict(() => true, (part) => typeof part === "string"), "nonce?": short, "sm2?": matching(/^[0-9a-f]{128}$/),
      "owner?": closed({ type: oneOf("gateway", "person", "registrar"), id }), "roles?": list(short),
      "scope?": closed({ "plants?": list(id), "region?": text(12, /^[0-9]*$/) }),
      "reason?": oneOf("superseded", "lost", "compromised", "ceased"),
    },
    (one) => !has(one, "sm2") || one.op === "enrol",
    (one) => {
      const wanted = { enrol: "jwk,nonce", approve: "owner,roles,scope", revoke: "reason" }[one.op];
      return ["jwk", "nonce", "owner", "reason", "roles", "scope"].filter((name) => has(one, name)).join() === wanted;
    },
  ),
};

/** Members that say something by being null; every other member is absent instead. */
const NULLABLE = ["prev", "anchor", "after", "supersedes", "prev_month"];

function holdsNull(value, isTop) {
  if (value === null) return true;
  if (typeof value !== "object") return false;
  return Object.entries(value).some(([name, member]) => !(isTop && member === null && NULLABLE.includes(name)) && holdsNull(member, false));
}

/** Check a parsed payload against its kind. */
export function checkPayload(payload) {
  if (!isObject(payload)) fail("SCHEMA", "a payload is an object");
  if (typeof payload.kind !== "string" || !Object.hasOwn(KINDS, payload.kind)) fail("SCHEMA", "unknown kind");
  if (holdsNull(payload, true)) fail("SCHEMA", `${payload.kind}: a member is null; leave it out instead`);
  if (!KINDS[payload.kind](payload)) fail("SCHEMA", `${payload.kind}: a member is not as prescribed`);
}

