/* Sign a statement: JWS compact, ES256, header and payload in canonical JSON. Leaves keeping the key to keystore.js. */

import { canonical } from "./canonical.js";
import { b64u, hex, sha256, utf8 } from "./encoding.js";

const ALGORITHM = { name: "ECDSA", hash: "SHA-256" };

/** Return the RFC 7638 thumbprint of a public P-256 JWK. */
export async function thumbprint(jwk) {
  return b64u(await sha256(utf8(canonical({ crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y }))));
}

/** Return the signer's clock in the one form statements use: UTC with exactly three decimals. */
export const now = () => new Date().toISOString();

/** Return {jws, sid}. sid is the SHA-256 of the signing input, not of the signature. */
export async function sign(payload, { kid, key }) {
  const header = { alg: "ES256", kid, typ: `ev-${payload.kind}+jws` };
  const input = `${b64u(utf8(canonical(header)))}.${b64u(utf8(canonical(payload)))}`;
  const signature = await crypto.subtle.sign(ALGORITHM, key, utf8(input));
  return { jws: `${input}.${b64u(signature)}`, sid: hex(await sha256(utf8(input))) };
}
