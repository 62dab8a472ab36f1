/* Public keys, Ed25519 and ES256, named by their thumbprint; the browser does the arithmetic. */

import { canonical } from "../static/js/canonical.js";
import { b64u, sha256, utf8 } from "../static/js/encoding.js";
import { UnableError, fail } from "./failures.js";
import { isMainSubgroup } from "./point.js";
import { unb64u } from "./strict.js";

const WAYS = {
  Ed25519: { members: ["crv", "kty", "x"], taken: { name: "Ed25519" }, used: { name: "Ed25519" } },
  ES256: {
    members: ["crv", "kty", "x", "y"],
    taken: { name: "ECDSA", namedCurve: "P-256" },
    used: { name: "ECDSA", hash: "SHA-256" },
  },
};

function algorithmOf(jwk) {
  if (jwk.kty === "OKP" && jwk.crv === "Ed25519") return "Ed25519";
  if (jwk.kty === "EC" && jwk.crv === "P-256") return "ES256";
  return fail("ALG", "this type of key is not accepted");
}

async function taken(jwk, alg) {
  try {
    return await crypto.subtle.importKey("jwk", { ...jwk }, WAYS[alg].taken, true, ["verify"]);
  } catch (error) {
    if (error.name === "NotSupportedError" || error.name === "TypeError") throw new UnableError("no-algorithm", alg);
    return fail("ENCODING", `not a public ${alg} key`);
  }
}

/** Read a public JWK of exactly the required members; low-order, mixed-order and other loose points are refused. */
export async function publicKey(jwk) {
  const alg = algorithmOf(jwk);
  const { members, used } = WAYS[alg];
  if (Object.keys(jwk).sort().join() !== members.join()) fail("ENCODING", `a public ${alg} key has exactly ${members}`);
  const parts = members.slice(2).map((name) => unb64u(jwk[name]));
  if (parts.some((part) => part.length !== 32)) fail("ENCODING", "a key coordinate is not 32 bytes");
  if (alg === "Ed25519" && !isMainSubgroup(parts[0])) fail("ENCODING", "Ed25519 key is not a point of the main subgroup");
  const key = await taken(jwk, alg);
  const kid = b64u(await sha256(utf8(canonical(jwk))));
  const verify = async (signature, data) => {
    const fits = signature.length === 64 && (await crypto.subtle.verify(used, key, signature, data));
    if (!fits) fail("SIGNATURE", `signature does not fit key ${kid.slice(0, 12)}`);
  };
  return { alg, kid, verify };
}

/** Read the 32 bytes of an Ed25519 public key. */
export const ed25519Key = (raw) => publicKey({ crv: "Ed25519", kty: "OKP", x: b64u(raw) });
