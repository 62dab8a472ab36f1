/* A month (C2): chain, declarations, cover, channels, files, sums, approvals. Works on statements that passed C1. */

import { compared, decimal, plus } from "./decimal.js";
import { EvidenceError, fail } from "./failures.js";
import { channelsBefore } from "./recount.js";
import { byText, canonicalJson, grouped, isObject, isSame, pairs, parseTime } from "./strict.js";

const BODY = "body.json";
const INDETERMINATE = "INDETERMINATE";
const DRIFT_MS = 60000;

/** Return [plant, period] of the months that a bundle is about: whose body it holds, or all. */
export function monthsInQuestion(months, content) {
  const scopes = (which) => [...new Map(which.map(({ payload }) => [`${payload.plant} ${payload.period}`, payload])).values()];
  const isHeld = ({ payload }) => payload.subjects.some(({ name, sha256 }) => name === BODY && content.has(sha256));
  const held = scopes(months.filter(isHeld));
  const found = (held.length ? held : scopes(months)).map(({ plant, period }) => [plant, period]);
  return found.sort((one, other) => byText(one[0], other[0]) || byText(one[1], other[1]));
}

/** Return the month statement that counts, checking that revisions form one line. */
export function newestRevision(months, found) {
  const bySid = new Map(months.map((month) => [month.sid, month]));
  for (const [before, group] of grouped(months, ({ payload }) => payload.supersedes)) {
    const old = bySid.get(before);
    if (group.length > 1) {
      found.add(before === null ? "PERIOD_DUPLICATE" : "SUPERSEDE_FORK", `${group.length} statements for one revision`, group[1].sid);
    } else if (old && old.payload.rev + 1 !== group[0].payload.rev) {
      found.add("SUPERSEDE_FORK", "revisions do not count up by one", group[0].sid);
    }
  }
  return months.reduce((best, month) => ((month.payload.rev - best.payload.rev || byText(month.sid, best.sid)) > 0 ? month : best));
}

/** What a revision supersedes is the revision before it, and what it names as the month before is one. */
export function checkLine(here, months, found) {
  const byRev = new Map(here.map(({ payload, sid }) => [payload.rev, sid]));
  const sids = [...byRev.values()];
  for (const { payload, sid } of here) {
    if (payload.supersedes !== null && !sids.includes(payload.supersedes)) {
      if (byRev.has(payload.rev - 1)) found.add("SUPERSEDE_FORK", "it supersedes another revision than the one here", sid);
      else found.add("CHAIN_INCOMPLETE", "the revision that it supersedes is not here", sid, INDETERMINATE);
    }
    const previous = months.find((month) => month.sid === payload.prev_month)?.payload;
    if (previous && (previous.plant !== payload.plant || previous.period >= payload.period)) {
      found.add("CHAIN_INCOMPLETE", "what it names as the month before is no earlier month of the plant", sid);
    }
  }
}

/** Within one boot the milliseconds rise, and the wall clock goes with them but for steps that are declared. */
function checkClock(old, next, sid, found) {
  const passed = next.clk.mono - old.clk.mono;
  const step = parseTime(next.t) - parseTime(old.t) - passed;
  if (passed < 0) found.add("CLOCK_STEP_UNDECLARED", "the monotonic clock ran backwards within one boot", sid);
  else if (Math.abs(step) > DRIFT_MS && !isDeclared(step, next)) {
    found.add("CLOCK_STEP_UNDECLARED", `the wall clock jumped by ${Math.round(step / 1000)} s within one boot, and no event says so`, sid);
  }
}

/** Tell whether a statement is the event of this very step, or says that the clock is not trusted from here on. */
function isDeclared(step, { kind, type, data }) {
  if (kind !== "event" || type !== "clock-step" || ![data.after, data.before].every((text) => typeof text === "string")) return false;
  try {
    const stated = parseTime(data.after) - parseTime(data.before);
    return data.trusted === false || Math.abs(stated - step) <= DRIFT_MS;
  } catch (error) {
    if (error instanceof EvidenceError) return false;
    throw error;
  }
}

function checkLink(before, after, found) {
  const [old, next] = [before.payload, after.payload];
  if (next.seq !== old.seq + 1) return;
  if (next.prev !== before.sid) found.add("CHAIN_INCOMPLETE", `statement ${next.seq} does not follow ${old.seq}`, after.sid);
  if (next.clk.boot === old.clk.boot) checkClock(old, next, after.sid, found);
  if (old.anchor && (!next.anchor || next.anchor.size < old.anchor.size)) {
    // Who signs the next statement knows at least the log that the one before knew: no delay explains this.
    found.add("ANCHOR_STALE", "the anchor fell behind that of the statement before", after.sid, "INVALID");
  }
}

const bySeq = (one, other) => one.payload.seq - other.payload.seq || byText(one.sid, other.sid);

/** Check the part of a gateway's chain that a month stands on; return its segments in order. */
function checkChain(cover, device, found) {
  const name = `${cover.gw} epoch ${cover.epoch}`;
  const end = (sid) => device.find((one) => one.sid === sid && one.kind === "segment");
  const [first, last] = [end(cover.first), end(cover.last)];
  if (!first || !last) {
    found.add("SEGMENT_MISSING", `first or last segment of ${name} is not here`, cover.last);
    return [];
  }
  const places = new Map();
  for (const one of [...device].sort(bySeq)) {
    const { seq } = one.payload;
    if (places.has(seq)) found.add("FORK", `two statements ${seq} of ${name}`, one.sid);
    else places.set(seq, one);
  }
  const [start, stop] = [first.payload.seq, last.payload.seq];
  const chain = [...places.values()].filter(({ payload: { seq } }) => start <= seq && seq <= stop);
  const missing = Math.max(0, stop - start + 1 - chain.length);
  if (missing) found.add("CHAIN_INCOMPLETE", `${missing} statements of ${name} missing`);
  for (const [before, after] of pairs(chain)) checkLink(before, after, found);
  const segments = chain.filter(({ kind }) => kind === "segment");
  for (const [before, after] of pairs(segments)) {
    const gap = after.payload.tree.start - before.payload.tree.end;
    if (gap) found.add(gap > 0 ? "RANGE_GAP" : "RANGE_OVERLAP", `${Math.abs(gap)} readings between segments of ${name}`, after.sid);
  }
  if (!segments.length) {
    found.add("SEGMENT_MISSING", `no segment from first to last of ${name}`, cover.last);
    return [];
  }
  const [head, tail] = [segments[0].payload.tree, segments.at(-1).payload.tree];
  if (!isSame([cover.start, cover.end, cover.root, cover.n], [head.start, tail.end, tail.root, segments.length])) {
    found.add("SEGMENT_MISSING", `cover of ${name} is not what its segments cover`, cover.last);
  }
  return segments;
}

async function checkGatewayChains(checking, one) {
  for (const cover of one.month.payload.cover) {
    const device = one.ours.filter(({ payload }) => payload.gw === cover.gw && payload.epoch === cover.epoch);
    const ends = device.filter(({ sid }) => sid === cover.first || sid === cover.last).map(({ payload }) => payload.seq);
    const things = ends.length ? Math.max(1, Math.max(...ends) - Math.min(...ends) + 1) : 1;
    await checking.examining("chain", () => one.segments.push(...checkChain(cover, device, checking.found)), null, things);
  }
}

function checkDeclares({ month, declares }, found) {
  const missing = month.payload.declared.filter((sid) => !declares.has(sid));
  for (const sid of missing) found.add("DECLARE_MISSING", `declaration ${sid.slice(0, 12)} is not here`, month.sid);
  if (missing.length) return;
  const [technician, responsible] = month.payload.declared.map((sid) => declares.get(sid));
  const isInOrder = technician.payload.role === "technician" && responsible.payload.role === "responsible";
  if (!isInOrder || responsible.payload.after !== technician.sid) {
    found.add("DECLARE_ORDER", "technician first, then the responsible person", month.sid);
  }
  if (technician.signer.owner === responsible.signer.owner) found.add("SEPARATION_OF_DUTY", "one person declared twice", month.sid);
  const newest = [technician, responsible].reduce((most, { index }) => (index !== null && index > most ? index : most), -1n);
  // A gateway that signs a month holds the receipts of its declarations, so it has seen a log that has them.
  if (month.payload.anchor && month.payload.anchor.size <= newest) {
    found.add("ANCHOR_STALE", `anchored to a log of ${month.payload.anchor.size}, yet it names a declaration logged at ${newest}`, month.sid);
  }
  for (const declare of [technician, responsible]) {
    if (!["plant", "period", "rev", "subjects"].every((name) => isSame(declare.payload[name], month.payload[name]))) {
      found.add("DECLARE_MISMATCH", "declared something else than the month states", declare.sid);
    }
  }
}

function checkOrder({ month, declares }, found) {
  const places = [...month.payload.declared.filter((sid) => declares.has(sid)).map((sid) => declares.get(sid)), month];
  for (const [before, after] of pairs(places)) {
    if (before.index !== null && after.index !== null && before.index > after.index) {
      found.add("DECLARE_ORDER", "logged before what it stands on", after.sid);
    }
  }
}

async function checkDeclarations(checking, one) {
  await checking.examining("declaration", () => {
    checkDeclares(one, checking.found);
    checkOrder(one, checking.found);
  }, null, one.month.payload.declared.length);
}

/** The cover names no segment twice and leaves none out that was logged before the month was declared. */
function checkCover({ month, ours, zone, declaring }, found) {
  const covers = month.payload.cover;
  const ranges = new Map(covers.map((cover) => [`${cover.gw} ${cover.epoch}`, cover]));
  if (ranges.size !== covers.length) found.add("RANGE_OVERLAP", "the cover names one gateway and epoch twice", month.sid);
  const declaredAt = declaring[0]?.index ?? null;
  for (const { kind, index, payload, sid } of ours) {
    if (kind !== "segment" || index === null || declaredAt === null || index > declaredAt) continue;
    const { start, end } = ranges.get(`${payload.gw} ${payload.epoch}`) ?? { start: 0, end: 0 };
    if (start <= payload.tree.start && payload.tree.end <= end) continue;
    const speaks = payload.ch.some((entry) => zone.monthOf(zone.entryHour(entry, payload.span)) === month.payload.period);
    if (speaks) found.add("SEGMENT_MISSING", "the cover leaves out a segment of the month", sid, "INVALID");
  }
}

async function checkCovered(checking, one) {
  const { found } = checking;
  await checking.examining("cover", () => checkCover(one, found), null, Math.max(1, one.segments.length));
  for (const { payload, sid } of one.segments) {
    await checking.examining("hour", () => {
      for (const entry of payload.ch) {
        const hour = one.zone.entryHour(entry, payload.span);
        if (one.zone.hourOf(hour) !== hour) found.add("SCHEMA", `${entry.id}: ${entry.hour} is not the start of an hour`, sid);
      }
    }, sid, Math.max(1, payload.ch.length));
  }
}

async function checkDeclaredChannels(checking, one) {
  const events = one.ofKind("event").map(({ payload }) => payload);
  const asked = new Set();
  for (const { payload, sid } of one.segments) {
    const names = [...new Set(payload.ch.map(({ id }) => id))].filter((id) => !asked.has(`${payload.gw} ${payload.epoch} ${id}`)).sort();
    const declared = names.length ? channelsBefore(payload, events) : null;
    for (const name of names) {
      asked.add(`${payload.gw} ${payload.epoch} ${name}`);
      await checking.examining("channel", () => {
        if (!declared.has(name)) checking.found.add("CHAIN_INCOMPLETE", `the declaration of channel ${name} is not here`, sid, INDETERMINATE);
      }, sid);
    }
  }
}

async function checkListedFiles({ bundle, found, ...checking }, one) {
  for (const { payload, sid } of [one.month, ...one.ofKind("ledger", "lab")]) {
    if (!payload.subjects.length) continue;
    await checking.examining("listed", () => {
      for (const { name, size, sha256 } of payload.subjects) {
        const file = bundle.content.get(sha256);
        if (!file) found.add("CONTENT_MISSING", `${name} is not here`, sid);
        else if (file.size !== size) found.add("CONTENT_HASH", `${name} has ${file.size} bytes, not ${size}`, sid);
      }
    }, sid, payload.subjects.length);
  }
}

/** Add up the entries of segments whose hour lies in the month. */
function channelSums({ segments, month, zone }) {
  const totals = new Map();
  for (const { payload } of segments) {
    for (const entry of payload.ch) {
      if (zone.monthOf(zone.entryHour(entry, payload.span)) !== month.payload.period) continue;
      const key = JSON.stringify([payload.gw, entry.id]);
      const old = totals.get(key) ?? { n: 0, valid: 0, sum: null, use: null };
      const more = (name) => (entry[name] === undefined ? old[name] : plus(decimal(entry[name]), old[name] ?? decimal("0")));
      totals.set(key, { n: old.n + entry.n, valid: old.valid + entry.valid, sum: more("sum"), use: more("use") });
    }
  }
  return totals;
}

function statesFigures(entry, counted) {
  if (entry.n !== counted.n || entry.valid !== counted.valid) return false;
  try {
    const stated = ["sum", "use"].map((name) => entry[name] ?? null).filter((text) => text !== null).map(decimal);
    const wanted = [counted.use ?? counted.sum].filter((figure) => figure !== null);
    return stated.length === wanted.length && stated.every((figure, at) => !compared(figure, wanted[at]));
  } catch (error) {
    if (error instanceof EvidenceError) return false;
    throw error;
  }
}

function readBody(data) {
  const body = canonicalJson(data);
  if (!isObject(body) || !Array.isArray(body.channels)) fail("PAYLOAD", "no channels");
  const channels = new Map();
  for (const entry of body.channels) {
    if (!isObject(entry) || typeof entry.gw !== "string" || typeof entry.id !== "string") fail("PAYLOAD", "a channel is not named by texts");
    channels.set(JSON.stringify([entry.gw, entry.id]), entry);
  }
  return { body, channels };
}

/** Return the channels that were declared with more than one unit or kind; of these only counts can be compared. */
function unitsChanged(events) {
  const seen = new Map();
  for (const { payload: { gw, type, data } } of events) {
    if (type !== "config") continue;
    const key = JSON.stringify([gw, data.channel]);
    seen.set(key, (seen.get(key) ?? new Set()).add(`${data.kind} ${data.unit}`));
  }
  return (key) => (seen.get(key)?.size ?? 0) > 1;
}

function checkSums(one, data, found) {
  const { month } = one;
  let read;
  try {
    read = readBody(data);
  } catch (error) {
    if (!(error instanceof EvidenceError)) throw error;
    found.add("PAYLOAD", `${BODY} is not a body: ${error.detail}`, month.sid);
    return;
  }
  const { body, channels } = read;
  const { plant, period, cover } = month.payload;
  if (body.plant !== plant || body.period !== period) found.add("AGGREGATE_MISMATCH", "the body speaks of another plant or period", month.sid);
  if (!isSame(body.cover, cover)) found.add("AGGREGATE_MISMATCH", "the body stands on another cover than the month", month.sid);
  const [sums, isChanged] = [channelSums(one), unitsChanged(one.ofKind("event"))];
  for (const key of [...new Set([...sums.keys(), ...channels.keys()])].sort()) {
    const [counted, entry] = [sums.get(key), channels.get(key)];
    const isSum = counted && entry && (isChanged(key) ? entry.n === counted.n && entry.valid === counted.valid : statesFigures(entry, counted));
    if (!isSum) found.add("AGGREGATE_MISMATCH", `channel ${key} is not the sum of its hours`, month.sid);
  }
}

/** The technician gave a reason where the body has findings of severity E. */
function checkReason(declaring, data, found) {
  let issues;
  try {
    issues = canonicalJson(data).issues ?? [];
  } catch (error) {
    if (error instanceof EvidenceError) return;
    throw error;
  }
  if (!Array.isArray(issues) || !issues.every(isObject)) return;
  const open = issues.filter(({ code }) => code === "QUALITY_ERROR").length;
  if (open && declaring.length && !declaring[0].payload.reason?.trim()) {
    found.add("QUALITY_OPEN", `${open} findings of severity E stand without a written reason`, declaring[0].sid);
  }
}

async function checkBody(checking, one) {
  const [{ sid, payload }, { found }] = [one.month, checking];
  const [first] = payload.subjects;
  if (first.name !== BODY) {
    await checking.examining("sum", () => found.add("DECLARE_MISMATCH", `the first subject is ${first.name}, not ${BODY}`, sid), sid);
    return;
  }
  const file = checking.bundle.content.get(first.sha256);
  if (!file) return;
  const data = await file.bytes();
  const channels = new Set(one.segments.flatMap((segment) => segment.payload.ch.map(({ id }) => JSON.stringify([segment.payload.gw, id]))));
  await checking.examining("sum", () => checkSums(one, data, found), sid, Math.max(1, channels.size));
  await checking.examining("quality", () => checkReason(one.declaring, data, found), sid);
}

/** Check the line of reviews of a month; return the decision that stands at each level. */
function checkReviews({ month, declaring }, reviews, found) {
  const place = ({ index }) => index ?? Infinity;
  const inOrder = [...reviews].sort((one, other) => (place(one) === place(other) ? byText(one.sid, other.sid) : place(one) < place(other) ? -1 : 1));
  const standing = new Map(inOrder.map((review) => [review.payload.level, review]));
  const people = new Map(declaring.map(({ signer }) => [signer.owner, "plant"]));
  let previous = month;
  for (const level of ["city", "province"]) {
    const here = standing.get(level);
    if (here?.payload.decision !== "approve" || here.payload.after !== previous.sid) {
      found.add("NOT_APPROVED", `not approved, or out of order, at ${level} level for this revision`, month.sid);
      break;
    }
    if (here.index !== null && previous.index !== null && here.index < previous.index) {
      found.add("NOT_APPROVED", `${level} decided before what it decides on was logged`, here.sid);
    }
    if (people.has(here.signer.owner)) found.add("SEPARATION_OF_DUTY", `one person at ${people.get(here.signer.owner)} and ${level}`, here.sid);
    people.set(here.signer.owner, level);
    previous = here;
  }
  const nation = standing.get("nation");
  if (["return", "reject"].includes(nation?.payload.decision)) found.add("NOT_APPROVED", "returned or rejected at nation level", nation.sid);
  if (nation && people.has(nation.signer.owner)) found.add("SEPARATION_OF_DUTY", `one person at ${people.get(nation.signer.owner)} and nation`, nation.sid);
  const levels = ["city", "province", "nation"].filter((level) => standing.has(level));
  return Object.fromEntries(levels.map((level) => [level, standing.get(level).payload.decision]));
}

async function checkApprovals(checking, one) {
  const reviews = one.ofKind("review").filter(({ payload }) => payload.subject === one.month.sid);
  await checking.examining("approval", () => Object.assign(checking.subject, checkReviews(one, reviews, checking.found)), one.month.sid);
  for (const { payload, sid } of reviews) {
    await checking.examining("report", () => {
      if (!checking.bundle.content.has(payload.report)) checking.found.add("CONTENT_MISSING", "the report that this review stands on is not here", sid);
    }, sid);
  }
}

/** What is checked of one month, in this order; the first gathers the segments that the others need. */
export const MONTH_CHECKS = [
  checkGatewayChains, checkDeclarations, checkCovered, checkDeclaredChannels, checkListedFiles, checkBody, checkApprovals,
];
