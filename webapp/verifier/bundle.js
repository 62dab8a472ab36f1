/* The files of a bundle by kind; keys are sid, sha256, epoch-index, segment-tile or log size. */

import { canonical } from "../static/js/canonical.js";
import { hex, sha256, utf8 } from "../static/js/encoding.js";
import { membersOf, refuse, unpacked } from "./container.js";
import { byText } from "./strict.js";

const INDEX = "index.json";
const MAX_AT_ONCE = 64 * 1024 ** 2;
const SMALL = 65535;
const HEX = "[0-9a-f]{64}";

/** Form of the names and largest size, by folder. */
const FOLDERS = {
  statements: [new RegExp(`^(${HEX})\\.jws$`), SMALL],
  proofs: [new RegExp(`^(${HEX})\\.tlog-proof$`), SMALL],
  content: [new RegExp(`^(${HEX})$`), Infinity],
  readings: [/^([1-9][0-9]{0,8}-(?:0|[1-9][0-9]{0,15}))\.json$/, SMALL],
  tiles: [new RegExp(`^(${HEX}-(?:0|[1-9][0-9]{0,13}))\\.json$`), 1024 ** 2],
  sm2: [new RegExp(`^(${HEX})\\.sm2$`), SMALL],
  checkpoints: [/^([1-9][0-9]{0,18})\.note$/, SMALL],
  stamps: [/^([1-9][0-9]{0,18})\.tsr$/, SMALL],
};

/** Return folder, key and largest size of a name; null where no bundle has such a file. */
function placeOf(name) {
  if (name === INDEX) return { folder: null, key: INDEX, most: MAX_AT_ONCE };
  const cut = name.indexOf("/");
  const folder = name.slice(0, Math.max(cut, 0));
  if (!Object.hasOwn(FOLDERS, folder)) return null;
  const [form, most] = FOLDERS[folder];
  const key = form.exec(name.slice(cut + 1))?.[1];
  return key === undefined ? null : { folder, key, most };
}

/** Open a bundle, refusing it whole when any limit, name, size or check sum is broken; contents and tiles are not kept. */
export async function readBundle(source, tell = () => {}) {
  const members = await membersOf(source, (name) => placeOf(name) !== null);
  const bundle = { ...Object.fromEntries(Object.keys(FOLDERS).map((folder) => [folder, new Map()])), index: null };
  const listed = [];
  for (const [at, member] of members.entries()) {
    const { folder, key, most } = placeOf(member.name);
    if (member.size > most) refuse(`${member.name} is larger than any such file`);
    const data = await unpacked(source, member);
    tell(at + 1, members.length);
    if (!folder) {
      bundle.index = data;
      continue;
    }
    const facts = { name: member.name, size: member.size, sha256: hex(await sha256(data)) };
    listed.push(facts);
    bundle[folder].set(key, ["content", "tiles"].includes(folder) ? { ...facts, bytes: () => bytesOf(source, member) } : data);
  }
  bundle.names = listed.length;
  bundle.expectedIndex = utf8(canonical({ v: 1, files: listed.sort((one, other) => byText(one.name, other.name)) }));
  return bundle;
}

async function bytesOf(source, member) {
  if (member.size > MAX_AT_ONCE) refuse(`${member.name} is larger than anything that is read whole`);
  return unpacked(source, member);
}
