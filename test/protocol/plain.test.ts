import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ERROR_ECHO_MAX_LENGTH, FRAME_MAX_BYTES, MESSAGE_MAX_LENGTH } from '../../src/config.ts';
import { decodePlainFrame, encodePlainMessage, type PlainMessage } from '../../src/protocol/plain.ts';

// The frames are john's, in his conversation with ray. Selena is someone else.
const JOHN = '11111111-1111-4111-8111-1111111111ab';
const RAY = '22222222-2222-4222-8222-2222222222cd';
const SELENA = '33333333-3333-4333-8333-3333333333ef';

const decode = (frame: string) => decodePlainFrame(frame, JOHN, RAY);
const frameOf = (message: unknown, recipient_id: unknown) => JSON.stringify({ message, recipient_id });
const message = (text: string, recipient_id = RAY) => ({ kind: 'message', message: text, recipient_id });
const invalid = (error: string) => ({ kind: 'invalid', error: `Error: ${error}` });

const NOT_AN_OBJECT = invalid('The frame is not a JSON object with "message" and "recipient_id".');
const NOT_JSON = invalid('The frame is not valid JSON.');
const NO_SUCH_USER = invalid('UserAccount matching query does not exist.');
const NO_SUCH_CONVERSATION = invalid('Conversation matching query does not exist.');
const NOT_A_STRING = invalid('"message" is not a string.');
const BLANK = invalid('"message" is blank.');
const notAUuid = (text: string) => invalid(`['“${text}” is not a valid UUID.']`);

describe('a message to the other member', () => {
  test.each([
    ['plain text', frameOf('Hello', RAY), message('Hello')],
    ['spaces around it stay', frameOf('  Hello\n', RAY), message('  Hello\n')],
    ['not ASCII', frameOf('Grüße 😀 \u2028', RAY), message('Grüße 😀 \u2028')],
    ['escaped', `{"message":"\\ud83d\\ude00\\u0041","recipient_id":"${RAY}"}`, message('😀A')],
    ['U+0000', frameOf('a\0b', RAY), message('a\0b')],
    ['nothing but U+0000', frameOf('\0', RAY), message('\0')],
    ['markup', frameOf('<b>&"\'', RAY), message('<b>&"\'')],
    ['more keys, which are ignored', `{"n":1,"message":"Hello","type":"x","recipient_id":"${RAY}"}`, message('Hello')],
    ['a key twice: the last one counts', `{"message":"a","message":"b","recipient_id":"${RAY}"}`, message('b')],
    ['recipient in upper case, echoed as spelled', frameOf('a', RAY.toUpperCase()), message('a', RAY.toUpperCase())],
    [
      'recipient without dashes, echoed as spelled',
      frameOf('a', RAY.replaceAll('-', '')),
      message('a', RAY.replaceAll('-', '')),
    ],
    ['as many characters as allowed', frameOf('x'.repeat(MESSAGE_MAX_LENGTH), RAY), message('x'.repeat(4000))],
    ['as many emoji as allowed', frameOf('😀'.repeat(MESSAGE_MAX_LENGTH), RAY), message('😀'.repeat(4000))],
  ])('%s', (_, frame, decoded) => {
    expect(decode(frame)).toEqual(decoded);
  });
});

describe('a message to oneself', () => {
  test.each([
    ['canonical', frameOf('me', JOHN)],
    ['in upper case', frameOf('me', JOHN.toUpperCase())],
    ['without dashes', frameOf('me', JOHN.replaceAll('-', ''))],
    ['whatever the message is', frameOf(null, JOHN)],
  ])('%s', (_, frame) => {
    expect(decode(frame)).toEqual({ kind: 'to_self' });
  });
});

describe('a frame that is answered with an error', () => {
  test.each([
    ['the empty frame', '', NOT_JSON],
    ['malformed JSON', '{"message": ', NOT_JSON],
    ['two JSON texts', `${frameOf('a', RAY)}${frameOf('b', RAY)}`, NOT_JSON],
    ['message NaN', `{"message": NaN, "recipient_id": "${RAY}"}`, NOT_JSON],
    ['a byte order mark', `\ufeff${frameOf('a', RAY)}`, NOT_JSON],
    ['null', 'null', NOT_AN_OBJECT],
    ['an array', '["Hello"]', NOT_AN_OBJECT],
    ['a string', '"Hello"', NOT_AN_OBJECT],
    ['a number', '5', NOT_AN_OBJECT],
    ['true', 'true', NOT_AN_OBJECT],
    ['no message', JSON.stringify({ recipient_id: RAY }), invalid('The frame has no "message".')],
    ['no recipient', JSON.stringify({ message: 'Hello' }), invalid('The frame has no "recipient_id".')],
    ['neither', '{}', invalid('The frame has no "message" and no "recipient_id".')],
    [
      'keys that are only inherited',
      `{"__proto__":{"message":"Hello","recipient_id":"${RAY}"}}`,
      invalid('The frame has no "message" and no "recipient_id".'),
    ],

    ['recipient null', frameOf('Hello', null), NO_SUCH_USER],
    ['recipient 5', frameOf('Hello', 5), NO_SUCH_USER],
    ['recipient true', frameOf('Hello', true), NO_SUCH_USER],
    ['recipient "abc"', frameOf('Hello', 'abc'), notAUuid('abc')],
    ['recipient ""', frameOf('Hello', ''), notAUuid('')],
    ['recipient []', frameOf('Hello', []), notAUuid('[]')],
    ['recipient {}', frameOf('Hello', { id: RAY }), notAUuid(`{"id":"${RAY}"}`)],
    ['recipient in braces', frameOf('Hello', `{${RAY}}`), notAUuid(`{${RAY}}`)],
    ['someone of another conversation', frameOf('Hello', SELENA), NO_SUCH_CONVERSATION],
    ['an unknown recipient', frameOf('Hello', '00000000-0000-0000-0000-000000000000'), NO_SUCH_CONVERSATION],
    ['a bad recipient and a bad message: the recipient is named', frameOf(5, 'abc'), notAUuid('abc')],

    ['message ""', frameOf('', RAY), BLANK],
    ['a message of white space', frameOf(' \t\r\n\u00a0\u2003\u3000\ufeff', RAY), BLANK],
    ['message null', frameOf(null, RAY), NOT_A_STRING],
    ['message 5', frameOf(5, RAY), NOT_A_STRING],
    ['message true', frameOf(true, RAY), NOT_A_STRING],
    ['an object as message', frameOf({ a: 1 }, RAY), NOT_A_STRING],
    ['an array as message', frameOf(['Hello'], RAY), NOT_A_STRING],
    ['a high surrogate alone', frameOf('a\ud800b', RAY), invalid('"message" contains half of a surrogate pair.')],
    ['a low surrogate alone', frameOf('\udc00', RAY), invalid('"message" contains half of a surrogate pair.')],
    ['a character too many', frameOf('x'.repeat(4001), RAY), invalid('"message" is longer than 4000 characters.')],
    ['an emoji too many', frameOf('😀'.repeat(4001), RAY), invalid('"message" is longer than 4000 characters.')],
  ])('%s', (_, frame, decoded) => {
    expect(decode(frame)).toEqual(decoded);
  });

  test('a recipient is refused when there is no other member any more', () => {
    expect(decodePlainFrame(frameOf('Hello', RAY), JOHN, undefined)).toEqual(NO_SUCH_CONVERSATION);
  });

  test.each([
    ['a long text', 'x'.repeat(10_000), `${'x'.repeat(ERROR_ECHO_MAX_LENGTH)}…`],
    ['many emoji', '😀'.repeat(10_000), `${'😀'.repeat(ERROR_ECHO_MAX_LENGTH)}…`],
    ['one emoji too many', '😀'.repeat(ERROR_ECHO_MAX_LENGTH + 1), `${'😀'.repeat(ERROR_ECHO_MAX_LENGTH)}…`],
    ['emoji that the cut would halve', `x${'😀'.repeat(10_000)}`, `x${'😀'.repeat(ERROR_ECHO_MAX_LENGTH - 1)}…`],
    ['as many emoji as are repeated', '😀'.repeat(ERROR_ECHO_MAX_LENGTH), '😀'.repeat(ERROR_ECHO_MAX_LENGTH)],
  ])('only the beginning of a wrong recipient is repeated: %s', (_, recipient, repeated) => {
    expect(decode(frameOf('Hello', recipient))).toEqual(notAUuid(repeated));
  });

  test('a recipient nested as deeply as a frame allows', () => {
    const depth = FRAME_MAX_BYTES / 2 - 50;
    const frame = `{"message":"a","recipient_id":${'['.repeat(depth)}${']'.repeat(depth)}}`;
    expect(decode(frame)).toEqual(notAUuid(`${'['.repeat(ERROR_ECHO_MAX_LENGTH)}…`));
  });
});

const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  fc.constantFrom('', ' ', '\u2003', 'x'.repeat(4001), '😀'.repeat(4001), '😀'.repeat(4000), '😀'.repeat(150)),
);
const recipient = fc.oneof(
  fc.constantFrom<unknown>(RAY, RAY.toUpperCase(), JOHN, SELENA, null, 5),
  text,
  fc.jsonValue(),
);
const anyFrame = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fc.oneof(text, fc.jsonValue()), recipient).map(([a, b]) => frameOf(a, b)) },
  { weight: 1, arbitrary: fc.json() },
  { weight: 1, arbitrary: text },
);

function mayBeStored({ message: value, recipient_id }: PlainMessage, peer: string): boolean {
  return (
    value.trim() !== '' &&
    value.isWellFormed() &&
    [...value].length <= MESSAGE_MAX_LENGTH &&
    recipient_id.toLowerCase().replaceAll('-', '') === peer.replaceAll('-', '')
  );
}

test('no frame makes the decoder throw, and a decoded message is one that may be stored', () => {
  fc.assert(
    fc.property(anyFrame, fc.constantFrom(RAY, undefined), (frame, peer) => {
      const decoded = decodePlainFrame(frame, JOHN, peer);
      expect(decoded.kind !== 'message' || (peer !== undefined && mayBeStored(decoded, peer))).toBe(true);
    }),
    { numRuns: 1000 },
  );
});

test('whatever a frame holds, the error it is answered with is short', () => {
  fc.assert(
    fc.property(anyFrame, (frame) => {
      const decoded = decode(frame);
      const error = decoded.kind === 'invalid' ? decoded.error : 'Error: ';
      expect(error).toMatch(/^Error: /);
      expect([...error].length).toBeLessThan(ERROR_ECHO_MAX_LENGTH + 100);
    }),
    { numRuns: 1000 },
  );
});

test('a message that was encoded is decoded to the same message', () => {
  const wellFormed = fc.string({ unit: 'binary', maxLength: 100 }).filter((value) => value.trim() !== '');
  fc.assert(
    fc.property(wellFormed, (value) => {
      expect(decode(encodePlainMessage({ message: value, recipient_id: RAY }))).toEqual(message(value));
    }),
  );
});

test('an encoded message has the two keys of the original and nothing else', () => {
  const stored = { message: 'Hello', recipient_id: RAY, sender_id: JOHN };
  expect(JSON.parse(encodePlainMessage(stored))).toEqual({ message: 'Hello', recipient_id: RAY });
});
