// What decoding a frame costs beyond parsing its JSON: the same frames, once through the decoder, once through
// JSON.parse alone. Prints the ratio, which says more than microseconds on a machine that does other things too.
import { decodeClientFrame } from '../src/protocol/client-frames.ts';
import { decodeServerFrame } from '../src/protocol/server-frames.ts';

const FRAMES = 20_000;
const ROUNDS = 7;

const id = '0d4c1f0e-0000-4000-8000-000000000001';
const row = {
  n: 1,
  rev: 1,
  id,
  sender_id: id,
  ref: id,
  text: 'See you at the station at eight?',
  reply_to: null,
  created_at: 1763900000000,
  edited_at: null,
  deleted_at: null,
  reactions: [{ emoji: '👍', user_ids: [id] }],
};

const samples: [name: string, decode: (frame: string) => unknown, frame: string][] = [
  ['send', decodeClientFrame, JSON.stringify({ type: 'send', ref: id, text: row.text })],
  ['send, 4,000 characters', decodeClientFrame, JSON.stringify({ type: 'send', ref: id, text: 'x'.repeat(4000) })],
  ['mark', decodeClientFrame, JSON.stringify({ type: 'mark', read: 1200 })],
  ['react', decodeClientFrame, JSON.stringify({ type: 'react', ref: id, n: 7, emoji: '👍', on: true })],
  ['malformed', decodeClientFrame, JSON.stringify({ type: 'send', ref: id, text: 5 })],
  [
    'changes, one message',
    decodeServerFrame,
    JSON.stringify({ type: 'changes', after: 0, rev: 1, messages: [row], members: [], more: false }),
  ],
];

for (const [name, decode, frame] of samples) {
  const rounds = Array.from({ length: ROUNDS }, () => ({
    decode: microseconds(() => decode(frame)),
    parse: microseconds(() => JSON.parse(frame)),
  })).sort((a, b) => a.decode / a.parse - b.decode / b.parse);
  const median = rounds[Math.floor(ROUNDS / 2)];
  if (!median) continue;
  const ratio = (median.decode / median.parse).toFixed(1);
  console.log(`${name}: ${median.decode.toFixed(2)} µs, ${ratio} times JSON.parse (${median.parse.toFixed(2)} µs)`);
}

function microseconds(work: () => unknown): number {
  const start = performance.now();
  for (let i = 0; i < FRAMES; i += 1) work();
  return ((performance.now() - start) / FRAMES) * 1000;
}
