/** A new id for an operation. Pages that did not come over TLS have no `crypto.randomUUID`. */
export function newRef(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
