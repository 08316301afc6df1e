import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, randomBytes, utf8ToBytes } from '@noble/hashes/utils.js';

/** SHA-256 of a text's UTF-8, in hexadecimal digits: what is stored of what must not be stored. */
export function sha256Hex(text: string): string {
  return bytesToHex(sha256(utf8ToBytes(text)));
}

/** 128 random bits, as 32 hexadecimal digits. */
export function randomId(): string {
  return bytesToHex(randomBytes(16));
}
