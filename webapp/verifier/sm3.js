/* SM3 (GB/T 32905), the hash that SM2 signatures are over. */

const START = [0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e];
const turned = (word, by) => (word << (by & 31)) | (word >>> (32 - (by & 31)));
const mixed = (word) => word ^ turned(word, 9) ^ turned(word, 17);
const spread = (word) => word ^ turned(word, 15) ^ turned(word, 23);

function compressed(state, block) {
  const words = Array.from({ length: 16 }, (_, at) => block.getInt32(at * 4));
  for (let at = 16; at < 68; at += 1) {
    words.push(spread(words[at - 16] ^ words[at - 9] ^ turned(words[at - 3], 15)) ^ turned(words[at - 13], 7) ^ words[at - 6]);
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let at = 0; at < 64; at += 1) {
    const isFirst = at < 16;
    const ss1 = turned(turned(a, 12) + e + turned(isFirst ? 0x79cc4519 : 0x7a879d8a, at) | 0, 7);
    const tt1 = (isFirst ? a ^ b ^ c : (a & b) | (a & c) | (b & c)) + d + (ss1 ^ turned(a, 12)) + (words[at] ^ words[at + 4]) | 0;
    const tt2 = (isFirst ? e ^ f ^ g : (e & f) | (~e & g)) + h + ss1 + words[at] | 0;
    [a, b, c, d, e, f, g, h] = [tt1, a, turned(b, 9), c, mixed(tt2), e, turned(f, 19), g];
  }
  return [a, b, c, d, e, f, g, h].map((word, at) => word ^ state[at]);
}

/** Hash bytes; 32 bytes. */
export function sm3(data) {
  const padded = new Uint8Array(Math.ceil((data.length + 9) / 64) * 64);
  padded.set(data);
  padded[data.length] = 0x80;
  new DataView(padded.buffer).setBigUint64(padded.length - 8, BigInt(data.length) * 8n);
  let state = START.map((word) => word | 0);
  for (let at = 0; at < padded.length; at += 64) state = compressed(state, new DataView(padded.buffer, at, 64));
  const hash = new DataView(new ArrayBuffer(32));
  state.forEach((word, at) => hash.setInt32(at * 4, word));
  return new Uint8Array(hash.buffer);
}
