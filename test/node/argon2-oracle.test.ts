import { argon2Sync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hashPassword, verifyPassword } from '../../src/auth/passwords.ts';

/** Hashes with Node's argon2id (OpenSSL), with the parameters and the salt of a PHC string, and returns the same string. */
function recomputed(password: string, phc: string): string {
  const [, algorithm, version, cost = '', salt = ''] = phc.split('$');
  const [memory = 0, passes = 0, parallelism = 0] = cost.split(',').map((part) => Number(part.slice(2)));
  const message = Buffer.from(password, 'utf8');
  const nonce = Buffer.from(salt, 'base64');
  const hash = argon2Sync('argon2id', { message, nonce, memory, passes, parallelism, tagLength: 32 });
  return ['', algorithm, version, cost, salt, hash.toString('base64').replaceAll('=', '')].join('$');
}

const SALT = Buffer.alloc(16, 7).toString('base64').replaceAll('=', '');

describe("Node's argon2id", () => {
  it.each(['correct horse', '', 'pässwörd-ключ-🔑', '🔑'.repeat(128), 'nul\0byte'])(
    'makes the same PHC string of %j as hashPassword',
    async (password) => {
      const stored = await hashPassword(password);
      expect(recomputed(password, stored)).toBe(stored);
    },
  );

  it('makes strings that verifyPassword accepts, whatever their parameters', async () => {
    for (const cost of ['m=12288,t=3,p=1', 'm=19456,t=2,p=1', 'm=64,t=10,p=4', 'm=65536,t=1,p=2', 'm=8,t=1,p=1']) {
      const stored = recomputed('correct horse', `$argon2id$v=19$${cost}$${SALT}$`);
      expect(await verifyPassword('correct horse', stored)).toMatchObject({ valid: true });
      expect(await verifyPassword('wrong', stored)).toMatchObject({ valid: false });
    }
  });

  it('hashes the composed form of a password that was typed decomposed', async () => {
    const stored = await hashPassword('pässwörd'.normalize('NFD'));
    expect(recomputed('pässwörd'.normalize('NFC'), stored)).toBe(stored);
  });
});
