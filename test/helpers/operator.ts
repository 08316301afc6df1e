import { env } from 'cloudflare:workers';
import { bytesToHex, randomBytes } from '@noble/hashes/utils.js';
import { OPERATOR_KEY_LIFETIME_S } from '../../src/config.ts';
import { sha256Hex } from '../../src/auth/digest.ts';
import { directory } from '../../src/directory/database.ts';
import { operatorKeys } from '../../src/directory/schema.ts';

/** A new key that opens the operator's routes, for a minute. */
export async function operatorKey(expiresAt = Date.now() + OPERATOR_KEY_LIFETIME_S * 1000): Promise<string> {
  const key = bytesToHex(randomBytes(32));
  await directory(env.DB)
    .insert(operatorKeys)
    .values({ key_hash: sha256Hex(key), expires_at: expiresAt });
  return key;
}
