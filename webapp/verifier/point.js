/* The one check of Ed25519 keys that browsers leave out: a point of the main subgroup in its one spelling.

   Under a point of low or mixed order one signature can fit many messages (RFC 8032 s5.1.7). Nothing secret passes here. */

const P = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;
const ROOT_OF_MINUS_1 = 19681161376707505956807079304988542015446066515923890162744021073123829784752n;

const mod = (value) => ((value % P) + P) % P;

function power(base, exponent) {
  let result = 1n;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if (rest & 1n) result = (result * base) % P;
    base = (base * base) % P;
  }
  return result;
}

/** Return x of a point, or null where y belongs to none; which of the two x does not matter here. */
function abscissa(y) {
  const square = mod((y * y - 1n) * power(mod(D * y * y + 1n), P - 2n));
  let x = power(square, (P + 3n) / 8n);
  if (mod(x * x - square)) x = (x * ROOT_OF_MINUS_1) % P;
  return mod(x * x - square) ? null : x;
}

/** Add two points in extended coordinates (RFC 8032 s5.1.4). */
function added([x1, y1, z1, t1], [x2, y2, z2, t2]) {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(2n * D * t1 * t2);
  const d = mod(2n * z1 * z2);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

/** Tell whether 32 bytes are a canonical point of the main subgroup other than the neutral element. */
export function isMainSubgroup(bytes) {
  let y = 0n;
  for (let at = 31; at >= 0; at -= 1) y = (y << 8n) | BigInt(at === 31 ? bytes[at] & 127 : bytes[at]);
  const x = y < P ? abscissa(y) : null;
  if (!x) return false;
  const point = [x, y, 1n, mod(x * y)];
  let sum = [0n, 1n, 1n, 0n];
  for (let bit = 252n; bit >= 0n; bit -= 1n) {
    sum = added(sum, sum);
    if ((ORDER >> bit) & 1n) sum = added(sum, point);
  }
  return sum[0] === 0n && sum[1] === sum[2];
}
