/* The zip file around a bundle: one form for its records, files unpacked piece by piece, all else refused. */

import { BundleError, UnableError } from "./failures.js";

const MAX_FILES = 20000;
const MAX_BYTES = 2 * 1024 ** 3;
const MAX_RATIO = 200;
const RATIO_FLOOR = 1024 ** 2;
const [LOCAL, CENTRAL, END] = [30, 46, 22];
const LONGEST_NAME = 200;
const PIECE = 4 * 1024 ** 2;
const PLAIN_FILE = 0o100644 * 65536;

/** Refuse the bundle whole. */
export function refuse(detail) {
  throw new BundleError("BUNDLE_FORMAT", detail);
}

/** Write the fields of a record; each is [bytes, value]. */
function record(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((length, [size]) => length + size, 0)));
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    at += size;
  }
  return new Uint8Array(view.buffer);
}

const isAt = (data, at, wanted) => wanted.every((byte, offset) => data[at + offset] === byte);

/** The fields that local record and directory share: version 2.0, no flags, the one date. */
const common = ({ method, crc, packed, size, name }) => [
  [2, 20], [2, 0], [2, method], [2, 0], [2, 0x21], [4, crc], [4, packed], [4, size], [2, name.length], [2, 0],
];
const localOf = (member) => record([4, 0x04034b50], ...common(member));
const centralOf = (member, position) =>
  record([4, 0x02014b50], [2, 0x0314], ...common(member), [2, 0], [2, 0], [2, 0], [4, PLAIN_FILE], [4, position]);

/** A file on disk or in memory, read in large pieces, of which the last one is kept: each read takes a millisecond. */
export class Source {
  from = 0;
  piece = new Uint8Array(0);

  constructor(blob) {
    this.blob = blob;
    this.size = blob.size;
  }

  async read(start, length) {
    if (start < this.from || start + length > this.from + this.piece.length) {
      this.piece = new Uint8Array(await this.blob.slice(start, start + Math.max(length, PIECE)).arrayBuffer());
      this.from = start;
    }
    return this.piece.slice(start - this.from, start - this.from + length);
  }
}

function memberAt(table, at, position, isName) {
  if (at + CENTRAL > table.length) refuse("its directory is cut off");
  const view = new DataView(table.buffer, table.byteOffset + at);
  const length = view.getUint16(28, true);
  const name = String.fromCharCode(...table.slice(at + CENTRAL, at + CENTRAL + Math.min(length, LONGEST_NAME)));
  if (name.length !== length || !isName(name)) refuse("no such file belongs in a bundle");
  const [crc, packed, size] = [16, 20, 24].map((offset) => view.getUint32(offset, true));
  const member = { name, method: view.getUint16(10, true), crc, packed, size, start: position + LOCAL + length };
  if (![0, 8].includes(member.method)) refuse(`compressed in an unknown way: ${name}`);
  if (!isAt(table, at, centralOf(member, position))) refuse(`its zip record is not as a bundle has it: ${name}`);
  return member;
}

function checkSizes(members) {
  const sum = (field) => members.reduce((total, member) => total + member[field], 0);
  const isPackedTooMuch = (size, packed) => size > Math.max(RATIO_FLOOR, MAX_RATIO * packed);
  if (sum("size") > MAX_BYTES) refuse("more than 2 GiB unpacked");
  if (isPackedTooMuch(sum("size"), sum("packed"))) refuse(`packed more than ${MAX_RATIO}:1`);
  if (members.some(({ size, packed }) => isPackedTooMuch(size, packed))) refuse(`a file is packed more than ${MAX_RATIO}:1`);
  if (new Set(members.map(({ name }) => name.toLowerCase())).size !== members.length) refuse("a file is named twice");
}

/** Read the directory and compare it with every local record; isName tells which names are a bundle's. */
export async function membersOf(source, isName) {
  if (source.size < END) refuse("not a zip: too short");
  const end = await source.read(source.size - END, END);
  const view = new DataView(end.buffer);
  const [count, length, start] = [view.getUint16(10, true), view.getUint32(12, true), view.getUint32(16, true)];
  const wanted = record([4, 0x06054b50], [2, 0], [2, 0], [2, count], [2, count], [4, length], [4, start], [2, 0]);
  if (!isAt(end, 0, wanted) || start + length + END !== source.size) refuse("not a zip, or bytes before, between or after the files");
  if (count > MAX_FILES) refuse(`${count} files, at most ${MAX_FILES}`);
  if (length > count * (CENTRAL + LONGEST_NAME)) refuse("its directory is longer than names of files");
  const table = await source.read(start, length);
  const members = [];
  let [at, position] = [0, 0];
  while (members.length < count) {
    const member = memberAt(table, at, position, isName);
    members.push(member);
    at += CENTRAL + member.name.length;
    position = member.start + member.packed;
  }
  if (at !== length || position !== start) refuse("bytes before, between or after the files");
  checkSizes(members);
  for (const member of members) {
    const head = member.start - LOCAL - member.name.length;
    const local = [...localOf(member), ...[...member.name].map((letter) => letter.charCodeAt(0))];
    if (!isAt(await source.read(head, local.length), 0, local)) refuse(`its zip record is not as a bundle has it: ${member.name}`);
  }
  return members;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});
const crcOf = (data, before) => ~data.reduce((crc, byte) => CRC_TABLE[(crc ^ byte) & 255] ^ (crc >>> 8), ~before) >>> 0;

function inflater() {
  try {
    return new DecompressionStream("deflate-raw");
  } catch (error) {
    throw new UnableError("no-unpacking", error.message);
  }
}

/** Give the unpacked bytes piece by piece; small files come from memory, which is far quicker than from the disk. */
async function* pieces(source, { start, packed, method }) {
  const isSmall = packed <= PIECE;
  if (isSmall && method === 0) {
    yield await source.read(start, packed);
    return;
  }
  let stream = source.blob.slice(start, start + packed).stream();
  if (method !== 0 && !isSmall) stream = stream.pipeThrough(inflater());
  if (method !== 0 && isSmall) {
    const { readable, writable } = inflater();
    const writer = writable.getWriter();
    // What is wrong with the data is told to the reader as well.
    Promise.all([writer.write(await source.read(start, packed)), writer.close()]).catch(() => {});
    stream = readable;
  }
  const reader = stream.getReader();
  try {
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) yield value;
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Unpack one file; packed bytes that say nothing, and another size or check sum than stated, are refused. */
export async function unpacked(source, member) {
  const data = new Uint8Array(member.size);
  let [size, crc] = [0, 0];
  try {
    for await (const piece of pieces(source, member)) {
      if (size + piece.length > member.size) refuse(`size of ${member.name} is not what the zip says`);
      data.set(piece, size);
      size += piece.length;
      crc = crcOf(piece, crc);
    }
  } catch (error) {
    // A file that cannot be read is the browser's word, deflated data that cannot be unpacked the bundle's.
    if ([BundleError, UnableError, DOMException].some((kind) => error instanceof kind)) throw error;
    refuse(`${member.name} cannot be unpacked: ${error.message}`);
  }
  if (size !== member.size) refuse(`size of ${member.name} is not what the zip says`);
  if (crc !== member.crc) refuse(`check sum of ${member.name} is wrong`);
  return data;
}
