import * as v from 'valibot';
import { uuid } from '../protocol/rows.ts';
import { sha256Hex } from './digest.ts';
import { ISSUER, signClaims, verifySignature } from './signatures.ts';

/** What the link in a mail is good for. */
export type LinkPurpose = 'password_reset' | 'email_verification';

/** What a link says of whom. */
export type Link = {
  readonly user_id: string;
  /** A digest of what the link changes. Once that has changed, the link is used up, and so is every other one. */
  readonly state: string;
};

const claims = v.object({ token_type: v.string(), user_id: uuid, state: v.string(), iss: v.string(), exp: v.number() });

/** Signs the token of a link that is good for `lifetime` seconds. `now` is in milliseconds since 1970. */
export async function signLink(purpose: LinkPurpose, link: Link, lifetime: number, now: number): Promise<string> {
  const issuedAt = Math.floor(now / 1000);
  return signClaims({
    token_type: purpose,
    ...link,
    iss: ISSUER,
    aud: purpose,
    iat: issuedAt,
    exp: issuedAt + lifetime,
  });
}

/** Decodes the token of a link; undefined for one that is not ours, not of this purpose, or too old. */
export async function readLink(purpose: LinkPurpose, token: string, now: number): Promise<Link | undefined> {
  const payload = await verifySignature(token, Math.floor(now / 1000));
  const result = v.safeParse(claims, payload);
  if (!result.success || payload?.aud !== purpose) return undefined;
  const { token_type, iss, user_id, state } = result.output;
  return token_type === purpose && iss === ISSUER ? { user_id, state } : undefined;
}

/** The state that a link to choose a new password is bound to: the present one. */
export const passwordState = (account: { email: string; password: string }): string =>
  sha256Hex(`${account.email}\n${account.password}`);

/** The state that a link to verify an address is bound to. */
export const emailState = ({ email }: { email: string }): string => sha256Hex(email);
