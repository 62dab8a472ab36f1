/* Disclosed readings: a leaf line with its salt, and the path to the root that a segment signed. */

import { utf8 } from "../static/js/encoding.js";
import { decimal, decimalText } from "./decimal.js";
import { EvidenceError, fail } from "./failures.js";
import { leafHash, verifyInclusion } from "./merkle.js";
import { canonicalJson, isCount, isObject, parseTime, strictJson, unb64, unb64u, unhex } from "./strict.js";

/** Flags of HJ 212 in their order; only N is a valid measurement. */
export const FLAGS = ["N", "F", "M", "S", "D", "C", "T", "B"];
const MEMBERS = "epoch,gw,index,line,path,segment,size,v";

const mismatch = (detail) => fail("LEAF_MISMATCH", detail);

/** Read a line of the members of a leaf, and of more texts behind them. */
function membersOf(line, length) {
  try {
    const members = strictJson(line);
    const [tag, index, text, channel, value, unit, flag, ...rest] = members;
    const texts = [text, channel, value, unit, ...rest];
    if (tag !== "r1" || members.length !== length || !isCount(index) || texts.some((one) => typeof one !== "string")) mismatch("not a leaf");
    if (!FLAGS.includes(flag)) mismatch("no such flag");
    const number = value === "" ? null : decimal(value);
    const again = JSON.stringify(["r1", index, text, channel, number ? decimalText(number) : "", unit, flag, ...rest]);
    const isValid = flag === "N" && number !== null;
    const said = { channel, time: text, value: number ? value : "", unit, flag };
    return { index, time: parseTime(text), channel, value: number, flag, isValid, said, rest, isSpelled: again === line };
  } catch (error) {
    if (!(error instanceof EvidenceError || error instanceof TypeError)) throw error;
    return mismatch(error.detail ?? "not a leaf");
  }
}

const spelled = (leaf) => (leaf.isSpelled ? leaf : mismatch(`leaf ${leaf.index} is not in its one spelling`));

/** Read a leaf line as a raw tile holds it, without its salt, accepting only its one spelling. */
export const parseStoredLeaf = (line) => spelled(membersOf(line, 7));

function parseLeaf(line) {
  const leaf = membersOf(line, 8);
  if (unb64u(leaf.rest[0]).length !== 16) mismatch(`leaf ${leaf.index}: salt is not 16 bytes`);
  return spelled(leaf);
}

function parseDisclosure(data) {
  const value = canonicalJson(data);
  if (!isObject(value) || Object.keys(value).sort().join() !== MEMBERS || !Array.isArray(value.path)) mismatch("not the members of a disclosure");
  const path = value.path.map((text) => (typeof text === "string" ? unb64(text) : mismatch("a hash is no text")));
  const numbers = [value.v, value.epoch, value.index, value.size];
  const texts = [value.gw, value.segment, value.line];
  if (value.v !== 1 || !numbers.every(Number.isSafeInteger) || texts.some((text) => typeof text !== "string")) {
    mismatch("a member of a disclosure has the wrong type");
  }
  return { ...value, path };
}

/** Check one file of `readings/`, of a name if it has one, against the segments of good standing. */
export async function disclosed(name, data, segments) {
  const shown = parseDisclosure(data);
  if (name !== null && `${shown.epoch}-${shown.index}` !== name) fail("INDEX_MISMATCH", `file ${name} holds another reading`);
  const segment = segments.get(shown.segment) ?? mismatch("the segment of the reading is not here");
  const leaf = parseLeaf(shown.line);
  const { gw, epoch, tree } = segment;
  if (gw !== shown.gw || epoch !== shown.epoch || shown.size !== tree.end) {
    fail("INDEX_MISMATCH", "a reading of another gateway, epoch or tree size");
  }
  if (leaf.index !== shown.index || leaf.index < tree.start || leaf.index >= tree.end) {
    fail("INDEX_MISMATCH", `leaf ${leaf.index} is not in its segment, or shown as ${shown.index}`);
  }
  const hash = await leafHash(utf8(shown.line));
  await verifyInclusion(hash, BigInt(shown.index), BigInt(shown.size), shown.path, unhex(tree.root));
  return { leaf, hash, sid: shown.segment, chain: `${gw} ${epoch}` };
}
