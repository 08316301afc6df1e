import { runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test } from 'vitest';
import { CLOSING_SOCKETS_MAX, FRAME_MAX_BYTES } from '../../src/config.ts';
import { EndedSessions } from '../../src/objects/ended-sessions.ts';
import { Gate } from '../../src/objects/gate.ts';
import { Sockets, type OpenSocket } from '../../src/objects/sockets.ts';
import { InboxStore } from '../../src/inbox/store.ts';
import { CLOSE } from '../../src/protocol/close-codes.ts';
import { settings } from '../../src/settings.ts';
import { inboxOf } from '../helpers/inbox.ts';

const { socketsPerUser } = settings;

afterEach(() => {
  Object.assign(settings, { socketsPerUser });
});

const ANA = crypto.randomUUID();
const BEN = crypto.randomUUID();
const NOW = Date.now();

/** What the tests hold: an object's gate, its sockets, and the store of its ended sessions. */
type Held = { gate: Gate; sockets: Sockets; sessions: EndedSessions; sql: SqlStorage; open: typeof openIn };

/** Runs `work` on the gate of a new object. */
async function onGate(work: (held: Held & { add: (more?: More) => WebSocket }) => void | Promise<void>): Promise<void> {
  await runInDurableObject(inboxOf(crypto.randomUUID()), async (_, state) => {
    const sockets = new Sockets(state);
    const sessions = new InboxStore(state.storage).endedSessions;
    const held = { gate: new Gate(state, sockets), sockets, sessions, sql: state.storage.sql, open: openIn };
    await work({ ...held, add: (more) => addTo(sockets, more) });
  });
}

type More = { user_id?: string; session_id?: string; expires_at?: number; heard_at?: number };

/** Opens a socket, and returns the object's end. Its client never answers. */
function addTo(sockets: Sockets, { session_id = 'a session', ...more }: More = {}): WebSocket {
  const { 1: socket } = new WebSocketPair();
  sockets.accept(
    socket,
    { user_id: ANA, expires_at: NOW + 60_000, protocol: 'chat.v1', heard_at: NOW, ...more },
    session_id,
  );
  return socket;
}

/** A socket, as the object finds it among those that are open; undefined if it was closed. */
function openIn(sockets: Sockets, socket: WebSocket): OpenSocket | undefined {
  return sockets.open().find((it) => it.socket === socket);
}

function isOpen(sockets: Sockets, socket: WebSocket): boolean {
  return openIn(sockets, socket) !== undefined;
}

describe('a frame', () => {
  test('passes if it is text of a bearable size, from a socket that is open', async () => {
    await onGate(({ gate, sockets, add }) => {
      const known = openIn(sockets, add());
      if (!known) throw new Error('The socket is not open.');
      expect(gate.passes(known, 'Hello', NOW)).toBe(true);
      expect(gate.passes(known, 'x'.repeat(FRAME_MAX_BYTES), NOW)).toBe(true);
      expect(isOpen(sockets, known.socket)).toBe(true);
    });
  });

  test.each([
    ['is not text', new ArrayBuffer(1), NOW, CLOSE.unsupportedData],
    ['is too large', 'x'.repeat(FRAME_MAX_BYTES + 1), NOW, CLOSE.tooLarge],
    ['comes when the token has expired', 'Hello', NOW + 60_000, CLOSE.unauthenticated],
  ])('that %s closes its socket, and none behind it passes', async (_, frame, now, code) => {
    await onGate(({ gate, sockets, add }) => {
      const socket = add();
      const known = openIn(sockets, socket);
      if (!known) throw new Error('The socket is not open.');
      expect(gate.passes(known, frame, now)).toBe(false);
      expect(socket.deserializeAttachment()).toMatchObject({ closing: code });
      expect(isOpen(sockets, socket)).toBe(false);
      const closing = { socket, attachment: { ...known.attachment, closing: code } };
      expect(gate.passes(closing, 'Hello', NOW)).toBe(false);
    });
  });

  test('behind a message to oneself, which closes the socket, still passes', async () => {
    await onGate(({ gate, sockets, add }) => {
      const known = openIn(sockets, add());
      if (!known) throw new Error('The socket is not open.');
      const closing = { ...known, attachment: { ...known.attachment, closing: CLOSE.normal } };
      expect(gate.passes(closing, 'Hello', NOW)).toBe(true);
    });
  });
});

describe('the next expiry of a token', () => {
  test('is that of the socket whose token expires first, also after waking up', async () => {
    await onGate(({ gate, sockets, add }) => {
      expect(gate.nextExpiry).toBe(Infinity);
      for (const expires_at of [NOW + 5, NOW + 3, NOW + 9]) {
        add({ expires_at });
        gate.opened({ expires_at });
      }
      expect(gate.nextExpiry).toBe(NOW + 3);
      expect(sockets.open()).toHaveLength(3);
    });
    await onGate(({ gate, add }) => {
      for (const expires_at of [NOW + 5, NOW + 3]) add({ expires_at });
      expect(gate.nextExpiry).toBe(NOW + 3);
    });
  });

  test('moves on when the sockets are closed whose token has expired', async () => {
    await onGate(({ gate, sockets, add }) => {
      const [early, late] = [add({ expires_at: NOW + 3 }), add({ expires_at: NOW + 5 })];
      gate.closeExpired(NOW + 2);
      expect(isOpen(sockets, early)).toBe(true);
      gate.closeExpired(NOW + 3);
      expect([early, late].map((socket) => isOpen(sockets, socket))).toEqual([false, true]);
      expect(gate.nextExpiry).toBe(NOW + 5);
      gate.closeExpired(NOW + 5);
      expect(gate.nextExpiry).toBe(Infinity);
    });
  });
});

describe('room for one more socket', () => {
  test('is made by closing the longest silent one of the same user', async () => {
    Object.assign(settings, { socketsPerUser: 2 });
    await onGate(({ gate, sockets, add }) => {
      const [old, silent, bens] = [
        add({ heard_at: NOW - 5 }),
        add({ heard_at: NOW - 9 }),
        add({ user_id: BEN, heard_at: NOW - 99 }),
      ];
      expect(gate.makeRoom(ANA, Infinity)).toBe(true);
      expect([old, silent, bens].map((socket) => isOpen(sockets, socket))).toEqual([true, false, true]);
      expect(silent.deserializeAttachment()).toMatchObject({ closing: CLOSE.replaced });
      expect(gate.makeRoom(ANA, Infinity)).toBe(true);
      expect(isOpen(sockets, old)).toBe(true);
    });
  });

  test('is not there in an object that is full, and then none is closed for it', async () => {
    Object.assign(settings, { socketsPerUser: 2 });
    await onGate(({ gate, sockets, add }) => {
      const all = [add(), add({ user_id: BEN }), add({ user_id: BEN })];
      expect(gate.makeRoom(ANA, 3)).toBe(false);
      expect(all.every((socket) => isOpen(sockets, socket))).toBe(true);
      // One that replaces another needs no more room.
      expect(gate.makeRoom(BEN, 3)).toBe(true);
      expect(sockets.open()).toHaveLength(2);
    });
  });

  test('is not there for somebody whose client does not answer the close of so many', async () => {
    await onGate(({ gate, sockets, add }) => {
      for (let i = 0; i < CLOSING_SOCKETS_MAX; i += 1) sockets.close(add(), CLOSE.replaced, 'Replaced.');
      expect(gate.makeRoom(ANA, Infinity)).toBe(false);
      expect(gate.makeRoom(BEN, Infinity)).toBe(true);
    });
  });
});

const stored = (sql: SqlStorage) =>
  sql.exec('SELECT session_id, remember_until FROM ended_sessions ORDER BY session_id').toArray();

describe('a session that has ended', () => {
  test('is known until its last access token has expired, and its sockets are closed, those of others not', async () => {
    await onGate(({ gate, sockets, sessions, add }) => {
      const [ended, other] = [add({ session_id: 'a' }), add({ session_id: 'b' })];
      sessions.end([{ session_id: 'a', remember_until: NOW + 10 }], gate, NOW);
      expect([sessions.has('a'), sessions.has('b')]).toEqual([true, false]);
      expect([ended, other].map((socket) => isOpen(sockets, socket))).toEqual([false, true]);
      expect(ended.deserializeAttachment()).toMatchObject({ closing: CLOSE.sessionEnded });
    });
  });

  test('that no token can belong to any more is not kept, but its sockets are closed', async () => {
    await onGate(({ gate, sockets, sessions, sql, add }) => {
      const socket = add({ session_id: 'a' });
      sessions.end([{ session_id: 'a', remember_until: NOW }], gate, NOW);
      expect(stored(sql)).toEqual([]);
      expect(isOpen(sockets, socket)).toBe(false);
    });
  });

  test('is forgotten when its time is over, as soon as another ends, and told twice is kept once', async () => {
    await onGate(({ gate, sessions, sql }) => {
      const [a, b] = [
        { session_id: 'a', remember_until: NOW + 10 },
        { session_id: 'b', remember_until: NOW + 20 },
      ];
      sessions.end([a], gate, NOW);
      sessions.end([a, b], gate, NOW);
      expect(stored(sql)).toEqual([a, b]);
      sessions.end([], gate, NOW + 9);
      expect(stored(sql)).toEqual([a, b]);
      sessions.end([], gate, NOW + 10);
      expect(stored(sql)).toEqual([b]);
    });
  });

  test('closes also sockets that are closing after a message to oneself', async () => {
    await onGate(({ gate, sockets, sessions, add }) => {
      const socket = add({ session_id: 'a' });
      sockets.close(socket, CLOSE.normal, '');
      sessions.end([{ session_id: 'a', remember_until: NOW + 10 }], gate, NOW);
      expect(socket.deserializeAttachment()).toMatchObject({ closing: CLOSE.sessionEnded });
    });
  });
});
