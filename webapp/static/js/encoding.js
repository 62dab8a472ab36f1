/* Bytes to text and back: UTF-8, base64url without padding, lower-case hex, SHA-256. */

export const utf8 = (text) => new TextEncoder().encode(text);

export function b64u(bytes) {
  let binary = "";
  for (const byte of new Uint8Array(bytes)) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

export const hex = (bytes) => Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("");

export const sha256 = (bytes) => crypto.subtle.digest("SHA-256", bytes);
