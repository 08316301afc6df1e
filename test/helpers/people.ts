import { env } from 'cloudflare:workers';
import { eq } from 'drizzle-orm';
import { endSessions, type EndReason } from '../../src/auth/end-sessions.ts';
import type { Source } from '../../src/auth/security-log.ts';
import { startSession, type TokenPair } from '../../src/auth/sessions.ts';
import type { Caller } from '../../src/directory/access.ts';
import { openDirectConversation } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import { users } from '../../src/directory/schema.ts';
import { searchKeys } from '../../src/directory/search-keys.ts';

type Name = { first_name: string; last_name: string };

/** A user of the tests, signed in. */
export type Person = { id: string; email: string } & Name & TokenPair;

/** Every test user's password. */
export const PASSWORD = 'correct horse battery';

// What hashPassword makes of it. Hashing takes 0.2 s, which every test would pay for each of its users.
const PASSWORD_HASH =
  '$argon2id$v=19$m=12288,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$QtDcA3mZooFlY5HEEVqnzKsh4wcaNQsWCG8uNQAFoUI';

/** Where the requests of the tests come from. */
export const SOURCE: Source = { request_id: 'test', address: null, user_agent: 'test' };

/** Stores a user, not signed in. */
export async function createPerson(firstName = 'Ana', lastName = 'Doe'): Promise<Omit<Person, keyof TokenPair>> {
  const id = crypto.randomUUID();
  const person = { id, email: `${id}@example.org`, first_name: firstName, last_name: lastName };
  await directory(env.DB)
    .insert(users)
    .values({ ...person, ...searchKeys(person), password: PASSWORD_HASH, created_at: Date.now() });
  return person;
}

/** Stores a user and starts a session for them. */
export async function signedIn(firstName = 'Ana', lastName = 'Doe'): Promise<Person> {
  const person = await createPerson(firstName, lastName);
  return { ...person, ...(await signIn(person.id)) };
}

/** Stores so many users, who cannot sign in, at once. Returns their ids in the order of registration. */
export async function createMany(count: number, name: (i: number) => Name): Promise<string[]> {
  const rows = Array.from({ length: count }, (_, i) => {
    const [id, given] = [crypto.randomUUID(), name(i)];
    return { id, email: `${id}@example.org`, ...given, ...searchKeys(given) };
  });
  const columns = ['id', 'email', 'first_name', 'last_name', 'name_key', 'last_name_key'];
  // One parameter for all of them: D1 takes no more than 100.
  await env.DB.prepare(
    `INSERT INTO users (${columns.join()}, password, created_at)
     SELECT ${columns.map((column) => `value ->> '${column}'`).join()}, '', 0 FROM json_each(?) ORDER BY key`,
  )
    .bind(JSON.stringify(rows))
    .run();
  return rows.map(({ id }) => id);
}

/** Starts a session for a user of the tests. */
export async function signIn(userId: string, userAgent = 'test', now = Date.now()): Promise<TokenPair> {
  const source = { ...SOURCE, user_agent: userAgent };
  const tokens = await startSession(directory(env.DB), { userId, password: PASSWORD_HASH, source, now });
  if (!tokens) throw new Error('The user may not sign in.');
  return tokens;
}

/** Ends one session and tells nobody. @returns false if it had ended before */
export async function endSession({ user_id, session_id }: Caller, reason: EndReason, now: number): Promise<boolean> {
  return (await endSessions(directory(env.DB), { user_id, only: session_id }, reason, SOURCE, now)).length === 1;
}

/** Takes from a user the right to sign in and to act, or gives it back. */
export async function deactivate(userId: string, inactive = true): Promise<void> {
  await directory(env.DB).update(users).set({ is_active: !inactive }).where(eq(users.id, userId));
}

/** Two users and the id of their conversation. */
export async function pairInConversation(): Promise<{ john: Person; ray: Person; conversationId: string }> {
  const [john, ray] = [await signedIn('John'), await signedIn('Ray')];
  const conversation = await openDirectConversation(directory(env.DB), john.id, ray.id, Date.now());
  if (!conversation) throw new Error('The pair has no conversation.');
  return { john, ray, conversationId: conversation.id };
}
