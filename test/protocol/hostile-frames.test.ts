import { describe, expect, test } from 'vitest';
import { FRAME_MAX_BYTES } from '../../src/config.ts';
import { clientFrames, decodeClientFrame } from '../../src/protocol/client-frames.ts';
import { decodeServerFrame } from '../../src/protocol/server-frames.ts';

const bad = (message: string) => ({ problem: { code: 'bad_frame', message } });
const depth = FRAME_MAX_BYTES / 2 - 100;
const nested = `${'['.repeat(depth)}${']'.repeat(depth)}`;

describe('what is no object', () => {
  test.each([
    ['nothing', ''],
    ['white space', ' \n'],
    ['a word', 'hello'],
    ['a literal of ours in the wrong case', 'PING'],
    ['the answer to a literal of ours', 'pong'],
    ['half an object', '{"type":"typing","on":'],
    ['two objects', '{"type":"typing","on":true}{"type":"typing","on":true}'],
    ['a byte order mark', '\ufeff{"type":"typing","on":true}'],
    ['NUL', '\0'],
    ['an object of JavaScript', "{type:'typing',on:true}"],
    ['a comma too many', '{"type":"typing","on":true,}'],
    ['NaN', '{"type":"mark","read":NaN}'],
    ['a comment', '{"type":"typing","on":true}//'],
    ['a control character in a string', '{"type":"send","ref":"r1","text":"a\nb"}'],
    ['lists that are never closed', '['.repeat(FRAME_MAX_BYTES)],
    ['objects that are never closed', '{"a":'.repeat(FRAME_MAX_BYTES / 5)],
    ['half of a surrogate pair', '\ud800'],
  ])('is not JSON: %s', (_, frame) => {
    expect(decodeClientFrame(frame)).toStrictEqual(bad('The frame is not JSON.'));
    expect(decodeServerFrame(frame)).toBeUndefined();
  });

  test.each([
    ['null', 'null'],
    ['true', 'true'],
    ['a number', '5'],
    ['a huge number', '1e400'],
    ['a string', '"{}"'],
    ['an empty list', '[]'],
    ['a frame in a list', '[{"type":"typing","on":true}]'],
    ['many lists in each other', nested],
  ])('is JSON, but no object: %s', (_, frame) => {
    expect(decodeClientFrame(frame)).toStrictEqual(bad('The frame is not a JSON object.'));
    expect(decodeServerFrame(frame)).toBeUndefined();
  });
});

describe('a type', () => {
  test('that is missing is told', () => {
    expect(decodeClientFrame('{}')).toStrictEqual(bad('The frame has no "type".'));
    expect(decodeClientFrame('{"ref":"r1","TYPE":"send","text":"Hello"}').problem).toStrictEqual({
      code: 'bad_frame',
      message: 'The frame has no "type".',
      ref: 'r1',
    });
  });

  test.each(['null', '5', 'true', '["send"]', '{}'])('that is no string is told: %s', (json) => {
    const { problem } = decodeClientFrame(`{"type":${json},"ref":"r1"}`);
    expect(problem).toStrictEqual({ code: 'bad_frame', message: '"type" is not a string.', ref: 'r1' });
  });

  test.each([
    ['a new one', 'call'],
    ['nothing', ''],
    ['ours in the wrong case', 'Send'],
    ['ours with a space', 'send '],
    ['one of the server’s', 'changes'],
    ['a literal', 'ping'],
    ['the prototype', '__proto__'],
    ['what every object has', 'constructor'],
    ['what every object can', 'hasOwnProperty'],
    ['half of a surrogate pair', '\ud800'],
    ['NUL', 'send\0'],
    ['a very long one', 'x'.repeat(60_000)],
  ])('that is unknown is told, with those that are known: %s', (_, type) => {
    expect(decodeClientFrame(JSON.stringify({ type, ref: 'r1' }))).toStrictEqual({
      problem: {
        code: 'unknown_type',
        message: `The "type" is none of: ${Object.keys(clientFrames).join(', ')}.`,
        ref: 'r1',
      },
    });
    const noRef = decodeClientFrame(JSON.stringify({ type, ref: 'x'.repeat(65) }));
    expect(noRef.problem).toStrictEqual({ code: 'unknown_type', message: expect.any(String) });
  });

  test.each(['__proto__', 'constructor', 'toString', 'valueOf', 'hasOwnProperty'])(
    'of a server’s frame is none that every object has: %s',
    (type) => {
      expect(decodeServerFrame(JSON.stringify({ type, user_id: crypto.randomUUID(), on: true }))).toBeUndefined();
    },
  );
});

describe('keys that mean something to JavaScript', () => {
  const send = { type: 'send', ref: 'r1', text: 'Hello' };

  test('add nothing to a frame', () => {
    const frame = `{"type":"send","ref":"r1","text":"Hello","__proto__":{"reply_to":5},"constructor":{"prototype":{"reply_to":5}},"toString":1,"hasOwnProperty":null}`;
    expect(decodeClientFrame(frame)).toStrictEqual({ frame: send });
    expect({}).not.toHaveProperty('reply_to');
  });

  test('lend a frame no field that it has not', () => {
    expect(decodeClientFrame('{"__proto__":{"type":"typing","on":true}}')).toStrictEqual(
      bad('The frame has no "type".'),
    );
    expect(decodeClientFrame('{"type":"send","text":"Hello","__proto__":{"ref":"r1"}}')).toStrictEqual(
      bad('The frame has no "ref".'),
    );
    expect(decodeServerFrame('{"__proto__":{"type":"typing","on":true}}')).toBeUndefined();
  });

  test('do not hide that a field is missing', () => {
    expect(decodeClientFrame('{"type":"typing","hasOwnProperty":true}')).toStrictEqual(bad('The frame has no "on".'));
  });

  test('are no one’s last time online', () => {
    const frame = decodeServerFrame(
      `{"type":"presence","user_id":"11111111-1111-4111-8111-111111111111","online":true,"last_seen":null,"__proto__":{"on":1}}`,
    );
    expect(frame).toStrictEqual({
      type: 'presence',
      user_id: '11111111-1111-4111-8111-111111111111',
      online: true,
      last_seen: null,
    });
  });
});

describe('deep nesting', () => {
  test('in a key that nobody knows is ignored', () => {
    const frame = `{"type":"typing","on":true,"x":${nested}}`;
    expect(decodeClientFrame(frame)).toStrictEqual({ frame: { type: 'typing', on: true } });
  });

  test.each([
    ['type', `{"type":${nested}}`, '"type" is not a string.'],
    ['ref', `{"type":"delete","n":1,"ref":${nested}}`, '"ref" is not a string.'],
    ['text', `{"type":"send","ref":"r1","text":${nested}}`, '"text" is not a string.'],
    ['n', `{"type":"delete","ref":"r1","n":${nested}}`, '"n" is not a whole number of at least 1.'],
    ['on', `{"type":"typing","on":${nested}}`, '"on" is neither true nor false.'],
  ])('in a field is refused: %s', (_, frame, message) => {
    expect(decodeClientFrame(frame).problem).toMatchObject({ code: 'bad_frame', message });
  });

  test('in a server’s frame is no frame', () => {
    expect(
      decodeServerFrame(`{"type":"changes","after":1,"rev":1,"messages":${nested},"members":[],"more":false}`),
    ).toBe(undefined);
  });
});
