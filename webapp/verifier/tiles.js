/* Raw tiles: 256 readings with their secret salt, each tile proven against a segment's root; hours they hold are recomputed.

   A tile is unpacked, checked, counted and forgotten. */

import { b64u, utf8 } from "../static/js/encoding.js";
import { fail, within } from "./failures.js";
import { isSameHash, leafHash, nodeHash, rootOf, verifyInclusion } from "./merkle.js";
import { parseStoredLeaf } from "./reading.js";
import { byText, canonicalJson, grouped, isObject, unb64, unhex } from "./strict.js";

const WIDTH = 256;
const MEMBERS = "lines,path,salt,segment,size,tile,v";

/** Read a file of `tiles/`. */
function parseTile(data) {
  const value = canonicalJson(data);
  if (!isObject(value) || Object.keys(value).sort().join() !== MEMBERS || value.v !== 1) fail("LEAF_MISMATCH", "not the members of a raw tile");
  if (typeof value.segment !== "string") fail("LEAF_MISMATCH", "a member of a raw tile has the wrong type");
  const { lines, path, salt, size, tile } = value;
  const isTile = [lines, path].every(Array.isArray) && [...lines, ...path, salt].every((text) => typeof text === "string");
  if (!isTile || ![size, tile].every(Number.isSafeInteger)) fail("ENCODING", "not a tile proof");
  return { ...value, salt: unb64(salt), path: path.map(unb64) };
}

/** Return a function that makes the salt of a leaf from the secret of its tile. */
async function saltOf(secret) {
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return async (index) => {
    const place = new DataView(new ArrayBuffer(8));
    place.setBigUint64(0, BigInt(index));
    return b64u((await crypto.subtle.sign("HMAC", key, place)).slice(0, 16));
  };
}

/** Check one tile, of a name if it has one, against its segment; return its leaves, their hashes, and where it stands. */
export async function provenTile(name, data, segments) {
  const { segment, tile: number, size, salt, lines, path } = parseTile(data);
  if (name !== null && `${segment}-${number}` !== name) fail("INDEX_MISMATCH", "the file holds another tile than its name says");
  const { tree } = segments.get(segment) ?? fail("LEAF_MISMATCH", "the segment of the tile is not here");
  if (size !== tree.end) fail("INDEX_MISMATCH", "a tile of another tree size than its segment's");
  const first = number * WIDTH;
  const count = Math.min(WIDTH, size - first);
  if (count < 1 || lines.length !== count) fail("INDEX_MISMATCH", `tile ${number} of a tree of ${size} has ${count} leaves`);
  if (salt.length !== 32) fail("LEAF_MISMATCH", "a tile salt has 32 bytes");
  const salted = await saltOf(salt);
  const [leaves, hashes] = [[], []];
  for (const [at, line] of lines.entries()) {
    const leaf = parseStoredLeaf(line);
    if (leaf.index !== first + at) fail("INDEX_MISMATCH", `leaf ${leaf.index} stands at ${first + at}`);
    leaves.push(leaf);
    hashes.push(await leafHash(utf8(`${line.slice(0, -1)},"${await salted(leaf.index)}"]`)));
  }
  const root = await rootOf(hashes);
  const tiles = Math.ceil(size / WIDTH);
  await verifyInclusion(root, BigInt(number), BigInt(tiles), path, unhex(tree.root));
  return { number, tiles, first, end: first + count, leaves, hashes, root, path };
}

/** Pick from a tile's path the roots of all that is left of it, largest subtree first (RFC 9162 s2.1.3.2). */
function leftOf({ number, tiles, path }) {
  let [fn, sn] = [BigInt(number), BigInt(tiles - 1)];
  const left = [];
  for (const sibling of path) {
    if (fn & 1n || fn === sn) {
      left.unshift(sibling);
      while (!(fn & 1n) && fn) [fn, sn] = [fn >> 1n, sn >> 1n];
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  return left;
}

/** Consecutive tiles of one tree, and the tree's root at any size that they reach. */
class Run {
  constructor(tile) {
    this.last = tile;
    this.size = BigInt(tile.number);
    this.edge = leftOf(tile);
  }

  async grow(tile) {
    let computed = this.last.root;
    for (let rest = this.size; rest & 1n; rest >>= 1n) computed = await nodeHash(this.edge.pop(), computed);
    this.edge.push(computed);
    this.size += 1n;
    this.last = tile;
  }

  async rootAt(size) {
    let computed = await rootOf(this.last.hashes.slice(0, size - this.last.first));
    for (const left of this.edge.toReversed()) computed = await nodeHash(left, computed);
    return computed;
  }
}

/** Goes along the tiles of one gateway's tree, and along the segments that they reach. */
class Walk {
  run = null;
  recount = null;
  at = 0;

  constructor(checking, segments, judge) {
    let reached = 0;
    const inOrder = segments.sort(({ payload: { tree: one } }, { payload: { tree: other } }) => one.start - other.start || one.end - other.end);
    this.segments = inOrder.filter(({ payload: { tree } }) => {
      if (tree.start < reached) return false;
      reached = tree.end;
      return true;
    });
    Object.assign(this, { checking, judge });
  }

  async take(tile) {
    this.checking.count("readings", tile.leaves.length);
    this.checking.tally.reading.passed += tile.leaves.length;
    if (this.run?.last.end === tile.first) await this.run.grow(tile);
    else [this.run, this.recount] = [new Run(tile), null];
    for (; this.at < this.segments.length; this.at += 1, this.recount = null) {
      const segment = this.segments[this.at];
      const { start, end } = segment.payload.tree;
      if (start >= tile.end) return;
      await this.counted(segment, tile);
      if (end > tile.end) return;
      if (end > this.run.last.first) await this.compare(segment);
    }
  }

  async counted({ sid, payload }, tile) {
    const { start, end } = payload.tree;
    if (!this.recount && start >= tile.first) this.recount = [];
    if (!this.recount) return;
    const next = start + this.recount.length;
    this.recount.push(...tile.leaves.slice(next - tile.first, Math.min(end, tile.end) - tile.first));
    if (this.recount.length === end - start) await this.judge(sid, payload, this.recount);
  }

  async compare({ sid, payload: { tree } }) {
    await this.checking.examining("tree", async () => {
      if (!isSameHash(await this.run.rootAt(tree.end), unhex(tree.root))) {
        fail("CONSISTENCY_FAIL", "the segment's root is not that of the readings up to its end");
      }
    }, sid);
  }
}

/** A reading that was disclosed by itself is the one that its tile holds. */
function checkShown(shown, { first, hashes }) {
  for (const [at, hash] of hashes.entries()) {
    const other = shown?.get(first + at);
    if (other && !isSameHash(other, hash)) fail("CONSISTENCY_FAIL", `reading ${first + at} was disclosed as another than its tile holds`);
  }
}

/** Each raw tile belongs to the tree that a segment signed; what tiles hold whole is recomputed by judge(). */
export async function checkTiles(checking, judge) {
  const { bundle, shown } = checking;
  const segments = new Map(checking.ofKind("segment").map((one) => [one.sid, one]));
  const payloads = new Map([...segments].map(([sid, { payload }]) => [sid, payload]));
  const chainOf = ({ payload: { gw, epoch } }) => `${gw} ${epoch}`;
  const known = [];
  for (const name of bundle.tiles.keys()) {
    const [sid, number] = name.split("-");
    const segment = segments.get(sid);
    if (segment) known.push({ name, sid, segment, number: Number(number) });
    else await checking.examining("tile", () => fail("LEAF_MISMATCH", `segment of tile ${name} is not here`), sid);
  }
  for (const [chain, tiles] of grouped(known, ({ segment }) => chainOf(segment))) {
    const walk = new Walk(checking, [...segments.values()].filter((one) => chainOf(one) === chain), judge);
    const end = ({ segment }) => segment.payload.tree.end;
    let held = null;
    for (const { name, sid, segment } of tiles.sort((one, other) => one.number - other.number || end(one) - end(other) || byText(one.name, other.name))) {
      checking.count("tiles");
      let tile = null;
      await checking.examining("tile", () => within(null, sid, async () => {
        tile = await provenTile(name, await bundle.tiles.get(name).bytes(), payloads);
        checkShown(shown.get(chain), tile);
        if (held?.number === tile.number && !held.hashes.every((hash, at) => isSameHash(hash, tile.hashes[at] ?? []))) {
          fail("CONSISTENCY_FAIL", `tile ${tile.number} was shown with other readings`);
        }
      }), sid);
      checking.tell("tiles", checking.counts.tiles, bundle.tiles.size);
      if (!tile) continue;
      if (held && held.number !== tile.number) await walk.take(held);
      held = tile;
    }
    if (held) await walk.take(held);
  }
}
