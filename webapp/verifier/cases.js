/* One case of the conformance corpus (tests/vectors): what is judged follows from the files that are there. */

import { Source } from "./container.js";
import { within } from "./failures.js";
import { verifyConsistency } from "./merkle.js";
import { parseReceipt, verifyCheckpoint } from "./note.js";
import { disclosed } from "./reading.js";
import { LOG_STEPS, verifyStatement } from "./statement.js";
import { decoded, unb64 } from "./strict.js";
import { provenTile } from "./tiles.js";
import { readTrust } from "./trust.js";
import { judged, verifyBundle } from "./verify.js";

const note = (data) => decoded(data, "CHECKPOINT_FORMAT");

async function checkStatement(files, trust, now) {
  const one = await verifyStatement(files["statement.jws"], trust);
  const segments = new Map([[one.sid, one.payload]]);
  if (files["reading.json"]) await disclosed(null, files["reading.json"], segments);
  if (files["tile.json"]) await provenTile(null, files["tile.json"], segments);
  if (!files["receipt.tlog-proof"]) return;
  const receipt = await parseReceipt(note(files["receipt.tlog-proof"]));
  for (const [, check] of LOG_STEPS) await within(null, one.sid, () => check(one, receipt, trust, now));
}

async function checkConsistency(files, trust) {
  const [old, grown] = [files["old.checkpoint"], files["new.checkpoint"]].map((data) => verifyCheckpoint(note(data), trust.log));
  const path = note(files.consistency).split("\n").slice(0, -1).map(unb64);
  const [{ size, root }, after] = [await old, await grown];
  await verifyConsistency(size, after.size, path, root, after.root);
}

/** Judge the files of a case, bytes by name, at a moment in milliseconds; return a report. */
export function judgeCase(files, now) {
  if (files["bundle.evb"]) return verifyBundle(new Source(new Blob([files["bundle.evb"]])), files["trust.json"], now);
  return judged(async () => {
    const trust = await readTrust(files["trust.json"]);
    if (files["statement.jws"]) await checkStatement(files, trust, now);
    if (files.checkpoint) await verifyCheckpoint(note(files.checkpoint), trust.log, trust.policy);
    if (files.consistency) await checkConsistency(files, trust);
  });
}
