/* Which cosignatures a checkpoint needs (C2SP tlog-policy): lines of logs, witnesses, groups, and one quorum. */

import { EvidenceError, fail } from "./failures.js";
import { COSIGNATURE, NOTE, isSameKey, noteKey } from "./note.js";

const NONE = "none";
const wrong = (detail) => fail("SCHEMA", detail);

async function keyOf(text, type, others) {
  const key = await noteKey(text);
  if (key.type !== type) wrong(`key ${key.name} is of another type`);
  return others.some(({ x }) => x === key.x) ? wrong("the key of another line") : key;
}

function groupOf(count, members) {
  const threshold = { any: 1, all: members.length }[count] ?? (/^[1-9][0-9]{0,3}$/.test(count) ? Number(count) : 0);
  return threshold >= 1 && threshold <= members.length ? { threshold, members } : wrong("an impossible group");
}

/** Read a policy; any fault of it is SCHEMA. */
async function parsed(text) {
  const [logs, witnesses, groups, names, members] = [[], [], new Map(), new Set(), new Set()];
  const define = (name) => (name === NONE || names.has(name) ? wrong(`${name} is defined already`) : names.add(name));
  let quorum = null;
  if (!text.endsWith("\n") || text.length > 200000 || text.split("\n").length > 1001) wrong("not a policy");
  for (const line of text.slice(0, -1).split("\n")) {
    if (/[\u0000-\u0008\u000b-\u001f\u007f]/.test(line)) wrong("a control character");
    const [what, name, ...rest] = line.replace(/^[ \t]+|[ \t]+$/g, "").split(/[ \t]+/);
    if (!what || what.startsWith("#")) continue;
    if (what === "log" && name && rest.length < 2) {
      logs.push(await keyOf(name, NOTE, logs));
    } else if (what === "witness" && (rest.length === 1 || rest.length === 2)) {
      define(name);
      const key = await keyOf(rest[0], COSIGNATURE, witnesses.map((witness) => witness.key));
      witnesses.push({ name, key });
    } else if (what === "group" && rest.length > 1) {
      for (const member of rest.slice(1)) {
        if (!names.has(member) || members.has(member)) wrong(`${member} is not defined before, or is a member of two groups`);
        members.add(member);
      }
      groups.set(name, groupOf(rest[0], rest.slice(1)));
      define(name);
    } else if (what === "quorum" && name && !rest.length && quorum === null && (name === NONE || names.has(name))) {
      quorum = name;
    } else {
      wrong("not a line of a policy");
    }
  }
  return quorum === null ? wrong("the policy has no quorum line") : { logs, witnesses, groups, quorum };
}

/** Tell whether these witnesses' cosignatures suffice. */
function met({ witnesses, groups, quorum }, cosigners) {
  const signed = new Set(witnesses.filter(({ key }) => cosigners.has(key)).map(({ name }) => name));
  for (const [name, { threshold, members }] of groups) {
    if (members.filter((member) => signed.has(member)).length >= threshold) signed.add(name);
  }
  return quorum === NONE || signed.has(quorum);
}

async function policyOf(text) {
  try {
    const policy = await parsed(text);
    const isMet = (cosigners) => met(policy, cosigners);
    const require = (cosigners) => isMet(cosigners) || fail("QUORUM", `too few have cosigned; the quorum is ${policy.quorum}`);
    return { ...policy, keys: policy.witnesses.map(({ key }) => key), isMet, require };
  } catch (error) {
    return error instanceof EvidenceError ? wrong(error.detail) : Promise.reject(error);
  }
}

/** Read the policy of a trust file; older files state witnesses and how many of them are needed. */
export async function readPolicy({ policy, witnesses, quorum }, log) {
  if (policy !== undefined) {
    const read = await policyOf(policy);
    if (read.logs.length && !read.logs.some((one) => isSameKey(one, log))) wrong(`the policy is not for log ${log.name}`);
    return read;
  }
  for (const text of witnesses) await noteKey(text);
  if (!Number.isSafeInteger(quorum) || quorum < 0 || quorum > witnesses.length) wrong("an impossible quorum");
  const lines = witnesses.map((text, at) => `witness w${at + 1} ${text}\n`);
  const group = quorum ? `group witnesses ${quorum} ${witnesses.map((_, at) => `w${at + 1}`).join(" ")}\n` : "";
  return policyOf(`${lines.join("")}${group}quorum ${quorum ? "witnesses" : NONE}\n`);
}
