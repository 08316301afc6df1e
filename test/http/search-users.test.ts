import { env } from 'cloudflare:workers';
import { drizzle } from 'drizzle-orm/d1';
import { beforeAll, describe, expect, it } from 'vitest';
import { EMAIL_MAX_LENGTH, NAME_MAX_LENGTH, PAGE_SIZE, SEARCH_MAX_LENGTH } from '../../src/config.ts';
import { directory } from '../../src/directory/database.ts';
import { searchKey, searchKeys } from '../../src/directory/search-keys.ts';
import { renameUser, searchUsers } from '../../src/directory/users.ts';
import { api, type ApiAnswer } from '../helpers/api.ts';
import { nextOf } from '../helpers/caller.ts';
import { finished } from '../helpers/finished.ts';
import { createMany, createPerson, deactivate, PASSWORD, signedIn, type Person } from '../helpers/people.ts';

type User = { id: string; first_name: string; last_name: string };
type SignedIn = { access: string };

const search = ({ access }: SignedIn, text: string, more = '') =>
  api(`/api/users/?search=${encodeURIComponent(text)}${more}`, { token: access });

/** The ids that a search finds on its first page. */
async function found(caller: SignedIn, text: string): Promise<string[]> {
  const { status, body } = await search(caller, text);
  expect(status).toBe(200);
  return body.map(({ id }: User) => id);
}

/** Every page of a search. */
async function pages(caller: SignedIn, text: string): Promise<User[][]> {
  const all: User[][] = [];
  for (let path: string | undefined = `/api/users/?search=${encodeURIComponent(text)}`; path !== undefined;) {
    const answer: ApiAnswer = await api(path, { token: caller.access });
    expect(answer.status).toBe(200);
    all.push(answer.body);
    path = nextOf(answer);
  }
  return all;
}

const block = ({ access }: SignedIn, { id }: { id: string }) =>
  api(`/api/users/${id}/block/`, { method: 'PUT', token: access });

const keysOf = (id: string) =>
  env.DB.prepare('SELECT first_name, last_name, name_key, last_name_key FROM users WHERE id = ?').bind(id).first();
const rename = ({ access }: SignedIn, json: object) => finished('/api/me/', { method: 'PATCH', token: access, json });

let caller: Person;

beforeAll(async () => {
  caller = await signedIn('Caller', 'Searching');
});

describe('a search for a name', () => {
  it.each([
    ['the beginning of the first name', 'Quent'],
    ['the first name and some of the last', 'quentin t'],
    ['the whole name', 'Quentin Tarkov'],
    ['the beginning of the last name', 'tark'],
    ['another case', 'qUENTIN tARKOV'],
    ['more white space', '  quentin \t\u00a0 tarkov '],
    ['compatibility characters', 'Ｑｕｅｎtin'],
  ])('finds by %s', async (_, text) => {
    const quentin = await createPerson('Quentin', 'Tarkov');
    expect(await found(caller, text)).toContain(quentin.id);
  });

  it('answers a name and an id and nothing else', async () => {
    const { id } = await createPerson('Oneofakind', 'Tarkov');
    const { body } = await search(caller, 'oneofakind');
    expect(body).toEqual([{ id, first_name: 'Oneofakind', last_name: 'Tarkov' }]);
  });

  it.each(['uentin', 'tarkov quentin', 'quentintarkov', 'quentin tarkovx'])('does not find by %j', async (text) => {
    const quentin = await createPerson('Quentin', 'Tarkov');
    expect(await found(caller, text)).not.toContain(quentin.id);
  });

  it.each([
    ['Örjan', 'Ångström', 'ÖRJ'],
    ['Örjan', 'Ångström', 'örjan åNG'],
    ['Örjan', 'Ångström', 'a\u030angstro\u0308m'],
    ['Ørsted', 'Łukasz', 'łUK'],
    ['Οδυσσέας', 'Σωκράτης', 'σωκράτης'],
    ['ΟΔΟΣΑ', 'Σωκράτης', 'ΟΔΟΣ'],
    ['Жанна', 'Щукина', 'жанна щ'],
    ['🦋', 'Butterfly', '🦋 b'],
  ])('ignores the case of any letter: %s %s by %j', async (first, last, text) => {
    const person = await createPerson(first, last);
    expect(await found(caller, text)).toContain(person.id);
  });

  it.each([
    ['%', 'Percent%'],
    ['_', 'Under_score'],
    ['q%n', 'Quentin'],
    ['q_entin', 'Quentin'],
    ['*', 'Quentin'],
    ['[a-z]', 'Quentin'],
    ["' OR 1=1 --", 'Quentin'],
    ['\\', 'Back\\slash'],
  ])('knows no wildcards: %s', async (text, first) => {
    await createPerson(first, 'Tarkov');
    expect(await found(caller, text)).toEqual([]);
  });

  it('finds a name that begins with a wildcard', async () => {
    const person = await createPerson('%_', 'Percent');
    expect(await found(caller, '%')).toEqual([person.id]);
  });

  it.each([
    ['Őszi', 'Élő', 'őszi'],
    ['Őszi', 'Élő', 'Őszi él'],
    ['Őszi', 'Élő', 'ÉLŐ'],
    ['Anna', 'Élő', 'anna él'],
  ])('finds who registered before there were searches: %s %s by %j', async (first, last, text) => {
    const person = await createPerson(first, last);
    // As the migration does.
    await env.DB.prepare(
      `UPDATE users SET name_key = lower(first_name || ' ' || last_name), last_name_key = lower(last_name) WHERE id = ?`,
    )
      .bind(person.id)
      .run();
    expect(await found(caller, text)).toContain(person.id);
  });

  it('is in order of the names, and of registration among the same', async () => {
    const zoe = await createPerson('Sorted Zoe', 'A');
    const [first, second] = [await createPerson('Sorted Mia', 'B'), await createPerson('sorted mia', 'b')];
    const byLastName = await createPerson('Ana', 'Sorted');
    expect(await found(caller, 'sorted')).toEqual([byLastName.id, first.id, second.id, zoe.id]);
  });
});

describe('a search for an e-mail address', () => {
  it.each([
    ['as it is', (email: string) => email],
    ['in upper case', (email: string) => email.toUpperCase()],
    ['with white space around it', (email: string) => ` ${email} `],
  ])('finds whose it is: %s', async (_, spell) => {
    const ana = await createPerson('Ana');
    expect(await found(caller, spell(ana.email))).toEqual([ana.id]);
  });

  it('finds nobody by a part of it', async () => {
    const { email } = await createPerson('Ana');
    for (const part of [
      email.slice(0, -1),
      email.slice(1),
      email.replace('@', ''),
      '@example.org',
      email.slice(0, 8),
    ]) {
      expect(await found(caller, part)).toEqual([]);
    }
  });

  it('finds them by the address of now, and not by one they have left', async () => {
    const ana = await signedIn('Ana');
    const email = `${crypto.randomUUID()}@example.org`;
    await finished('/api/me/', { method: 'PATCH', token: ana.access, json: { email, current_password: PASSWORD } });
    expect(await found(caller, email)).toEqual([ana.id]);
    expect(await found(caller, ana.email)).toEqual([]);
  });

  it('finds nobody by what the row of a deleted account has instead', async () => {
    const ana = await signedIn('Ana');
    await finished('/api/me/delete/', { token: ana.access, json: { password: PASSWORD } });
    expect(await found(caller, `deleted:${ana.id}`)).toEqual([]);
    expect(await found(caller, ana.email)).toEqual([]);
  });
});

describe('a search leaves out', () => {
  it('the caller, by name and by address', async () => {
    const self = await signedIn('Selfseeker');
    expect(await found(self, 'selfseeker')).toEqual([]);
    expect(await found(self, self.email)).toEqual([]);
    expect(await found(caller, 'selfseeker')).toEqual([self.id]);
  });

  it('who was deactivated, and shows them again when they are back', async () => {
    const other = await createPerson('Sleepyhead');
    await deactivate(other.id);
    expect([...(await found(caller, 'sleepyhead')), ...(await found(caller, other.email))]).toEqual([]);
    await deactivate(other.id, false);
    expect(await found(caller, 'sleepyhead')).toEqual([other.id]);
  });

  it('who deleted their account', async () => {
    const gone = await signedIn('Goneaway', 'Vanished');
    await finished('/api/me/delete/', { token: gone.access, json: { password: PASSWORD } });
    for (const text of ['goneaway', 'vanished', 'deleted user']) expect(await found(caller, text)).toEqual([]);
  });

  it('whom the caller has blocked, and not who has blocked the caller: that would tell', async () => {
    const [self, blocked, blocker] = [await signedIn(), await createPerson('Nuisance A'), await signedIn('Nuisance B')];
    await block(self, blocked);
    await block(blocker, self);
    expect(await found(self, 'nuisance')).toEqual([blocker.id]);
    expect(await found(self, blocked.email)).toEqual([]);
    expect(await found(caller, 'nuisance')).toEqual([blocked.id, blocker.id]);
    expect((await api('/api/users/', { token: self.access })).body.map(({ id }: User) => id)).toContain(blocked.id);
  });
});

describe('a search that finds more than a page', () => {
  const COUNT = 2 * PAGE_SIZE + 5;
  let expected: string[];

  beforeAll(async () => {
    const same = await createMany(PAGE_SIZE + 50, () => ({ first_name: 'Legion & Co', last_name: '/?#%' }));
    // Registered in the other order; found by their last names, by both, or by the first.
    const numbered = await createMany(COUNT - same.length, (i) => ({
      first_name: ['Aaron', 'Legion & Co', 'Zoe'][i % 3] ?? '',
      last_name: `Legion & Co ${String(999 - i)}`,
    }));
    const { results } = await env.DB.prepare(
      `SELECT id FROM users WHERE id IN (SELECT value FROM json_each(?)) ORDER BY name_key, seq`,
    )
      .bind(JSON.stringify([...same, ...numbered]))
      .all<{ id: string }>();
    expected = results.map(({ id }) => id);
  });

  it('has 100 users a page, a link to the next but on the last, and shows everyone exactly once and in order', async () => {
    const all = await pages(caller, 'legion & co');
    expect(all.map((page) => page.length)).toEqual([PAGE_SIZE, PAGE_SIZE, 5]);
    expect(all.flat().map(({ id }) => id)).toEqual(expected);
  });

  it('spells the text in its link percent-encoded', async () => {
    const { headers, body } = await search(caller, ' Legion & Co ');
    expect(headers.get('Link')).toBe(`</api/users/?search=Legion%20%26%20Co&after=${body.at(-1).id}>; rel="next"`);
  });

  it('has no link when exactly a page is left', async () => {
    const { body, headers } = await search(caller, 'legion & co', `&after=${expected.at(-PAGE_SIZE - 1)}`);
    expect(body.map(({ id }: User) => id)).toEqual(expected.slice(-PAGE_SIZE));
    expect(headers.has('Link')).toBe(false);
  });

  it.each([
    ['before all others', 'Aa', 0],
    ['between them', 'Legion & Co M', COUNT - 18],
    ['behind all others', 'Zzz', COUNT],
  ])('has an exact address once, where its name belongs: %s', async (_, first, at) => {
    const email = 'legion & co';
    const person = await createPerson(first, 'Address');
    await env.DB.prepare('UPDATE users SET email = ? WHERE id = ?').bind(email, person.id).run();
    try {
      const ids = (await pages(caller, email)).flat().map(({ id }) => id);
      expect(ids.filter((id) => id === person.id)).toHaveLength(1);
      expect(ids.filter((id) => id !== person.id)).toEqual(expected);
      expect(ids.indexOf(person.id)).toBe(at);
    } finally {
      await env.DB.prepare('DELETE FROM users WHERE id = ?').bind(person.id).run();
    }
  });

  it('goes on after somebody whom it does not find, or no longer', async () => {
    const first = await search(caller, 'legion & co');
    const last = first.body.at(-1);
    const path = nextOf(first) ?? '';
    const second = await api(path, { token: caller.access });
    await deactivate(last.id);
    expect((await api(path, { token: caller.access })).body).toEqual(second.body);
    await deactivate(last.id, false);
    const stranger = await createPerson('Aaa', 'Stranger');
    expect((await search(caller, 'legion & co', `&after=${stranger.id}`)).body).toEqual(first.body);
  });

  it.each([
    ['', '“” is not a valid UUID.'],
    ['5', '“5” is not a valid UUID.'],
    ['00000000-0000-4000-8000-000000000000', 'There is no such user.'],
  ])('refuses an `after` that names nobody: %j', async (after, message) => {
    const { status, body } = await search(caller, 'legion', `&after=${after}`);
    expect(status).toBe(400);
    expect(body).toEqual({ after: [message] });
  });

  it('refuses an `after` that has no place any more: the pages would begin again', async () => {
    const gone = await signedIn('Legion & Co');
    await finished('/api/me/delete/', { token: gone.access, json: { password: PASSWORD } });
    const { status, body } = await search(caller, 'legion', `&after=${gone.id}`);
    expect(status).toBe(400);
    expect(body).toEqual({ after: ['There is no such user.'] });
  });
});

describe('the text of a search', () => {
  const BLANK = 'This field may not be blank.';
  const TOO_LONG = `Ensure this field has no more than ${SEARCH_MAX_LENGTH} characters.`;

  it.each([
    ['', BLANK],
    [' \t\n ', BLANK],
    ['\u00a0\u3000', BLANK],
    ['\ufeff', BLANK],
    ['x'.repeat(SEARCH_MAX_LENGTH + 1), TOO_LONG],
    ['🦋'.repeat(SEARCH_MAX_LENGTH + 1), TOO_LONG],
    ['a\0b', 'Null characters are not allowed.'],
    ['\0', 'Null characters are not allowed.'],
  ])('is refused if nobody can have it for a name: %j', async (text, message) => {
    const { status, body } = await search(caller, text);
    expect(status).toBe(400);
    expect(body).toEqual({ search: [message] });
  });

  it('is told to be wrong together with `after`', async () => {
    const { status, body } = await search(caller, ' ', '&after=5');
    expect(status).toBe(400);
    expect(body).toEqual({ search: [BLANK], after: ['“5” is not a valid UUID.'] });
  });

  it.each(['%', '%zz', '%ED%A0%80', '%FF', '%ED%B0%80%ED%A0%80', '%F4%8F%BF%BF', '%EF%BF%BF', '%EF%B7%BA', '[]', '+'])(
    'never is a fault of the server, whatever its bytes: %s',
    async (bytes) => {
      const { status } = await api(`/api/users/?search=${bytes}`, { token: caller.access });
      expect([200, 400]).toContain(status);
    },
  );

  it('may be the longest name that there is, and the longest address', async () => {
    const name = '🦋'.repeat(NAME_MAX_LENGTH);
    const person = await createPerson(name, name);
    expect(await found(caller, `${name} ${name}`)).toEqual([person.id]);
    expect(SEARCH_MAX_LENGTH).toBeGreaterThanOrEqual(EMAIL_MAX_LENGTH);
  });

  it('is nothing without a token', async () => {
    expect((await api('/api/users/?search=john')).status).toBe(401);
  });
});

describe('a name is found', () => {
  it('from registration on', async () => {
    const email = `${crypto.randomUUID()}@example.org`;
    const password = 'correct horse battery';
    const person = { first_name: 'Newcomer', last_name: 'Ärmel', email, password, confirm_password: password };
    expect((await finished('/api/register/', { json: person })).status).toBe(201);
    for (const text of ['newcomer är', 'ärmel', email]) expect(await found(caller, text)).toHaveLength(1);
  });

  it.each([
    ['the first one', { first_name: 'Ünique' }, ['ünique bef', 'before'], ['earlier']],
    ['the last one', { last_name: 'Ünique' }, ['earlier ün', 'ünique'], ['before', 'earlier b']],
    ['both', { first_name: 'Ünique', last_name: 'Later' }, ['ünique l', 'later'], ['earlier', 'before']],
  ])('as it is now, after a change of %s', async (_, change, now, before) => {
    const person = await signedIn('Earlier', 'Before');
    expect((await rename(person, change)).status).toBe(200);
    for (const text of now) expect(await found(caller, text)).toContain(person.id);
    for (const text of before) expect(await found(caller, text)).not.toContain(person.id);
  });

  it('by both names if two requests change one each at the same time', async () => {
    const db = directory(env.DB);
    for (let i = 0; i < 10; i += 1) {
      const person = await createPerson('Earlier', 'Before');
      await Promise.all([
        renameUser(db, person.id, { first_name: `First ${i}` }, Date.now()),
        renameUser(db, person.id, { last_name: `Last ${i}` }, Date.now()),
      ]);
      const name = { first_name: `First ${i}`, last_name: `Last ${i}` };
      expect(await keysOf(person.id)).toEqual({ ...name, ...searchKeys(name) });
    }
  });

  it('no more when the account is deleted: nothing of it is left in what is searched', async () => {
    const person = await signedIn('Earlier', 'Before');
    await finished('/api/me/delete/', { token: person.access, json: { password: PASSWORD } });
    expect(await keysOf(person.id)).toMatchObject({ name_key: '', last_name_key: '' });
  });
});

describe('a key', () => {
  it.each([
    ['  John \n\t  DOE ', 'john doe'],
    ['ﬁne', 'fine'],
    ['Ａ', 'a'],
    ['E\u0301', 'é'],
    ['ΟΔΟΣ', 'οδοσ'],
    ['\u2126', 'ω'],
    ['ẞ', 'ß'],
  ])('of %j is %j', (text, key) => {
    expect(searchKey(text)).toBe(key);
    expect(searchKey(key)).toBe(key);
  });
});

describe('the query of a search', () => {
  const STRANGERS = 2000;
  type Query = { sql: string; params: unknown[] };

  /** The last statement of a search. */
  async function queryOf(text: string, after?: string): Promise<Query> {
    const queries: Query[] = [];
    const logger = { logQuery: (sql: string, params: unknown[]) => void queries.push({ sql, params }) };
    await searchUsers(drizzle(env.DB, { logger }), { search: text, except: caller.id, after, limit: PAGE_SIZE });
    const query = queries.at(-1);
    if (!query) throw new Error('There was no query.');
    return query;
  }

  const run = ({ sql, params }: Query, prefix = '') =>
    env.DB.prepare(prefix + sql)
      .bind(...params)
      .all();

  beforeAll(async () => {
    await createMany(STRANGERS, (i) => ({ first_name: `Mass ${i}`, last_name: `Crowd ${i}` }));
    await createMany(7, (i) => ({ first_name: 'Needle', last_name: `In haystack ${i}` }));
    await createMany(5, (i) => ({ first_name: `Pin ${i}`, last_name: 'Needle' }));
  });

  it.each([
    ['ASCII', 'needle', 2],
    ['letters for which there are two spellings', 'ñeedle', 4],
  ])('looks into the two indexes and that of addresses, and scans no table: %s', async (_, text, ranges) => {
    for (const after of [undefined, caller.id]) {
      const { results } = await run(await queryOf(text, after), 'EXPLAIN QUERY PLAN ');
      const plan = results.map(({ detail }) => String(detail));
      expect(plan.filter((step) => step.includes('users_name_key (name_key>? AND name_key<?)'))).toHaveLength(
        ranges / 2,
      );
      expect(
        plan.filter((step) => step.includes('users_last_name_key (last_name_key>? AND last_name_key<?)')),
      ).toHaveLength(ranges / 2);
      expect(plan.filter((step) => step.includes('(email=?)'))).toHaveLength(1);
      expect(plan.filter((step) => step.startsWith('SCAN'))).toEqual([]);
    }
  });

  it('reads rows in proportion to those it finds, whoever else there is and whom the caller has blocked', async () => {
    await block(caller, { id: (await createPerson('Mass nuisance')).id });
    for (const [text, matches] of [
      ['needle', 12],
      ['needle in haystack 3', 1],
      ['nobody of this name', 0],
    ] as const) {
      const { results, meta } = await run(await queryOf(text));
      expect(results).toHaveLength(matches);
      expect(meta.rows_read).toBeLessThanOrEqual(6 * matches + 10);
    }
  });
});
