import { exports } from 'cloudflare:workers';
import { describe, expect, it } from 'vitest';
import { BODY_MAX_BYTES } from '../../src/config.ts';
import { api, HOST } from '../helpers/api.ts';
import { signedIn } from '../helpers/people.ts';

const PATH = '/api/token/verify/';
const JSON_TYPE = 'application/json';
// What a body with the field `token` is answered, whatever the token: it was read.
const READ = { status: 401, body: { detail: 'Token is invalid or expired', code: 'token_not_valid' } };
const UNREAD = { status: 400, body: { token: ['This field is required.'] } };

const send = (body: BodyInit, type: string | undefined = JSON_TYPE, headers: Record<string, string> = {}) =>
  api(PATH, { body, headers: { ...(type === undefined ? {} : { 'Content-Type': type }), ...headers } });

/** Sends bytes without letting the runtime name a type for them. */
const sendBytes = (text: string, type?: string) =>
  api(PATH, { body: new TextEncoder().encode(text), headers: type === undefined ? {} : { 'Content-Type': type } });

const multipart = (fields: Record<string, string | Blob>) => {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  return form;
};

describe('a body is read', () => {
  it.each([
    'application/json',
    'application/json; charset=utf-8',
    'application/json;charset=latin-1',
    'Application/JSON',
    ' application/json ; x=y',
  ])('as JSON: %s', async (type) => {
    expect(await send('{"token":"x"}', type)).toMatchObject(READ);
  });

  it.each(['application/x-www-form-urlencoded', 'application/x-www-form-urlencoded; charset=UTF-8'])(
    'as a form: %s',
    async (type) => {
      expect(await send('token=x&more=1', type)).toMatchObject(READ);
    },
  );

  it('as multipart', async () => {
    expect(await api(PATH, { body: multipart({ token: 'x' }) })).toMatchObject(READ);
  });

  it('the same in every form', async () => {
    const { access } = await signedIn();
    const forms = [
      await send(JSON.stringify({ token: access })),
      await api(PATH, { body: new URLSearchParams({ token: access }) }),
      await api(PATH, { body: multipart({ token: access }) }),
    ];
    for (const answer of forms) expect(answer.status).toBe(200);
  });

  it('with white space around the JSON', async () => {
    expect(await send(' \n\t{"token":"x"}\r\n')).toMatchObject(READ);
  });

  it.each(['12345678901234567890', '1e300', '1e400'])(
    'but not with %s, whose digits JSON.parse loses',
    async (number) => {
      const answer = await api(PATH, { body: `{"token":${number}}`, headers: { 'Content-Type': 'application/json' } });
      expect(answer).toMatchObject({ status: 400, body: { token: ['Not a valid string.'] } });
    },
  );

  it('with numbers taken for text, as the original does', async () => {
    for (const token of [123, 1.5, -0, 2 ** 53 - 1]) expect(await api(PATH, { json: { token } })).toMatchObject(READ);
  });

  it('with fields that nobody asked for', async () => {
    expect(await api(PATH, { json: { token: 'x', id: 5, nested: { deep: [] } } })).toMatchObject(READ);
  });

  it.each([
    ['JSON', (first: string, last: string) => send(`{"token":"${first}","token":"${last}"}`)],
    [
      'a form',
      (first: string, last: string) => send(`token=${first}&token=${last}`, 'application/x-www-form-urlencoded'),
    ],
  ])('with the last of two fields of the same name: %s', async (_, sendBoth) => {
    const { access } = await signedIn();
    expect((await sendBoth('x', access)).status).toBe(200);
    expect((await sendBoth(access, 'x')).status).toBe(401);
  });

  it('when it is empty, as no fields, whatever its type', async () => {
    for (const type of [
      JSON_TYPE,
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
    ]) {
      expect(await send('', type)).toMatchObject(UNREAD);
    }
    expect(await api(PATH, { method: 'POST' })).toMatchObject(UNREAD);
  });

  it('where a form has a field without a value', async () => {
    expect(await send('token', 'application/x-www-form-urlencoded')).toMatchObject({
      status: 400,
      body: { token: ['This field may not be blank.'] },
    });
  });

  it('where a form holds what no percent-encoding yields', async () => {
    expect(await send('token=%E0%A4%A&%', 'application/x-www-form-urlencoded')).toMatchObject(READ);
  });
});

describe('a body is refused', () => {
  it.each([
    ['text/plain', 'text/plain'],
    ['application/xml', 'application/xml'],
    ['application/jsonp', 'application/jsonp'],
    ['text/json; charset=utf-8', 'text/json; charset=utf-8'],
    ['nonsense', 'nonsense'],
  ])('415 for a type that is not read: %s', async (type, shown) => {
    expect(await send('{"token":"x"}', type)).toMatchObject({
      status: 415,
      body: { detail: `Unsupported media type "${shown}" in request.` },
    });
  });

  it('415 without a type', async () => {
    expect(await sendBytes('{"token":"x"}')).toMatchObject({
      status: 415,
      body: { detail: 'Unsupported media type "" in request.' },
    });
  });

  it.each([
    ['cut off', '{"token":"x"'],
    ['with a comma too many', '{"token":"x",}'],
    ['with quotes of the wrong kind', "{'token':'x'}"],
    ['a word', 'token'],
    ['NaN', '{"token":NaN}'],
    ['white space', '  '],
    ['two values', '{"token":"x"}{"token":"x"}'],
    ['with a byte order mark', '\ufeff{"token":"x"}'],
    ['with a bare control character', '{"token":"a\nb"}'],
    ['with U+0000 behind it', '{"token":"x"}\0'],
  ])('400 as malformed JSON: %s', async (_, text) => {
    expect(await send(text)).toMatchObject({
      status: 400,
      body: { detail: expect.stringMatching(/^JSON parse error - ./) },
    });
  });

  it.each([
    ['a byte that never occurs', [0xff]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['half of a surrogate pair', [0xed, 0xa0, 0x80]],
    ['a character cut off', [0xf0, 0x9f, 0x98]],
  ])('400 as malformed JSON for invalid UTF-8: %s', async (_, bytes) => {
    const [before, after] = ['{"token":"', '"}'].map((text) => [...new TextEncoder().encode(text)]);
    const body = new Uint8Array([...(before ?? []), ...bytes, ...(after ?? [])]);
    expect(await send(body)).toMatchObject({
      status: 400,
      body: { detail: expect.stringMatching(/^JSON parse error - ./) },
    });
  });

  it.each([
    ['null', 'No data provided'],
    ['[]', 'Invalid data. Expected a dictionary, but got list.'],
    ['[{"token":"x"}]', 'Invalid data. Expected a dictionary, but got list.'],
    ['"token"', 'Invalid data. Expected a dictionary, but got str.'],
    ['""', 'Invalid data. Expected a dictionary, but got str.'],
    ['5', 'Invalid data. Expected a dictionary, but got int.'],
    ['1.5', 'Invalid data. Expected a dictionary, but got float.'],
    ['true', 'Invalid data. Expected a dictionary, but got bool.'],
    ['false', 'Invalid data. Expected a dictionary, but got bool.'],
  ])('400 as JSON that is no object: %s', async (text, message) => {
    expect(await send(text)).toMatchObject({ status: 400, body: { non_field_errors: [message] } });
  });

  it.each([
    ['null', 'This field may not be null.'],
    ['true', 'Not a valid string.'],
    ['[]', 'Not a valid string.'],
    ['{}', 'Not a valid string.'],
    ['""', 'This field may not be blank.'],
    ['"\\u0000"', 'Null characters are not allowed.'],
    ['"\\ud800"', 'Surrogate characters are not allowed: U+D800.'],
  ])('400 for a field that is %s', async (value, message) => {
    expect(await send(`{"token":${value}}`)).toMatchObject({ status: 400, body: { token: [message] } });
  });

  it.each([
    ['an array', '['.repeat(30_000) + ']'.repeat(30_000), { non_field_errors: [expect.any(String)] }],
    ['a field', `{"token":${'['.repeat(30_000)}${']'.repeat(30_000)}}`, { token: ['Not a valid string.'] }],
    [
      'objects in a field',
      `{"token":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}}`,
      { token: ['Not a valid string.'] },
    ],
  ])('400 however deep it is nested: %s', async (_, text, errors) => {
    expect(await send(text)).toMatchObject({ status: 400, body: errors });
  });

  it('400 as multipart that has a file for a field', async () => {
    const body = multipart({ token: new File(['x'], 'token.txt') });
    expect(await api(PATH, { body })).toMatchObject({ status: 400, body: { token: ['Not a valid string.'] } });
  });

  it.each([
    ['no boundary', 'multipart/form-data', 'x'],
    [
      'another boundary',
      'multipart/form-data; boundary=a',
      '--b\r\nContent-Disposition: form-data; name="token"\r\n\r\nx\r\n--b--',
    ],
    ['no end', 'multipart/form-data; boundary=b', '--b\r\nContent-Disposition: form-data; name="token"\r\n\r\nx'],
    ['a part without a name', 'multipart/form-data; boundary=b', '--b\r\n\r\nx\r\n--b--'],
  ])('400 as malformed multipart: %s', async (_, type, text) => {
    expect(await send(text, type)).toMatchObject({
      status: 400,
      body: { detail: expect.stringMatching(/^Multipart form parse error - /) },
    });
  });
});

describe('a body that names JavaScript’s own properties', () => {
  it.each([
    ['JSON', () => send('{"__proto__":{"token":"x"}}')],
    ['JSON, as constructor', () => send('{"constructor":{"prototype":{"token":"x"}}}')],
    ['a form', () => send('__proto__=x&__proto__[token]=x&constructor=x', 'application/x-www-form-urlencoded')],
    ['multipart', () => api(PATH, { body: multipart({ __proto__: 'x', '__proto__.token': 'x' }) })],
  ])('has no field by that: %s', async (_, sendIt) => {
    expect(await sendIt()).toMatchObject(UNREAD);
    expect(({} as Record<string, unknown>)['token']).toBeUndefined();
  });

  it('is read otherwise', async () => {
    expect(await send('{"__proto__":null,"toString":1,"token":"x"}')).toMatchObject(READ);
  });
});

/** JSON of exactly so many bytes. */
const json = (bytes: number) => `{"token":"${'x'.repeat(bytes - '{"token":""}'.length)}"}`;

/** A body without a Content-Length, in pieces of 1 KiB; counts what was taken of it. */
function chunked(bytes: number): { body: ReadableStream; taken: () => number } {
  const text = new TextEncoder().encode(json(bytes));
  let taken = 0;
  const body = new ReadableStream({
    pull(controller) {
      if (taken >= text.length) return controller.close();
      controller.enqueue(text.subarray(taken, taken + 1024));
      taken += 1024;
    },
  });
  return { body, taken: () => taken };
}

describe('the size of a body', () => {
  const TOO_LARGE = {
    status: 413,
    body: { detail: `The body is larger than ${BODY_MAX_BYTES} bytes.`, code: 'body_too_large' },
  };

  it('may be 64 KiB', async () => {
    expect(await send(json(BODY_MAX_BYTES))).toMatchObject(READ);
  });

  it('may be 64 KiB in chunks', async () => {
    expect(await send(chunked(BODY_MAX_BYTES).body)).toMatchObject(READ);
  });

  it('is refused 413 beyond', async () => {
    expect(await send(json(BODY_MAX_BYTES + 1))).toMatchObject(TOO_LARGE);
  });

  it('is refused 413 beyond, in chunks', async () => {
    expect(await send(chunked(BODY_MAX_BYTES + 1).body)).toMatchObject(TOO_LARGE);
  });

  it('is refused before all of it was read', async () => {
    const { body, taken } = chunked(100 * BODY_MAX_BYTES);
    expect(await send(body)).toMatchObject(TOO_LARGE);
    expect(taken()).toBeLessThan(10 * BODY_MAX_BYTES);
  });

  it('counts bytes, not characters', async () => {
    expect(await send(`{"token":"${'😀'.repeat(BODY_MAX_BYTES / 4)}"}`)).toMatchObject(TOO_LARGE);
  });

  it.each(['text/plain', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencoded'])(
    'is refused whatever the type: %s',
    async (type) => {
      expect(await send('x'.repeat(BODY_MAX_BYTES + 1), type)).toMatchObject(TOO_LARGE);
    },
  );

  it('is refused on every path of the API', async () => {
    const refused = await exports.default.fetch(
      new Request(`https://${HOST}/api/users/`, { method: 'POST', body: 'x'.repeat(BODY_MAX_BYTES + 1) }),
    );
    expect(refused.status).toBe(413);
  });
});
