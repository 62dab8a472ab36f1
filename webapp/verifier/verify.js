/* Verification of a bundle against a trust file: offline, in a fixed order, every finding named.

   The same checks under the same names as `evidence/verify.py`, for a person who has a browser and nothing else. */

import { hex, utf8 } from "../static/js/encoding.js";
import { readBundle } from "./bundle.js";
import { checkChallenges } from "./challenge.js";
import { checkClocks, checkNumbers } from "./chains.js";
import { BundleError, EvidenceError, UnableError, fail } from "./failures.js";
import { Zone } from "./hours.js";
import { MONTH_CHECKS, checkLine, monthsInQuestion, newestRevision } from "./month.js";
import { parseReceipt } from "./note.js";
import { disclosed } from "./reading.js";
import { channelsBefore, recounted } from "./recount.js";
import { LOG_STEPS, verifyStatement } from "./statement.js";
import { byText, decoded } from "./strict.js";
import { verifySm2 } from "./sm2.js";
import { checkTiles } from "./tiles.js";
import { checkTimes } from "./times.js";
import { plantOf, readTrust } from "./trust.js";
import { CHECK_WORDS } from "./words.js";

const STALE_MS = 30 * 24 * 3600 * 1000;
const INDETERMINATE = "INDETERMINATE";
const WARNING = "VALID_WITH_WARNINGS";

/** Best to worst: what a person may conclude. */
const VERDICTS = ["VALID", WARNING, INDETERMINATE, "INVALID"];

/** What a code means by itself; every other one is INVALID. */
const GRADES = {
  LATE_COMMITMENT: WARNING, KEY_SUSPECT: WARNING, ANCHOR_STALE: WARNING, KEY_UNKNOWN: INDETERMINATE, NOT_LOGGED: INDETERMINATE,
  NOT_APPROVED: INDETERMINATE, CONTENT_MISSING: INDETERMINATE, SEGMENT_MISSING: INDETERMINATE, PENDING_OVERDUE: INDETERMINATE,
  SM2_MISSING: INDETERMINATE,
};

/** Steps 1-8 as people count them, and the codes that end each. */
const STEPS = {
  form: ["ENCODING", "HEADER", "BUNDLE_FORMAT"], key: ["ALG", "KEY_UNKNOWN"], signature: ["SIGNATURE"],
  payload: ["PAYLOAD", "SCHEMA", "TYP_MISMATCH"], role: ["ROLE", "SUBJECT_SCOPE"],
};

/** Collects findings, each once; checks go on. */
class Findings {
  all = new Map();
  failed = 0;

  add(code, detail, sid = null, grade = GRADES[code] ?? "INVALID") {
    this.all.set(JSON.stringify([code, detail, sid, grade]), { code, grade, sid, detail });
    if (grade !== WARNING) this.failed += 1;
  }

  catch(error, sid = null) {
    if (!(error instanceof EvidenceError)) throw error;
    this.add(error.code, error.detail, error.sid ?? sid);
  }
}

/** One verification while it goes on. */
class Checking {
  found = new Findings();
  tally = Object.fromEntries(Object.keys(CHECK_WORDS).map((name) => [name, { name, passed: 0, failed: 0 }]));
  counts = {};
  subject = {};
  signed = [];
  roots = new Map();
  shown = new Map();

  constructor(bundle, trust, now, tell) {
    Object.assign(this, { bundle, trust, now, tell });
  }

  /** Look at something under a check: of several things, each finding worse than a warning is against one. */
  examining = async (name, look, sid = null, things = 1) => {
    const before = this.found.failed;
    try {
      await look();
    } catch (error) {
      if (error instanceof BundleError) throw error;
      this.found.catch(error, sid);
    }
    const failed = Math.min(things, this.found.failed - before);
    this.tally[name].failed += failed;
    this.tally[name].passed += things - failed;
  };

  ofKind = (...kinds) => this.signed.filter(({ kind }) => kinds.includes(kind));

  /** Whether the bundle discloses readings and nothing else: no month is asserted, so none is missed. */
  isOfReadings() {
    const { readings, content } = this.bundle;
    return readings.size > 0 && !content.size && this.signed.every(({ kind }) => kind === "segment" || kind === "event");
  }

  count(name, things = 1) {
    this.counts[name] = (this.counts[name] ?? 0) + things;
  }
}

const checkTimesOfLog = (checking) => checkTimes(checking, hex);
const sorted = (map) => [...map.keys()].sort(byText);

async function checkIndex(checking) {
  const { index, expectedIndex, names } = checking.bundle;
  await checking.examining("bundle", () => {
    if (!index) fail("BUNDLE_FORMAT", "index.json is missing");
    const isExpected = index.length === expectedIndex.length && index.every((byte, at) => byte === expectedIndex[at]);
    if (!isExpected) fail("BUNDLE_FORMAT", "index.json does not fit the files");
  }, null, Math.max(1, names));
}

async function statementOf(checking, name) {
  const { bundle, trust, found, tally } = checking;
  let [code, one] = [null, null];
  try {
    const statement = await verifyStatement(bundle.statements.get(name), trust);
    if (statement.sid !== name) fail("BUNDLE_FORMAT", `file ${name.slice(0, 12)} holds statement ${statement.sid.slice(0, 12)}`, name);
    one = statement;
  } catch (error) {
    found.catch(error, name);
    code = error.code;
    if (error.sid && error.sid !== name) found.add("BUNDLE_FORMAT", `file ${name.slice(0, 12)} holds another statement`, name);
  }
  for (const [step, codes] of Object.entries(STEPS)) {
    if (codes.includes(code)) {
      tally[step].failed += 1;
      break;
    }
    tally[step].passed += 1;
  }
  return one;
}

/** Do the steps that need the receipt; a statement that fails one is not known to be logged. */
async function loggedAt(checking, one) {
  const { bundle, found, trust, now } = checking;
  let receipt = null;
  for (const [step, check] of LOG_STEPS) {
    const before = found.failed;
    await checking.examining(step, async () => {
      if (!receipt) {
        if (!bundle.proofs.has(one.sid)) fail("NOT_LOGGED", "no receipt");
        receipt = await parseReceipt(decoded(bundle.proofs.get(one.sid), "CHECKPOINT_FORMAT"));
      }
      await check(one, receipt, trust, now);
    }, one.sid);
    if (found.failed > before) return null;
  }
  checking.count("receipts");
  one.note = receipt.checkpoint;
  const { size, root } = receipt;
  if ((checking.roots.get(size) ?? root) !== root) found.add("LOG_EQUIVOCATION", `two roots for a log of ${size}`, one.sid);
  if (!checking.roots.has(size)) checking.roots.set(size, root);
  return receipt.index;
}

async function checkStatements(checking) {
  const { statements, proofs } = checking.bundle;
  for (const name of sorted(statements)) {
    checking.count("statements");
    const one = await statementOf(checking, name);
    checking.tell("statements", checking.counts.statements, statements.size);
    if (one) checking.signed.push(Object.assign(one, { index: await loggedAt(checking, one) }));
  }
  for (const name of sorted(proofs)) {
    if (!statements.has(name)) checking.found.add("BUNDLE_FORMAT", `receipt ${name.slice(0, 12)} without its statement`, name);
  }
}

async function checkPlaces(checking) {
  const taken = new Map();
  for (const { index, sid } of checking.signed) {
    if (index === null) continue;
    await checking.examining("place", () => {
      if (taken.has(index)) fail("LOG_EQUIVOCATION", `two statements at log index ${index}`);
      taken.set(index, sid);
    }, sid);
  }
}

async function checkMonths(checking) {
  const { bundle, found, signed, subject, trust } = checking;
  const months = checking.ofKind("month");
  for (const [plantId, period] of monthsInQuestion(months, bundle.content)) {
    const here = months.filter(({ payload }) => payload.plant === plantId && payload.period === period);
    let month;
    await checking.examining("revision", () => {
      month = newestRevision(here, found);
      checkLine(here, months, found);
    }, null, here.length);
    const ours = signed.filter(({ payload }) => payload.plant === plantId);
    const ofKind = (...kinds) => ours.filter(({ kind }) => kinds.includes(kind));
    const declares = new Map(ofKind("declare").map((one) => [one.sid, one]));
    const declaring = month.payload.declared.map((sid) => declares.get(sid)).filter(Boolean);
    const one = { month, ours, ofKind, declares, declaring, segments: [], zone: new Zone(plantOf(trust, plantId).zone) };
    Object.assign(subject, { plant: plantId, period, rev: String(month.payload.rev), month: month.sid });
    for (const check of MONTH_CHECKS) await check(checking, one);
    checking.count("months");
  }
  if (!months.length && !checking.isOfReadings()) found.add("CHAIN_INCOMPLETE", "no month statement of good standing in the bundle", null, INDETERMINATE);
}

async function checkContentFiles(checking) {
  const { bundle, signed } = checking;
  const files = signed.flatMap(({ payload }) => payload.subjects ?? []).map(({ sha256 }) => sha256);
  const listed = new Set([...files, ...checking.ofKind("review").map(({ payload }) => payload.report)]);
  for (const name of sorted(bundle.content)) {
    checking.count("contents");
    await checking.examining("content", () => {
      if (bundle.content.get(name).sha256 !== name) fail("CONTENT_HASH", `content ${name.slice(0, 12)} has other bytes than its name says`);
      if (!listed.has(name)) fail("CONTENT_EXTRA", `content ${name.slice(0, 12)} is listed by no statement`);
    });
  }
}

async function checkReadings(checking) {
  const { bundle, found, trust } = checking;
  const segments = new Map(checking.ofKind("segment").map(({ sid, payload }) => [sid, payload]));
  const shown = new Map();
  for (const name of sorted(bundle.readings)) {
    checking.count("readings");
    await checking.examining("reading", async () => {
      const { leaf, hash, sid, chain } = await disclosed(name, bundle.readings.get(name), segments);
      shown.set(sid, (shown.get(sid) ?? new Map()).set(leaf.index, leaf));
      const { plant, gw } = segments.get(sid);
      if (checking.isOfReadings()) Object.assign(checking.subject, { plant, gw, ...leaf.said });
      checking.shown.set(chain, (checking.shown.get(chain) ?? new Map()).set(leaf.index, hash));
    });
    checking.tell("readings", checking.counts.readings, bundle.readings.size);
  }
  const events = checking.ofKind("event").map(({ payload }) => payload);
  const judge = async (sid, segment, leaves) => {
    checking.count("hours");
    await checking.examining("recount", () => {
      const zone = new Zone(plantOf(trust, segment.plant).zone);
      for (const detail of recounted(segment, leaves, channelsBefore(segment, events), zone)) found.add("AGGREGATE_MISMATCH", detail, sid);
    }, sid);
  };
  for (const sid of sorted(shown)) {
    const [segment, leaves] = [segments.get(sid), [...shown.get(sid).values()]];
    if (leaves.length !== segment.tree.end - segment.tree.start) continue;
    await judge(sid, segment, leaves.sort((one, other) => one.index - other.index));
  }
  await checkTiles(checking, judge);
}

/** Second signatures are there where a plant's policy asks for them, good, and nowhere else. */
async function checkSecondSignatures(checking) {
  const { bundle: { sm2 }, trust, signed } = checking;
  const isAsked = ({ payload: { plant, gw }, index }) => {
    const from = trust.registry.plants.get(plant)?.second ?? null;
    return from !== null && gw !== undefined && (index === null || index >= from);
  };
  const asked = signed.filter(isAsked);
  for (const { sid, jws, signer } of asked) {
    await checking.examining("sm2", () => {
      if (!sm2.has(sid)) fail("SM2_MISSING", "the second signature is not here");
      if (!signer.sm2) fail("SM2_MISSING", "the registry has no SM2 key beside the first");
      verifySm2(signer.sm2, sm2.get(sid), utf8(jws.slice(0, jws.lastIndexOf("."))));
    }, sid);
  }
  const sids = asked.map(({ sid }) => sid);
  for (const sid of sorted(sm2).filter((one) => !sids.includes(one))) {
    await checking.examining("sm2", () => fail("CONTENT_EXTRA", "a second signature that no plant's policy asks for"), sid);
  }
}

async function checkAge({ trust, now, found, ...checking }) {
  await checking.examining("trust", () => {
    if (now <= trust.expires) return;
    const grade = now <= trust.expires + STALE_MS ? WARNING : INDETERMINATE;
    found.add("TRUST_STALE", `trust file expired ${new Date(trust.expires).toISOString().slice(0, 10)}`, null, grade);
  });
}

/** What is checked, in this order; a check may rely on those before it. */
const CHECKS = [
  checkIndex, checkStatements, checkPlaces, checkNumbers, checkClocks, checkTimesOfLog, checkMonths, checkChallenges, checkContentFiles,
  checkReadings, checkSecondSignatures, checkAge,
];

function reportOf({ found, tally, counts, subject }, trust) {
  const findings = [...found.all.values()];
  const worst = Math.max(0, ...findings.map(({ grade }) => VERDICTS.indexOf(grade)));
  const checks = Object.values(tally).filter(({ passed, failed }) => passed || failed);
  const asOf = trust && { issued: trust.issued, log_size: trust.size };
  return { verdict: VERDICTS[worst], subject, findings, checks, counts, trust: asOf, unable: null };
}

/** Judge something: what it throws becomes a finding, or the answer that this browser cannot tell. */
export async function judged(look, bundle = null, now = Date.now(), tell = () => {}) {
  const checking = new Checking(bundle, null, now, tell);
  try {
    await look(checking);
  } catch (error) {
    if (error instanceof EvidenceError) checking.found.catch(error);
    else return { ...reportOf(checking, checking.trust), verdict: INDETERMINATE, unable: unableOf(error) };
  }
  return reportOf(checking, checking.trust);
}

function unableOf(error) {
  if (error instanceof UnableError) return { reason: error.reason, detail: error.message };
  const reason = error instanceof RangeError ? "too-large" : "broke";
  return { reason, detail: `${error.name}: ${error.message}` };
}

/** Check a whole bundle; bad evidence and a browser that cannot do it are answers, nothing is thrown. */
export const verifyBundle = (source, trustData, now, tell) =>
  judged(async (checking) => {
    if (!globalThis.crypto?.subtle) throw new UnableError("no-crypto");
    checking.trust = await readTrust(trustData);
    checking.bundle = await readBundle(source, (done, all) => checking.tell("files", done, all));
    for (const check of CHECKS) await check(checking);
  }, null, now, tell);
