import { env } from 'cloudflare:workers';
import { eq } from 'drizzle-orm';
import { startSession, type TokenPair } from '../../src/auth/sessions.ts';
import { openDirectConversation } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import { users } from '../../src/directory/schema.ts';

/** A user of the tests, signed in. */
export type Person = { id: string; email: string; first_name: string; last_name: string } & TokenPair;

/** Every test user's password. */
export const PASSWORD = 'correct horse battery';

// What hashPassword makes of it. Hashing takes 0.2 s, which every test would pay for each of its users.
const PASSWORD_HASH =
  '$argon2id$v=19$m=12288,t=3,p=1$AAECAwQFBgcICQoLDA0ODw$QtDcA3mZooFlY5HEEVqnzKsh4wcaNQsWCG8uNQAFoUI';

/** Stores a user, not signed in. */
export async function createPerson(firstName = 'Ana'): Promise<Omit<Person, keyof TokenPair>> {
  const id = crypto.randomUUID();
  const person = { id, email: `${id}@example.org`, first_name: firstName, last_name: 'Doe' };
  await directory(env.DB)
    .insert(users)
    .values({ ...person, password: PASSWORD_HASH, created_at: Date.now() });
  return person;
}

/** Stores a user and starts a session for them. */
export async function signedIn(firstName = 'Ana'): Promise<Person> {
  const person = await createPerson(firstName);
  return {
    ...person,
    ...(await startSession(directory(env.DB), { userId: person.id, userAgent: 'test', now: Date.now() })),
  };
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
