import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MESSAGE_MAX_LENGTH, PAGE_SIZE, REF_MAX_LENGTH } from '../../src/config.ts';
import { decodeClientFrame } from '../../src/protocol/client-frames.ts';
import { parseEmoji } from '../../src/protocol/emoji.ts';
import { ERROR_CODES } from '../../src/protocol/error-codes.ts';
import { decodeServerFrame, encodeFrame, type ServerFrame } from '../../src/protocol/server-frames.ts';
import {
  allowedByAsyncApi,
  anyClientFrame,
  anyServerFrame,
  clientTypes,
  serverTypes,
  type AnyFrame,
} from '../helpers/described-frames.ts';
import { describedByAsyncApi } from '../helpers/frames.ts';
import { anyJson, changed } from '../helpers/from-schema.ts';

const runs = { numRuns: 2000 };
const LONG = 30_000;

/** Texts of frames that somewhere have other characters than they should. */
const garbled = (frames: fc.Arbitrary<unknown>) =>
  fc
    .tuple(frames, fc.nat(), fc.nat({ max: 3 }), fc.string({ unit: 'binary', maxLength: 3 }))
    .map(([frame, place, cut, more]) => {
      const text = JSON.stringify(frame);
      const start = place % text.length;
      return text.slice(0, start) + more + text.slice(start + cut);
    });

const anyText = (frames: fc.Arbitrary<unknown>) =>
  fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    garbled(frames),
    changed(frames).map((frame) => JSON.stringify(frame)),
    anyJson.map((value) => JSON.stringify(value)),
  );

/** The rules of a frame that JSON Schema cannot state. */
function keepsRulesInWords(frame: AnyFrame): boolean {
  const { ref, text, emoji, type } = frame as AnyFrame & { ref?: string; text?: string; emoji?: string };
  const given = (...keys: string[]) => keys.filter((key) => key in frame).length;
  if (type === 'typing') return true;
  if (type === 'mark') return given('read', 'delivered') > 0;
  return (
    ref?.isWellFormed() === true &&
    (!['send', 'edit'].includes(type) || (text?.isWellFormed() === true && text.trim() !== '')) &&
    (type !== 'react' || parseEmoji(String(emoji)) !== undefined) &&
    (type !== 'history' || given('before', 'after', 'around') <= 1)
  );
}

const isUsableRef = (ref: unknown): ref is string =>
  typeof ref === 'string' && ref.isWellFormed() && ref !== '' && Array.from(ref).length <= REF_MAX_LENGTH;

describe('a frame of a client', () => {
  test(
    'is decoded without an exception, whatever it is, to a frame or a short problem',
    () => {
      fc.assert(
        fc.property(anyText(anyClientFrame), (text) => {
          const { frame, problem } = decodeClientFrame(text);
          const isShort =
            /^[A-Z"].{5,150}\.$/.test(problem?.message ?? '') && Object.hasOwn(ERROR_CODES, problem?.code ?? '');
          expect(frame ? clientTypes.includes(frame.type) : isShort).toBe(true);
        }),
        runs,
      );
    },
    LONG,
  );

  test(
    'is accepted if and only if the AsyncAPI document and the rules in words allow it',
    () => {
      let accepted = 0;
      fc.assert(
        fc.property(changed(anyClientFrame), (value) => {
          const frame = value as AnyFrame;
          const known = typeof value === 'object' && value !== null && clientTypes.includes(frame.type);
          const allowed = known && allowedByAsyncApi('client', frame.type, value) && keepsRulesInWords(frame);
          expect(decodeClientFrame(JSON.stringify(value)).frame !== undefined).toBe(allowed);
          if (allowed) accepted += 1;
        }),
        runs,
      );
      expect(accepted).toBeGreaterThan(runs.numRuns / 10);
    },
    LONG,
  );

  test(
    'is decoded to what the AsyncAPI document describes, without any other key',
    () => {
      fc.assert(
        fc.property(changed(anyClientFrame), (value) => {
          const { frame } = decodeClientFrame(JSON.stringify(value));
          expect(() => frame && describedByAsyncApi('client', JSON.stringify(frame))).not.toThrow();
        }),
        runs,
      );
    },
    LONG,
  );

  test(
    'that was encoded is decoded to the same frame',
    () => {
      fc.assert(
        fc.property(anyClientFrame.filter(keepsRulesInWords), (frame) => {
          const sent = JSON.parse(JSON.stringify(frame)) as AnyFrame;
          const expected = sent.type === 'history' ? { limit: PAGE_SIZE, ...sent } : sent;
          expect(decodeClientFrame(JSON.stringify(sent))).toStrictEqual({ frame: expected });
          expect(decodeClientFrame(JSON.stringify(expected))).toStrictEqual({ frame: expected });
        }),
        runs,
      );
    },
    LONG,
  );

  test(
    'that is refused has its ref repeated, if that is one',
    () => {
      const refs = fc.oneof(fc.string({ unit: 'binary', maxLength: 2 * REF_MAX_LENGTH, size: 'max' }), anyJson);
      fc.assert(
        fc.property(changed(anyClientFrame), refs, (value, ref) => {
          fc.pre(typeof value === 'object' && value !== null && !Array.isArray(value));
          const { frame, problem } = decodeClientFrame(JSON.stringify({ ...value, ref }));
          fc.pre(frame === undefined);
          expect(problem.ref).toBe(isUsableRef(ref) ? ref : undefined);
        }),
        runs,
      );
    },
    LONG,
  );

  test(
    'has a text that is as long as it may be, and no longer',
    () => {
      const lengths = fc.integer({ min: MESSAGE_MAX_LENGTH - 2, max: MESSAGE_MAX_LENGTH + 2 });
      fc.assert(
        fc.property(lengths, fc.nat({ max: MESSAGE_MAX_LENGTH }), (length, emoji) => {
          const text = '😀'.repeat(Math.min(emoji, length)) + 'x'.repeat(Math.max(0, length - emoji));
          const { frame, problem } = decodeClientFrame(JSON.stringify({ type: 'send', ref: 'r1', text }));
          const isTooLong = length > MESSAGE_MAX_LENGTH;
          expect([frame === undefined, problem?.code]).toEqual([isTooLong, isTooLong ? 'invalid_text' : undefined]);
        }),
      );
    },
    LONG,
  );
});

/** A frame with an error code of this release, as the document wants it; clients take any. */
const ofThisRelease = (frame: ServerFrame) => (frame.type === 'error' ? { ...frame, code: 'bad_frame' } : frame);

describe('a frame of a server', () => {
  test(
    'is decoded without an exception, whatever it is, to what the AsyncAPI document describes or to nothing',
    () => {
      let accepted = 0;
      fc.assert(
        fc.property(anyText(anyServerFrame), (text) => {
          const frame = decodeServerFrame(text);
          if (!frame) return;
          describedByAsyncApi('server', JSON.stringify(ofThisRelease(frame)));
          accepted += 1;
        }),
        runs,
      );
      expect(accepted).toBeGreaterThan(0);
    },
    LONG,
  );

  test(
    'is accepted if the AsyncAPI document allows it, keys of newer servers included',
    () => {
      let accepted = 0;
      fc.assert(
        fc.property(changed(anyServerFrame), (value) => {
          const frame = value as AnyFrame;
          const known = typeof value === 'object' && value !== null && serverTypes.includes(frame.type);
          fc.pre(known && allowedByAsyncApi('server', frame.type, value));
          expect(decodeServerFrame(JSON.stringify(value))).toBeDefined();
          accepted += 1;
        }),
        runs,
      );
      expect(accepted).toBeGreaterThan(0);
    },
    LONG,
  );

  test(
    'that was encoded is decoded to the same frame',
    () => {
      fc.assert(
        fc.property(anyServerFrame, (frame) => {
          const text = encodeFrame(frame as unknown as ServerFrame);
          expect(decodeServerFrame(text)).toStrictEqual(JSON.parse(text));
        }),
        runs,
      );
    },
    LONG,
  );
});
