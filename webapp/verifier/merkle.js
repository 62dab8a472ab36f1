/* Merkle trees of RFC 6962 / RFC 9162: hashes and the verification of proofs. Sizes are BigInt. */

import { sha256 } from "../static/js/encoding.js";
import { fail } from "./failures.js";

export const MAX_SIZE = 2n ** 63n;

const hashed = async (...parts) => {
  const data = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await sha256(data));
};
export const nodeHash = (left, right) => hashed([1], left, right);
export const isSameHash = (one, other) => one.every((byte, at) => byte === other[at]);
const isBroken = (hashes) => hashes.some((hash) => hash.length !== 32);

export const leafHash = (data) => hashed([0], data);

/** Compute the tree head of leaf hashes (at least one): level by level, an odd last one goes up as it is. */
export async function rootOf(hashes) {
  let level = hashes;
  while (level.length > 1) {
    const above = [];
    for (let at = 0; at < level.length; at += 2) above.push(at + 1 < level.length ? await nodeHash(level[at], level[at + 1]) : level[at]);
    level = above;
  }
  return level[0];
}

/** Check an inclusion proof (RFC 9162 s2.1.3.2). */
export async function verifyInclusion(leaf, index, size, path, root) {
  const refuse = (detail) => fail("INCLUSION_FAIL", detail);
  if (isBroken([leaf, root, ...path])) refuse("a hash is not 32 bytes");
  if (index < 0n || index >= size || size >= MAX_SIZE) refuse(`leaf ${index} is outside a tree of ${size}`);
  let [fn, sn, computed] = [index, size - 1n, leaf];
  for (const sibling of path) {
    if (sn === 0n) refuse("proof is longer than the tree is high");
    if (fn & 1n || fn === sn) {
      computed = await nodeHash(sibling, computed);
      while (!(fn & 1n) && fn) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      computed = await nodeHash(computed, sibling);
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  if (sn) refuse("proof is shorter than the tree is high");
  if (!isSameHash(computed, root)) refuse(`leaf ${index} does not lead to the root at size ${size}`);
}

/** Check a consistency proof (RFC 9162 s2.1.4.2). */
export async function verifyConsistency(old, now, path, oldRoot, newRoot) {
  const refuse = (detail) => fail("CONSISTENCY_FAIL", detail);
  if (isBroken([oldRoot, newRoot, ...path])) refuse("a hash is not 32 bytes");
  if (old < 1n || old > now || now >= MAX_SIZE) refuse(`no consistency from size ${old} to ${now}`);
  if (old === now) return path.length || !isSameHash(oldRoot, newRoot) ? refuse(`two roots for size ${old}`) : undefined;
  if (!path.length) refuse("empty proof for a tree that grew");
  const [start, ...rest] = old & (old - 1n) ? path : [oldRoot, ...path];
  let [fn, sn, first, second] = [old - 1n, now - 1n, start, start];
  while (fn & 1n) [fn, sn] = [fn >> 1n, sn >> 1n];
  for (const sibling of rest) {
    if (sn === 0n) refuse("proof is too long");
    if (fn & 1n || fn === sn) {
      [first, second] = [await nodeHash(sibling, first), await nodeHash(sibling, second)];
      while (!(fn & 1n) && fn) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      second = await nodeHash(second, sibling);
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  if (sn || !isSameHash(first, oldRoot) || !isSameHash(second, newRoot)) refuse(`tree of ${now} does not continue that of ${old}`);
}
