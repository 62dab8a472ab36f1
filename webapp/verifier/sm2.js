/* Second signatures: SM2 with SM3 (GB/T 32918.2), which no browser has. Only public values pass here. */

import { utf8 } from "../static/js/encoding.js";
import { fail } from "./failures.js";
import { sm3 } from "./sm3.js";
import { unhex } from "./strict.js";

const MOST_BYTES = 72;
const P = 0xfffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffffn;
const N = 0xfffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123n;
const A = "fffffffeffffffffffffffffffffffffffffffff00000000fffffffffffffffc";
const B = "28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93";
const G = "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0";
const ID = "1234567812345678";

const mod = (value, by = P) => ((value % by) + by) % by;
const numberOf = (text) => BigInt(`0x${text}`);
const pointOf = (text) => [numberOf(text.slice(0, 64)), numberOf(text.slice(64)), 1n];

function inverse(value, by) {
  let [old, rest, one, other] = [by, mod(value, by), 0n, 1n];
  while (rest) [old, rest, one, other] = [rest, old % rest, other, one - (old / rest) * other];
  return mod(one, by);
}

/** Add two points in Jacobian coordinates (x/z², y/z³); z is 0 at infinity. */
function added(one, other) {
  const [[x1, y1, z1], [x2, y2, z2]] = [one, other];
  if (!z1 || !z2) return z1 ? one : other;
  const [s1, s2] = [mod(z1 * z1), mod(z2 * z2)];
  const [u1, u2, v1, v2] = [mod(x1 * s2), mod(x2 * s1), mod(y1 * s2 * z2), mod(y2 * s1 * z1)];
  if (u1 === u2) return v1 === v2 ? doubled(one) : [1n, 1n, 0n];
  const [h, r] = [u2 - u1, v2 - v1];
  const [h2, h3] = [mod(h * h), mod(h * h * h)];
  const x = mod(r * r - h3 - 2n * u1 * h2);
  return [x, mod(r * (u1 * h2 - x) - v1 * h3), mod(h * z1 * z2)];
}

function doubled([x, y, z]) {
  const [y2, z2] = [mod(y * y), mod(z * z)];
  const [s, m] = [mod(4n * x * y2), mod(3n * (x - z2) * (x + z2))]; // a is -3
  const t = mod(m * m - 2n * s);
  return [t, mod(m * (s - t) - 8n * y2 * y2), mod(2n * y * z)];
}

/** Read DER SEQUENCE{r, s}, of which there is one spelling. */
function numbersOf(der) {
  const refuse = () => fail("SIGNATURE", "not an SM2 signature");
  if (der.length > MOST_BYTES || der[0] !== 0x30 || der[1] !== der.length - 2) refuse();
  const numbers = [];
  for (let at = 2; at < der.length; at += 2 + der[at + 1]) {
    const part = der.slice(at + 2, at + 2 + der[at + 1]);
    const isLoose = !part.length || part[0] > 127 || (part[0] === 0 && part[1] < 128) || part.length !== der[at + 1];
    if (der[at] !== 2 || isLoose) refuse();
    numbers.push(part.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n));
  }
  return numbers.length === 2 ? numbers : refuse();
}

/** Check a signature by a public key, x‖y in hexadecimal, over exactly these bytes. */
export function verifySm2(key, signature, data) {
  const point = pointOf(key);
  const [x, y] = point;
  if (x >= P || y >= P || mod(y * y - x * x * x - numberOf(A) * x - numberOf(B))) fail("ENCODING", "not a public SM2 key");
  const [r, s] = numbersOf(signature);
  const user = sm3(new Uint8Array([0, 128, ...utf8(ID), ...unhex(A + B + G + key)]));
  const hash = sm3(new Uint8Array([...user, ...data]));
  const digest = hash.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  const t = mod(r + s, N);
  const [base, both] = [pointOf(G), added(pointOf(G), point)];
  let sum = [1n, 1n, 0n];
  for (let bit = 255n; bit >= 0n; bit -= 1n) {
    sum = doubled(sum);
    const [ofBase, ofKey] = [(s >> bit) & 1n, (t >> bit) & 1n];
    if (ofBase || ofKey) sum = added(sum, ofBase && ofKey ? both : ofBase ? base : point);
  }
  const isInside = [r, s].every((number) => number > 0n && number < N) && t && sum[2];
  const abscissa = isInside ? mod(sum[0] * inverse(sum[2] * sum[2], P)) : 0n;
  if (!isInside || mod(digest + abscissa, N) !== r) fail("SIGNATURE", "the SM2 signature does not fit its key");
}
