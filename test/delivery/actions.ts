import * as fc from 'fast-check';
import { FEED_FAULTS, type FeedFault } from './feeds.ts';

/** Something that happens in a run. `who` is the number of a party. It is plain data, so that a run can be written down. */
export type Action =
  | { readonly do: 'send'; readonly who: number; readonly count: number; readonly reply: boolean }
  | { readonly do: 'edit' | 'delete'; readonly who: number; readonly pick: number }
  | {
      readonly do: 'react';
      readonly who: number;
      readonly pick: number;
      readonly emoji: string;
      readonly on: boolean;
    }
  | { readonly do: 'repeat old'; readonly who: number; readonly pick: number }
  | { readonly do: Simple; readonly who: number }
  | {
      readonly do: 'cut at';
      readonly who: number;
      readonly direction: 'in' | 'out';
      readonly frames: number;
      readonly passes: boolean;
    }
  | { readonly do: 'lose' | 'repeat' | 'fail requests'; readonly who: number; readonly count: number }
  | { readonly do: 'skew'; readonly who: number; readonly by: number }
  | { readonly do: 'storage fails' | 'storage works'; readonly device: number }
  | { readonly do: Alone }
  | { readonly do: 'store fails'; readonly count: number; readonly late: boolean }
  | { readonly do: 'pass' | 'jump'; readonly by: number }
  | { readonly do: 'inbox'; readonly user: number; readonly deed: InboxDeed }
  | { readonly do: 'lose in inbox' | 'repeat in inbox'; readonly user: number; readonly count: number }
  | { readonly do: 'feeds fail'; readonly user: number; readonly fault: FeedFault; readonly count: number };

/** What whoever follows the inbox of a user does, or suffers. */
export const INBOX_DEEDS = [
  'read',
  'receive',
  'mark unread',
  'read all',
  'archive',
  'take out',
  'mute',
  'unmute',
  'pin',
  'unpin',
  'wake',
  'connect anew',
  'offline',
  'online',
  'cut',
  'silence',
] as const;
export type InboxDeed = (typeof INBOX_DEEDS)[number];

type Alone = 'evict' | 'evict and close' | 'evict inbox' | 'abort' | 'dump' | 'restore' | 'feeds arrive' | 'turn';
type Simple = 'read' | 'offline' | 'online' | 'reload' | 'wake' | 'cut' | 'silence';

/** What a run begins with. */
export interface Scene {
  /** Parties besides the three real clients. */
  readonly raws: 1 | 2;
  /** Whether one of the clients keeps nothing over a reload. */
  readonly forgets: boolean;
  /** Whether the server lets nobody send much at once. */
  readonly slow: boolean;
  /** How many rows a resume may have at most. */
  readonly resumeRows: number;
  /** From which everybody's chance is made. */
  readonly seed: number;
}

/** Two tabs of John's, a client of Ray's, one or two raw ones, and a plain socket. */
export const PARTIES_MAX = 6;
const DEVICES = 2;

/** A plain object, which is printed as it is written. */
function record<Keys extends object>(model: { [Key in keyof Keys]: fc.Arbitrary<Keys[Key]> }): fc.Arbitrary<Keys> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<Keys>;
}

const who = fc.nat({ max: PARTIES_MAX - 1 });
const few = fc.integer({ min: 1, max: 4 });
/** Mostly one of the last messages, so that what is done to them meets. */
const pick = fc.oneof({ weight: 3, arbitrary: fc.nat({ max: 3 }) }, fc.nat({ max: 100 }));
const simple = (kind: Simple): fc.Arbitrary<Action> => who.map((it) => ({ do: kind, who: it }));
const alone = (kind: Alone): fc.Arbitrary<Action> => fc.constant({ do: kind });
const counted = (kind: 'lose' | 'repeat' | 'fail requests'): fc.Arbitrary<Action> =>
  record({ do: fc.constant(kind), who, count: kind === 'lose' ? fc.integer({ min: 1, max: 2 }) : few });
const picked = (kind: 'edit' | 'delete' | 'repeat old'): fc.Arbitrary<Action> =>
  record({ do: fc.constant(kind), who, pick }) as fc.Arbitrary<Action>;
const device = fc.nat({ max: DEVICES - 1 });
const user = fc.nat({ max: 1 });

const SECOND = 1000;
const MINUTE = 60 * SECOND;

/** How often what happens. */
const WEIGHTED: readonly [weight: number, arbitrary: fc.Arbitrary<Action>][] = [
  [20, record({ do: fc.constant('send'), who, count: fc.integer({ min: 1, max: 8 }), reply: fc.boolean() })],
  [8, picked('edit')],
  [3, picked('delete')],
  [8, record({ do: fc.constant('react'), who, pick, emoji: fc.constantFrom('👍', '❤️', '🎉'), on: fc.boolean() })],
  [5, picked('repeat old')],
  [4, simple('read')],
  [3, simple('offline')],
  [5, simple('online')],
  [4, simple('reload')],
  [3, simple('wake')],
  [2, simple('cut')],
  [1, simple('silence')],
  [
    8,
    record({
      do: fc.constant('cut at'),
      who,
      direction: fc.constantFrom('in', 'out'),
      frames: fc.integer({ min: 1, max: 6 }),
      passes: fc.boolean(),
    }),
  ],
  [6, counted('lose')],
  [3, counted('repeat')],
  [2, counted('fail requests')],
  [1, record({ do: fc.constant('skew'), who, by: fc.constantFrom(-60 * MINUTE, 0, 60 * MINUTE) })],
  [1, record({ do: fc.constant('storage fails'), device })],
  [1, record({ do: fc.constant('storage works'), device })],
  [3, alone('evict')],
  [2, alone('evict and close')],
  [3, alone('abort')],
  [2, alone('dump')],
  [2, alone('restore')],
  [4, record({ do: fc.constant('store fails'), count: few, late: fc.boolean() })],
  [14, alone('turn')],
  [9, record({ do: fc.constant('inbox'), user, deed: fc.constantFrom(...INBOX_DEEDS) })],
  [2, record({ do: fc.constant('lose in inbox'), user, count: fc.integer({ min: 1, max: 2 }) })],
  [1, record({ do: fc.constant('repeat in inbox'), user, count: few })],
  [10, record({ do: fc.constant('feeds fail'), user, fault: fc.constantFrom(...FEED_FAULTS), count: few })],
  [4, alone('feeds arrive')],
  [2, alone('evict inbox')],
  [8, record({ do: fc.constant('pass'), by: fc.constantFrom(50, SECOND, 5 * SECOND, 30 * SECOND) })],
  [2, record({ do: fc.constant('jump'), by: fc.constantFrom(-10 * MINUTE, -5 * SECOND, 3 * MINUTE, 60 * MINUTE) })],
];

/** What a run begins with. */
export const scenes: fc.Arbitrary<Scene> = record({
  raws: fc.constantFrom(1, 2),
  forgets: fc.boolean(),
  slow: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, fc.constant(true)),
  resumeRows: fc.constantFrom(3, 20, 1000),
  seed: fc.nat(),
});

/** What happens in a run, mostly talk. */
export function scripts(length: { minLength: number; maxLength: number }): fc.Arbitrary<Action[]> {
  const actions = fc.oneof(...WEIGHTED.map(([weight, arbitrary]) => ({ weight, arbitrary })));
  return fc.array(actions, { ...length, size: 'max' });
}
