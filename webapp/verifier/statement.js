/* One statement in the order of C1: form, key, signature, payload, role; then receipt, key at that index, times. */

import { hex, sha256, utf8 } from "../static/js/encoding.js";
import { fail, within } from "./failures.js";
import { checkPayload } from "./kinds.js";
import { verifyReceipt } from "./note.js";
import { canonicalJson, decoded, isObject, parseTime, unb64u } from "./strict.js";
import { plantOf } from "./trust.js";

const MAX_LENGTH = 65535;
const MAX_HEADER = 512;
const FUTURE_MS = 5 * 60 * 1000;
const REVOKED = ["lost", "compromised", "ceased"];
const SIGNERS = {
  segment: ["gateway"], event: ["gateway"], month: ["gateway"], lab: ["technician", "responsible"], ledger: ["technician", "responsible"],
  inspect: ["inspector"], key: ["registrar"],
};

function rolesFor(payload) {
  if (payload.kind === "declare") return [payload.role];
  if (payload.kind === "review") return [payload.level];
  return payload.kind === "key" && payload.op === "enrol" ? [] : SIGNERS[payload.kind];
}

async function headerOf(text, part) {
  if (text.length > MAX_HEADER) fail("HEADER", `a header has at most ${MAX_HEADER} characters`);
  const header = await within("HEADER", null, () => canonicalJson(part));
  if (!isObject(header) || Object.keys(header).sort().join() !== "alg,kid,typ") fail("HEADER", "a header has exactly alg, kid and typ");
  if (Object.values(header).some((value) => typeof value !== "string")) fail("HEADER", "alg, kid and typ are strings");
  if (!["Ed25519", "ES256"].includes(header.alg)) fail("ALG", `algorithm ${header.alg} is not accepted`);
  return header;
}

function checkRole(payload, signer, trust) {
  if (!rolesFor(payload).some((role) => signer.roles.includes(role))) fail("ROLE", `a ${payload.kind} needs another role`);
  if (payload.kind === "key") return;
  if (!signer.covers(plantOf(trust, payload.plant))) fail("SUBJECT_SCOPE", `the key is not for plant ${payload.plant}`);
  if (payload.gw !== undefined && payload.gw !== signer.owner) fail("SUBJECT_SCOPE", `key of ${signer.owner} used for ${payload.gw}`);
}

/** Do steps 1-8: everything that needs no log. The statement's sid goes with every failure once it is known. */
export async function verifyStatement(data, trust) {
  const jws = decoded(data, "ENCODING", "ascii");
  if (jws.length > MAX_LENGTH || !/^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}$/.test(jws)) fail("ENCODING", "not one compact JWS");
  const input = utf8(jws.slice(0, jws.lastIndexOf(".")));
  const sid = hex(await sha256(input));
  return within(null, sid, async () => {
    const parts = jws.split(".");
    const [head, body, signature] = parts.map(unb64u);
    const header = await headerOf(parts[0], head);
    const signer = trust.registry.keys.get(header.kid) ?? fail("KEY_UNKNOWN", `key ${header.kid.slice(0, 12)} is not in the registry`);
    if (header.alg !== signer.alg) fail("ALG", `header says ${header.alg}, the key is ${signer.alg}`);
    await signer.verify(signature, input);
    const payload = canonicalJson(body);
    checkPayload(payload);
    if (header.typ !== `ev-${payload.kind}+jws`) fail("TYP_MISMATCH", "the header names another kind");
    checkRole(payload, signer, trust);
    return { sid, jws, payload, signer, kind: payload.kind, index: null };
  });
}

const checkReceipt = (one, receipt, trust) => verifyReceipt(receipt, one.jws, trust);

function checkValidity({ signer }, { index }) {
  if (index < signer.from) fail("KEY_UNKNOWN", `the key counts from entry ${signer.from}`);
  if (signer.until === null || index < signer.until) return;
  fail(REVOKED.includes(signer.reason) ? "KEY_REVOKED" : "KEY_SUPERSEDED", `the key ended at entry ${signer.until}`);
}

function checkTimes({ payload }, { index }, trust, now) {
  if (payload.anchor) {
    if (payload.anchor.origin !== trust.log.name) fail("LOG_ORIGIN", "anchor names another log");
    if (payload.anchor.size > index) fail("TIME_CONTRADICTION", `logged at ${index}, yet anchored to a log of ${payload.anchor.size}`);
  }
  if (parseTime(payload.t) > now + FUTURE_MS) fail("TIME_FUTURE", `signed at ${payload.t}, which is to come`);
}

/** Steps 9-11, each under the name that it is counted by: functions of statement, receipt, trust and moment. */
export const LOG_STEPS = [["receipt", checkReceipt], ["validity", checkValidity], ["time", checkTimes]];
