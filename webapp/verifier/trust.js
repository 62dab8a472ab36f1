/* What a verifier trusts: the log's key, witnesses, and a snapshot of keys and plants. */

import { fail } from "./failures.js";
import { publicKey } from "./keys.js";
import { noteKey } from "./note.js";
import { readPolicy } from "./policy.js";
import { isCount, parseTime, strictJson } from "./strict.js";

function checkZone(zone) {
  try {
    if (/^[A-Za-z]/.test(zone)) return new Intl.DateTimeFormat("en", { timeZone: zone }) && zone;
  } catch {
    // said below
  }
  return fail("SCHEMA", `time zone ${zone} does not exist`);
}

async function keyEntry(entry) {
  const { jwk, owner, until, region = null } = entry;
  const isEntry = [until ?? 0, entry.from].every(isCount) && (region !== null || !("region" in entry)) && typeof (entry.sm2 ?? "") === "string";
  if (!isEntry || typeof (region ?? "") !== "string" || ![entry.roles, entry.plants].every(Array.isArray)) {
    fail("SCHEMA", "a registry entry is malformed");
  }
  if (!/^(?:[0-9a-f]{128})?$/.test(entry.sm2 ?? "")) fail("ENCODING", "an SM2 key is x and y in 128 lower-case hexadecimal characters");
  const key = await publicKey(jwk);
  if (key.kid !== entry.kid) fail("SCHEMA", `registry entry ${entry.kid} is not the thumbprint of its key`);
  const covers = (plant) => entry.plants.includes(plant.id) || (region !== null && plant.region.startsWith(region));
  return { ...key, key, covers, owner: owner.id, roles: entry.roles, from: entry.from, until: until ?? null, reason: entry.reason, sm2: entry.sm2 };
}

async function registryOf({ keys, plants }) {
  const entries = new Map();
  for (const entry of keys) entries.set(entry.kid, await keyEntry(entry));
  const places = new Map();
  for (const { id, zone, region, sm2_from: second = null } of plants) {
    if (second !== null && !isCount(second)) fail("SCHEMA", "sm2_from is not a log index");
    places.set(String(id), { id: String(id), zone: checkZone(zone), region: String(region), second });
  }
  return { keys: entries, plants: places };
}

/** Read a trust file; SCHEMA, ENCODING, ALG or PAYLOAD where it cannot be relied on. */
export async function readTrust(data) {
  const value = strictJson(data);
  try {
    if (value.v !== 1) fail("SCHEMA", "trust file of another version");
    if (!isCount(value.size)) fail("SCHEMA", "the size in the trust file is impossible");
    const [issued, expires] = [parseTime(value.issued), parseTime(value.expires)];
    if (issued >= expires) fail("SCHEMA", "the trust file expires before it was issued");
    const log = await noteKey(value.log);
    const registry = await registryOf(value.registry);
    const { tsa = [] } = value;
    if (!tsa.every((pem) => pem.includes("-----BEGIN CERTIFICATE-----"))) fail("SCHEMA", "the time-stamp authority's certificate is malformed");
    return { issued: value.issued, expires, size: value.size, log, registry, policy: await readPolicy(value, log), tsa: tsa.length > 0 };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return fail("SCHEMA", `not a trust file: ${error.message}`);
  }
}

/** Return a plant of the registry, or fail with SUBJECT_SCOPE. */
export const plantOf = (trust, id) => trust.registry.plants.get(id) ?? fail("SUBJECT_SCOPE", `plant ${id} is not in the registry`);

