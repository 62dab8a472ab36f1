/* The retention challenge: raw tiles that nobody could know before, drawn from a later checkpoint and the log's signature under it. */

import { sha256 } from "../static/js/encoding.js";
import { fail, within } from "./failures.js";
import { verifyCheckpoint } from "./note.js";
import { unhex } from "./strict.js";

const WIDTH = 256;
const [LEAST_DRAWS, MOST_DRAWS] = [299, 450];
const broken = (detail) => fail("CHALLENGE_FAIL", detail);

/** Return what tiles are drawn from: the root and the log's one signature. */
function seedOf({ root, signatures }, log) {
  const own = signatures.filter(([name, id]) => name === log.name && id === log.id);
  if (own.length !== 1 || own[0][2].length !== 64) fail("SIGNATURE", `a seed bears one signature of ${log.name}`);
  return [...root, ...own[0][2]];
}

/** Tell whether tiles are those of some number of draws, of LEAST_DRAWS at least. */
async function follow(tiles, seed, month, cover) {
  const touched = cover.map(({ gw, epoch, start, end }) => {
    const first = Math.floor(start / WIDTH);
    return { gw, epoch, first, count: Math.ceil(end / WIDTH) - first };
  });
  const all = touched.reduce((sum, { count }) => sum + Math.max(0, count), 0);
  const drawn = new Set();
  for (let counter = 0; all && counter < MOST_DRAWS && (counter < LEAST_DRAWS || drawn.size < tiles.length); counter += 1) {
    const place = new DataView(new ArrayBuffer(4));
    place.setUint32(0, counter);
    const digest = await sha256(new Uint8Array([...seed, ...unhex(month), ...new Uint8Array(place.buffer)]));
    let number = Number(new DataView(digest).getBigUint64(0) % BigInt(all));
    for (const { gw, epoch, first, count } of touched) {
      if (number < count) {
        drawn.add(JSON.stringify([gw, epoch, first + number]));
        break;
      }
      number -= Math.max(0, count);
    }
  }
  return JSON.stringify([...drawn]) === JSON.stringify(tiles.map(({ gw, epoch, tile }) => JSON.stringify([gw, epoch, tile])));
}

async function checkChallenge({ trust, found }, inspect, month) {
  const { seed: note, asked, tiles, result, month: sid } = inspect.payload.challenge;
  if (month.payload.plant !== inspect.payload.plant) fail("SUBJECT_SCOPE", "the challenged month is of another plant");
  const seed = await verifyCheckpoint(note, trust.log);
  if (inspect.index !== null && seed.size > inspect.index) fail("TIME_CONTRADICTION", `logged at ${inspect.index}, yet its seed is of a log of ${seed.size}`);
  if (seed.size <= asked) broken(`its seed of ${seed.size} entries was known when it was asked, at ${asked}`);
  if (month.index !== null && month.index >= asked) broken(`asked at ${asked}, before the month was logged at ${month.index}`);
  if (!(await follow(tiles, seedOf(seed, trust.log), sid, month.payload.cover))) broken("its tiles do not follow from its seed");
  const lost = tiles.filter(({ state }) => state !== "proven");
  if (result !== (lost.length ? "failed" : "passed")) broken(`its result is ${result}, its tiles say otherwise`);
  if (lost.length) broken(`${lost.length} of ${tiles.length} challenged tiles were not shown`);
  await within(null, inspect.sid, () => verifyCheckpoint(note, trust.log, trust.policy)).catch((error) => {
    // Witnesses change, and a signed seed does not: that it lacks one of today is no contradiction.
    if (!error.code) throw error;
    found.add(error.code, `its seed: ${error.detail}`, inspect.sid, "VALID_WITH_WARNINGS");
  });
}

/** Check every challenge that an inspector's statement tells of. */
export async function checkChallenges(checking) {
  const months = new Map(checking.ofKind("month").map((one) => [one.sid, one]));
  for (const inspect of checking.ofKind("inspect")) {
    if (!inspect.payload.challenge) continue;
    await checking.examining("challenge", () => {
      const month = months.get(inspect.payload.challenge.month);
      if (month) return checkChallenge(checking, inspect, month);
      return checking.found.add("CHAIN_INCOMPLETE", "the month that was challenged is not here", inspect.sid, "INDETERMINATE");
    }, inspect.sid);
  }
}
