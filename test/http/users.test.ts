import { env } from 'cloudflare:workers';
import { beforeAll, describe, expect, it } from 'vitest';
import { PAGE_SIZE } from '../../src/config.ts';
import { api } from '../helpers/api.ts';
import { createMany, createPerson, deactivate, signedIn, type Person } from '../helpers/people.ts';

type User = { id: string; first_name: string; last_name: string };

const list = (token: string, query = '') => api(`/api/users/${query}`, { token });

/** The path of the next page, if there is one. */
function nextPage(headers: Headers): string | undefined {
  return /^<([^>]+)>; rel="next"$/.exec(headers.get('Link') ?? '')?.[1];
}

/** Every page from the first to the last. */
async function pages(token: string): Promise<User[][]> {
  const found: User[][] = [];
  for (let path: string | undefined = '/api/users/'; path !== undefined;) {
    const { body, headers } = await api(path, { token });
    found.push(body);
    path = nextPage(headers);
  }
  return found;
}

describe('the list of users', () => {
  it('is a bare array of everyone but the caller, with a name and an id and nothing else', async () => {
    const caller = await signedIn('Caller');
    const other = await createPerson('Other');
    const { status, body } = await list(caller.access);
    expect(status).toBe(200);
    expect(body).toContainEqual({ id: other.id, first_name: 'Other', last_name: 'Doe' });
    expect(body.map(({ id }: User) => id)).not.toContain(caller.id);
    for (const user of body) expect(Object.keys(user)).toEqual(['id', 'first_name', 'last_name']);
  });

  it('is in order of registration, whatever the names and ids', async () => {
    const caller = await signedIn();
    const registered = [];
    for (const name of ['Zoe', 'Ana', 'Mia']) registered.push((await createPerson(name)).id);
    const ids = (await pages(caller.access)).flat().map(({ id }) => id);
    expect(ids.slice(-3)).toEqual(registered);
  });

  it('hides who was deactivated, and shows them again when they are back', async () => {
    const [caller, other] = [await signedIn(), await createPerson()];
    await deactivate(other.id);
    expect((await pages(caller.access)).flat().map(({ id }) => id)).not.toContain(other.id);
    await deactivate(other.id, false);
    expect((await pages(caller.access)).flat().map(({ id }) => id)).toContain(other.id);
  });

  it('ignores parameters that it does not know', async () => {
    const { access } = await signedIn();
    const [plain, odd] = [await list(access), await list(access, '?limit=1&page=2&q=x&format=xml')];
    expect(odd.body).toEqual(plain.body);
  });

  it('is not for anyone without a token', async () => {
    const { status, body, headers } = await api('/api/users/');
    expect(status).toBe(401);
    expect(body).toEqual({ detail: 'Authentication credentials were not provided.' });
    expect(headers.get('WWW-Authenticate')).toBe('Bearer realm="api"');
  });
});

describe('a list of more than a page', () => {
  let caller: Person;

  beforeAll(async () => {
    caller = await signedIn();
    await createMany(2 * PAGE_SIZE + 5, (i) => ({ first_name: `Many ${i}`, last_name: 'Doe' }));
  });

  it('has 100 users a page, and a link to the next page but on the last one', async () => {
    const found = await pages(caller.access);
    for (const page of found.slice(0, -1)) expect(page).toHaveLength(PAGE_SIZE);
    expect(found.at(-1)?.length).toBeLessThanOrEqual(PAGE_SIZE);
    expect(found.length).toBeGreaterThanOrEqual(3);
  });

  it('shows everyone exactly once', async () => {
    const ids = (await pages(caller.access)).flat().map(({ id }) => id);
    const { results } = await env.DB.prepare('SELECT id FROM users WHERE is_active = 1 AND id <> ? ORDER BY seq')
      .bind(caller.id)
      .all<{ id: string }>();
    expect(ids).toEqual(results.map(({ id }) => id));
  });

  it('goes on where it was when someone on the page before is deactivated', async () => {
    const first = await list(caller.access);
    const path = nextPage(first.headers) ?? '';
    const second = await api(path, { token: caller.access });
    await deactivate(first.body.at(-1).id);
    expect((await api(path, { token: caller.access })).body).toEqual(second.body);
    await deactivate(first.body.at(-1).id, false);
  });

  it('has no link when exactly a page is left', async () => {
    const { results } = await env.DB.prepare(
      'SELECT id FROM users WHERE is_active = 1 ORDER BY seq DESC LIMIT 1 OFFSET ?',
    )
      .bind(PAGE_SIZE)
      .all<{ id: string }>();
    const { body, headers } = await list(caller.access, `?after=${results[0]?.id}`);
    expect(body).toHaveLength(PAGE_SIZE);
    expect(headers.has('Link')).toBe(false);
  });

  it('is empty after the last one', async () => {
    const last = await env.DB.prepare('SELECT id FROM users ORDER BY seq DESC LIMIT 1').first<string>('id');
    const { body, headers } = await list(caller.access, `?after=${last}`);
    expect(body).toEqual([]);
    expect(headers.has('Link')).toBe(false);
  });

  it.each([
    ['in upper case', (id: string) => id.toUpperCase()],
    ['without dashes', (id: string) => id.replaceAll('-', '')],
  ])('takes `after` %s too', async (_, spell) => {
    const { id } = (await list(caller.access)).body[3];
    const [canonical, spelled] = [
      await list(caller.access, `?after=${id}`),
      await list(caller.access, `?after=${spell(id)}`),
    ];
    expect(spelled.body).toEqual(canonical.body);
  });

  it.each([
    ['', '“” is not a valid UUID.'],
    ['5', '“5” is not a valid UUID.'],
    ["' OR 1=1 --", "“' OR 1=1 --” is not a valid UUID."],
    ['\0', '“\0” is not a valid UUID.'],
    ['00000000-0000-4000-8000-000000000000', 'There is no such user.'],
  ])('refuses an `after` that names nobody: %j', async (after, message) => {
    const { status, body } = await list(caller.access, `?after=${encodeURIComponent(after)}`);
    expect(status).toBe(400);
    expect(body).toEqual({ after: [message] });
  });
});
