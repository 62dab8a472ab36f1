/* Signed notes, checkpoints and receipts (C2SP signed-note, tlog-checkpoint, tlog-cosignature, tlog-proof). */

import { hex, sha256, utf8 } from "../static/js/encoding.js";
import { fail, within } from "./failures.js";
import { ed25519Key } from "./keys.js";
import { MAX_SIZE, leafHash, verifyInclusion } from "./merkle.js";
import { b64, unb64 } from "./strict.js";

export const NOTE = 1;
export const COSIGNATURE = 4;
const MAX_SIGNATURES = 100;
const MAX_PATH = 63;
const FORMAT = "CHECKPOINT_FORMAT";

const unb64OrFormat = (text) => within(FORMAT, null, () => unb64(text));

/** Read a verifier key `name+keyid+base64`, checking its key id and the point. */
export async function noteKey(text) {
  const [name, , encoded] = text.split("+", 2).concat(text.split("+").slice(2).join("+"));
  const blob = unb64(encoded);
  if (!name || blob.length !== 33 || ![NOTE, COSIGNATURE].includes(blob[0])) fail("ENCODING", "not a verifier key");
  const key = await ed25519Key(blob.slice(1));
  const id = hex((await sha256(new Uint8Array([...utf8(`${name}\n`), ...blob]))).slice(0, 4));
  if (text !== `${name}+${id}+${b64(blob)}`) fail("ENCODING", `key id of ${name} does not fit the key`);
  return { text, name, id, type: blob[0], x: b64(blob.slice(1)), key };
}

export const isSameKey = (one, other) => one.name === other.name && one.type === other.type && one.x === other.x;

async function verifyLine({ name, type, key }, text, blob) {
  if (type === NOTE) {
    await key.verify(blob, utf8(text));
    return null;
  }
  if (blob.length !== 72) fail(FORMAT, `cosignature of ${name} has ${blob.length} bytes, not 72`);
  const time = new DataView(blob.buffer, blob.byteOffset).getBigUint64(0);
  await key.verify(blob.slice(8), utf8(`cosignature/v1\ntime ${time}\n${text}`));
  return time;
}

/** Take a note apart: the signed text, and [name, key id, signature] of each line. */
async function parseNote(note) {
  if (/[\u0000-\u0009\u000b-\u001f\u007f]/.test(note)) fail(FORMAT, "control character in a note");
  const cut = note.lastIndexOf("\n\n");
  const lines = note.slice(cut + 2).split("\n");
  if (cut < 1 || lines.length < 2 || lines.pop() !== "") fail(FORMAT, "a note is text, an empty line and signature lines");
  if (lines.length > MAX_SIGNATURES) fail(FORMAT, `more than ${MAX_SIGNATURES} signatures`);
  const signatures = [];
  for (const line of lines) {
    const [, name, encoded] = /^— ([^ +\n]+) ([A-Za-z0-9+/=]+)$/.exec(line) ?? fail(FORMAT, "not a signature line");
    if (/[^\S\ufeff]|\u0085/.test(name)) fail(FORMAT, "a space in the name of a key");
    const blob = await unb64OrFormat(encoded);
    if (blob.length < 5) fail(FORMAT, `signature of ${name} is too short`);
    signatures.push([name, hex(blob.slice(0, 4)), blob.slice(4)]);
  }
  return { text: note.slice(0, cut + 1), signatures };
}

/** Read a checkpoint without judging its signatures. */
export async function parseCheckpoint(note) {
  const { text, signatures } = await parseNote(note);
  const [origin, size, root, end, ...more] = text.split("\n");
  if (!origin || end !== "" || more.length) fail(FORMAT, "a checkpoint has origin, size and root");
  if (!/^(?:0|[1-9][0-9]{0,18})$/.test(size) || BigInt(size) >= MAX_SIZE) fail(FORMAT, "not a tree size");
  const hash = await unb64OrFormat(root);
  if (hash.length !== 32) fail(FORMAT, "the root is not 32 bytes");
  return { origin, size: BigInt(size), root: hash, text, signatures };
}

/** Check origin, log signature and, where there is a policy for them, cosignatures; a known key's line must hold.

    `signers` maps the keys that signed to the time of their cosignature, the log's to null. */
export async function verifyCheckpoint(note, log, policy = null) {
  const checkpoint = await parseCheckpoint(note);
  if (checkpoint.origin !== log.name) fail("LOG_ORIGIN", `checkpoint of another log than ${log.name}`);
  const known = new Map([log, ...(policy?.keys ?? [])].map((key) => [`${key.name} ${key.id}`, key]));
  const signers = new Map();
  for (const [name, id, blob] of checkpoint.signatures) {
    const key = known.get(`${name} ${id}`);
    if (!key) continue;
    signers.set(key, await verifyLine(key, checkpoint.text, blob));
  }
  if (!signers.size) fail("QUORUM", "no signature by a known key");
  if (!signers.has(log)) fail("SIGNATURE", "the log did not sign its checkpoint");
  policy?.require(signers);
  return { ...checkpoint, signers };
}

/** Read a receipt: index, path and checkpoint. */
export async function parseReceipt(text) {
  const cut = text.indexOf("\n\n");
  const [header, place, ...hashes] = (cut < 0 ? text : text.slice(0, cut)).split("\n");
  const index = /^index (0|[1-9][0-9]{0,18})$/.exec(place ?? "")?.[1];
  if (cut < 0 || header !== "c2sp.org/tlog-proof@v1" || index === undefined || hashes.length > MAX_PATH) fail(FORMAT, "not a proof file");
  const path = [];
  for (const line of hashes) {
    path.push(await unb64OrFormat(line));
    if (path.at(-1).length !== 32) fail(FORMAT, "a proof hash is not 32 bytes");
  }
  const checkpoint = text.slice(cut + 2);
  const { size, root } = await parseCheckpoint(checkpoint);
  return { index: BigInt(index), path, checkpoint, size, root: hex(root) };
}

/** Check that a statement, byte for byte, is in the log at the receipt's index. */
export async function verifyReceipt(receipt, jws, trust) {
  const { size, root } = await verifyCheckpoint(receipt.checkpoint, trust.log, trust.policy);
  await verifyInclusion(await leafHash(utf8(jws)), receipt.index, size, receipt.path, root);
}
