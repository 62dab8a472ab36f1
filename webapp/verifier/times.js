/* When things were signed: each statement's time lies between its anchor and its place in the log.

   The times come from outside the plant: cosignatures of witnesses. A log without any says nothing of time. Time-stamps
   (RFC 3161) are not looked at in a browser; the report says so. */

import { BundleError, EvidenceError, fail } from "./failures.js";
import { parseCheckpoint, verifyCheckpoint } from "./note.js";
import { byText, decoded, grouped, parseTime } from "./strict.js";

const CLOCK_TOLERANCE_MS = 5 * 60 * 1000;
const HOUR_MS = 3600 * 1000;
const LATE_MS = 24 * HOUR_MS;
const OVERDUE_MS = 30 * 24 * HOUR_MS;
const LAST_SECOND = BigInt(Date.UTC(9999) / 1000);
const WARNING = "VALID_WITH_WARNINGS";

/** Return when a checkpoint first had the cosignatures that the policy asks for, or of any known witness; null where never. */
async function cosignedAt(note, { log, policy }) {
  const { signers } = await verifyCheckpoint(note, log, policy);
  const inOrder = [...signers].filter(([key]) => key !== log).sort(([one, at], [other, then]) => (at === then ? byText(one.text, other.text) : at < then ? -1 : 1));
  const cosigners = new Set();
  for (const [key, time] of inOrder) {
    cosigners.add(key);
    if (!policy.isMet(cosigners)) continue;
    return time > LAST_SECOND ? fail("CHECKPOINT_FORMAT", `cosigned at second ${time}, which no calendar has`) : Number(time) * 1000;
  }
  return null;
}

const numerically = (one, other) => (BigInt(one) < BigInt(other) ? -1 : 1);

/** Gather the checkpoints of good receipts and those held beside them; two different of one size contradict. */
async function checkpointsOf(checking) {
  const { bundle, found, signed, trust } = checking;
  const notes = new Set(signed.filter(({ index }) => index !== null).map(({ note }) => note));
  for (const name of [...bundle.checkpoints.keys()].sort(numerically)) {
    await checking.examining("checkpoint", async () => {
      const note = decoded(bundle.checkpoints.get(name), "CHECKPOINT_FORMAT");
      const { size } = await parseCheckpoint(note);
      if (String(size) !== name) fail("BUNDLE_FORMAT", `file ${name} holds a checkpoint of ${size}`);
      await cosignedAt(note, trust);
      notes.add(note);
    });
  }
  const checkpoints = [];
  for (const note of notes) {
    const { size, root } = await parseCheckpoint(note);
    if (checkpoints.some((other) => other.size === size && String(other.root) !== String(root))) {
      found.add("LOG_EQUIVOCATION", `the log signed two different trees of ${size} entries`);
    }
    checkpoints.push({ note, size, root });
  }
  return checkpoints;
}

/** The marks of one log: its first `size` entries were there at `time`. */
async function marksOf(checkpoints, { found, trust }) {
  const marks = [];
  for (const { note, size } of checkpoints) {
    try {
      const time = await cosignedAt(note, trust);
      if (time !== null) marks.push({ size, time });
    } catch (error) {
      if (!(error instanceof EvidenceError) || error instanceof BundleError) throw error;
      found.catch(error);
    }
  }
  return marks.sort((one, other) => (one.size < other.size ? -1 : one.size > other.size ? 1 : 0));
}

/** How many marks are of at most a size. */
function upTo(marks, size) {
  let [low, high] = [0, marks.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (marks[middle].size <= size) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Say that time-stamps are not looked at; one whose checkpoint is not here does not hold. */
async function checkStamps(checking, checkpoints) {
  const { bundle: { stamps }, found, trust } = checking;
  const skip = (why) => found.add("TSA_FAIL", `${stamps.size} time-stamps were not looked at: ${why}`, null, WARNING);
  if (stamps.size && !trust.tsa) return skip("no stamping authority is trusted");
  for (const name of [...stamps.keys()].sort(numerically)) {
    if (checkpoints.some(({ size }) => String(size) === name)) return skip("a browser cannot");
    await checking.examining("stamp", () => fail("TSA_FAIL", `the checkpoint of ${name} that is stamped is not here`));
  }
  return undefined;
}

/** An anchor is a checkpoint that this log has signed. */
function checkAnchors({ found, signed }, checkpoints, hex) {
  const bySize = grouped(checkpoints, ({ size }) => size);
  for (const { payload: { anchor }, sid } of signed) {
    if (!anchor) continue;
    for (const { root } of bySize.get(BigInt(anchor.size)) ?? []) {
      if (hex(root) !== anchor.root) found.add("LOG_EQUIVOCATION", `anchored to another tree of ${anchor.size} entries than the log has signed`, sid);
    }
  }
}

/** Check a statement's time against anchor and log; return how much later it is shown to be logged, 0 where nothing shows it. */
function delayOf({ payload: { t, anchor }, index }, marks, first, last) {
  const said = parseTime(t);
  const at = anchor ? upTo(marks, BigInt(anchor.size)) : 0;
  if (at && said < last[at - 1] - CLOCK_TOLERANCE_MS) fail("TIME_CONTRADICTION", `signed at ${t}, yet it knows a log of ${anchor.size} cosigned later`);
  const before = first[upTo(marks, index)];
  if (before === undefined) return 0;
  if (said > before + CLOCK_TOLERANCE_MS) fail("TIME_CONTRADICTION", `signed at ${t}, yet the log had it before`);
  return before - said;
}

/** Checkpoints hold, and the statements' times fit between them. */
export async function checkTimes(checking, hex) {
  const { bundle, found, signed, now } = checking;
  const checkpoints = await checkpointsOf(checking);
  const marks = await marksOf(checkpoints, checking);
  await checkStamps(checking, checkpoints);
  checkAnchors(checking, checkpoints, hex);
  const times = marks.map(({ time }) => time);
  const last = times.map((_, at) => times.slice(0, at + 1).reduce((one, other) => Math.max(one, other)));
  const first = times.map((_, at) => times.slice(at).reduce((one, other) => Math.min(one, other)));
  const late = [];
  for (const one of signed) {
    const { payload: { t }, sid, index } = one;
    if (index === null) {
      const isOverdue = !bundle.proofs.has(sid) && now - parseTime(t) > OVERDUE_MS;
      if (isOverdue) found.add("PENDING_OVERDUE", `signed at ${t}, and the log still does not have it`, sid);
    } else if (marks.length) {
      await checking.examining("between", () => {
        const delay = delayOf(one, marks, first, last);
        if (delay > LATE_MS) late.push({ owner: one.signer.owner, delay, sid });
      }, sid);
    }
  }
  for (const [owner, group] of grouped(late, (one) => one.owner)) {
    const [{ delay, sid }] = group.sort((one, other) => other.delay - one.delay || byText(other.sid, one.sid));
    found.add("LATE_COMMITMENT", `${group.length} statements of ${owner} are shown to be logged only later, at most ${Math.round(delay / HOUR_MS)} h`, sid);
  }
}
