import { describe, expect, test } from 'vitest';
import { CLOSE, verdictOf } from '../../src/protocol/close-codes.ts';
import { ERROR_CODES } from '../../src/protocol/error-codes.ts';
import { errorFrame } from '../../src/protocol/server-frames.ts';

describe('what a client does about a close code', () => {
  test('is known of each code that this server closes with', () => {
    const verdicts = Object.fromEntries(Object.values(CLOSE).map((code) => [code, verdictOf(code)]));
    expect(verdicts).toEqual({
      1000: 'stop',
      1003: 'reconnect',
      1009: 'reconnect',
      1011: 'reconnect',
      1012: 'reconnect',
      4400: 'stop',
      4401: 'refresh',
      4403: 'stop',
      4404: 'stop',
      4409: 'stop',
      4410: 'stop',
      4426: 'stop',
      4429: 'reconnect',
      4503: 'reconnect',
    });
  });

  test.each([
    ['the server went away', 1001],
    ['no code was sent', 1005],
    ['the network failed', 1006],
    ['the TLS handshake failed', 1015],
    ['a code of a newer server', 4499],
    ['a code of something in between', 3000],
    ['no code at all', 0],
    ['no number', NaN],
  ])('is to connect again if this release does not know the code: %s', (_, code) => {
    expect(verdictOf(code)).toBe('reconnect');
  });

  test('no two reasons share a code', () => {
    expect(new Set(Object.values(CLOSE))).toHaveLength(Object.keys(CLOSE).length);
  });

  test('every code is one that a server may send', () => {
    for (const code of Object.values(CLOSE)) {
      expect([1000, 1003, 1009, 1011, 1012].includes(code) || (code >= 4000 && code <= 4999)).toBe(true);
    }
  });
});

describe('an error', () => {
  test.each(Object.entries(ERROR_CODES))(
    'has a code in snake case that a sentence explains: %s',
    (code, explanation) => {
      expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
      expect(explanation).toMatch(/^[A-Z].*\.$/);
    },
  );

  test('says no more than it was given', () => {
    expect(errorFrame('bad_frame', 'It is bad.')).toStrictEqual({
      type: 'error',
      code: 'bad_frame',
      message: 'It is bad.',
    });
    expect(errorFrame('bad_frame', 'It is bad.', { ref: undefined })).not.toHaveProperty('ref');
  });

  test('names the frame that is refused, and when to try again', () => {
    expect(errorFrame('rate_limited', 'Wait.', { ref: 'r1', retry_after_ms: 0 })).toStrictEqual({
      type: 'error',
      ref: 'r1',
      code: 'rate_limited',
      message: 'Wait.',
      retry_after_ms: 0,
    });
  });
});
