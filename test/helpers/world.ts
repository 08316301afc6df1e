import { abortAllDurableObjects, evictAllDurableObjects } from 'cloudflare:test';
import * as fc from 'fast-check';
import { expect } from 'vitest';
import type { ServerFrameOf } from '../../src/protocol/server-frames.ts';
import { settings } from '../../src/settings.ts';
import { query } from './conversation.ts';
import { raiseEpoch, rename, versionOf } from './directory.ts';
import { Follower, notify } from './follower.ts';
import type { Person } from './people.ts';
import { connect, type TestSocket } from './socket.ts';

/** Three chat.v1 clients: two of one user, one of the other. */
export const NAMES = ['john1', 'john2', 'ray1'] as const;
type Name = (typeof NAMES)[number];

/** What decides which commands make sense. */
export type Model = { connected: Set<Name>; plain: boolean; messages: number };

/** A conversation, its clients, and what must be true of it. */
export type World = {
  conversationId: string;
  people: Record<Name, Person>;
  followers: Partial<Record<Name, Follower>>;
  /** The messages that were acknowledged, as they were sent. */
  stored: { userId: string; text: string; ok: ServerFrameOf<'ok'> }[];
  /** Messages that were on their way when the object was lost. Their client sends them again. */
  unsure: { name: Name; ref: string; text: string }[];
  /** What plain sockets have sent, in order. */
  plainTexts: string[];
  /** Plain sockets, and how many messages there were when they were opened. */
  plain: { socket: TestSocket; since: number; isOpen: boolean }[];
};

type Command = fc.AsyncCommand<Model, World>;

function byAnyone(what: string, run: (world: World, model: Model) => Promise<unknown>): Command {
  return {
    check: () => true,
    run: async (model, world) => void (await run(world, model)),
    toString: () => what,
  };
}

/** A command of one client, which reconnects for it if need be. */
function byClient(name: Name, what: string, run: (follower: Follower, world: World, model: Model) => Promise<unknown>) {
  return byAnyone(`${name} ${what}`, async (world, model) => {
    const follower = await present(world, model, name);
    await run(follower, world, model);
    follower.hear();
  });
}

/** A client that is connected now. */
async function present(world: World, model: Model, name: Name): Promise<Follower> {
  if (!model.connected.has(name)) await reconnect(name).run(model, world);
  const follower = world.followers[name];
  if (!follower) throw new Error(`${name} was never here.`);
  return follower;
}

/** Puts messages on their way without waiting for an answer. */
function post({ followers, stored }: World, name: Name, count: number) {
  return Array.from({ length: count }, (_, index) => {
    const message = { name, ref: crypto.randomUUID(), text: `${stored.length}.${index} by ${name}` };
    followers[name]?.socket.send({ type: 'send', ref: message.ref, text: message.text });
    return message;
  });
}

/** Waits until messages are acknowledged. */
async function settle({ followers, people, stored }: World, posted: World['unsure']): Promise<void> {
  for (const { name, ref, text } of posted) {
    const ok = await followers[name]?.socket.answer(ref);
    if (ok?.type !== 'ok') throw new Error(`Not ok, but: ${JSON.stringify(ok)}`);
    const { duplicate: _duplicate, ...first } = ok;
    stored.push({ userId: people[name].id, text, ok: first });
  }
}

export const send = (name: Name, count: number) =>
  byClient(name, `sends ${count}`, async (_, world, model) => {
    await settle(world, post(world, name, count));
    model.messages += count;
  });

const sendTogether = (count: number) =>
  byAnyone(`all send ${count} at once`, async (world, model) => {
    for (const name of NAMES) await present(world, model, name);
    const posted = NAMES.flatMap((name) => post(world, name, count));
    await settle(world, posted);
    model.messages += posted.length;
  });

const change = (name: Name, kind: 'edit' | 'delete' | 'react' | 'unreact', pick: number) =>
  byClient(name, `${kind}s ${pick}`, async ({ socket }, _, { messages }) => {
    const n = 1 + (pick % messages);
    const frame = {
      edit: { type: 'edit', n, text: `edited by ${name}, ${pick}` } as const,
      delete: { type: 'delete', n } as const,
      react: { type: 'react', n, emoji: '👍', on: true } as const,
      unreact: { type: 'react', n, emoji: '👍', on: false } as const,
    }[kind];
    const answer = await socket.ask(frame);
    if (answer.type === 'ok') expect(answer.n).toBe(n);
    else expect(['not_your_message', 'message_deleted']).toContain(answer.type === 'error' && answer.code);
  });

const mark = (name: Name, read: number, delivered: number) =>
  byClient(name, `marks ${read}, ${delivered}`, async ({ socket }) => {
    socket.send({ type: 'mark', read, delivered });
    await socket.settled();
  });

const retry = (name: Name, pick: number) =>
  byClient(name, `sends an earlier ref again: ${pick}`, async ({ socket }, { people, stored }) => {
    const own = stored.filter(({ userId }) => userId === people[name].id);
    const earlier = own[pick % own.length];
    if (!earlier) return;
    const { ok } = earlier;
    expect(await socket.ask({ type: 'send', ref: ok.ref, text: 'now something else' })).toEqual({
      ...ok,
      duplicate: true,
    });
  });

const lose = (name: Name, count: number) =>
  byClient(name, `loses ${count} frames`, async (follower) => {
    follower.hear();
    follower.lose += count;
  });

const probe = (name: Name) => byClient(name, 'probes', (follower) => follower.catchUp());

/** A client opens a socket, in place of the one it has if it has one, and sends again what it is not sure of. */
export const reconnect = (name: Name, anew = false): Command =>
  byAnyone(`${name} reconnects${anew ? ' without a cursor' : ''}`, async (world, model) => {
    const follower = (world.followers[name] ??= new Follower(world.conversationId, world.people[name]));
    const replaced = model.connected.has(name) ? follower.socket : undefined;
    await (anew ? follower.connectAnew() : follower.connect());
    replaced?.close(1000);
    model.connected.add(name);
    const again = world.unsure.filter((message) => message.name === name);
    world.unsure = world.unsure.filter((message) => message.name !== name);
    for (const { ref, text } of again) follower.socket.send({ type: 'send', ref, text });
    await settle(world, again);
    model.messages += again.length;
  });

/** Opens one more plain socket. */
export const connectPlain: Command = byAnyone('a plain socket connects', async (world, model) => {
  const { conversationId, people, plain } = world;
  const [row] = await query<{ n: number }>(conversationId, 'SELECT coalesce(max(n), 0) AS n FROM messages');
  for (const it of plain.filter(({ isOpen }) => isOpen)) {
    await it.socket.settled();
    it.socket.close(1000);
    it.isOpen = false;
  }
  plain.push({ socket: await connect(conversationId, people.ray1.access), since: row?.n ?? 0, isOpen: true });
  model.plain = true;
});

const sayPlain: Command = {
  check: ({ plain }) => plain,
  run: async (model, { people, plain, plainTexts }) => {
    const text = `${plainTexts.length} in plain`;
    const socket = plain.at(-1)?.socket;
    socket?.say(text, people.john1.id);
    await socket?.settled();
    plainTexts.push(text);
    model.messages += 1;
  },
  toString: () => 'a plain socket sends',
};

const evict = byAnyone('the object is evicted', () => evictAllDurableObjects());

const abort = (count: number) =>
  byAnyone(`the object is aborted while each client sends ${count}`, async (world, model) => {
    const { followers, plain, unsure } = world;
    for (const name of model.connected) unsure.push(...post(world, name, count));
    await abortAllDurableObjects();
    for (const name of model.connected) {
      expect(await followers[name]?.socket.closed).toMatchObject({ code: 1006 });
      followers[name]?.hear();
    }
    for (const it of plain) it.isOpen = false;
    model.connected.clear();
    model.plain = false;
  });

const renameMember = (name: Name, firstName: string) =>
  byAnyone(`${name}'s user is called ${firstName}`, async ({ conversationId, people }) => {
    await rename(conversationId, people[name].id, firstName);
    await notify(conversationId, await versionOf(conversationId));
  });

const nextEpoch = () =>
  byAnyone('the epoch rises', async ({ conversationId, followers }, model) => {
    await raiseEpoch(conversationId);
    await notify(conversationId, await versionOf(conversationId));
    for (const name of model.connected) expect(await followers[name]?.socket.closed).toMatchObject({ code: 1012 });
    model.connected.clear();
  });

const limitResumes = (resumeRows: number) =>
  byAnyone(`a resume may have ${resumeRows} rows`, async () => Object.assign(settings, { resumeRows }));

const name = fc.constantFrom(...NAMES);
const few = fc.integer({ min: 1, max: 5 });
const pick = fc.nat({ max: 200 });
const kind = fc.constantFrom('edit', 'edit', 'delete', 'react', 'react', 'react', 'unreact', 'unreact');
/** Mostly the same few messages, so that what is done to them meets. */
const which = fc.oneof({ weight: 3, arbitrary: fc.nat({ max: 4 }) }, pick);

const sends = fc.tuple(name, few).map(([by, count]) => send(by, count));
const changes = fc.tuple(name, kind, which).map(([by, what, n]) => change(by, what, n));
const marks = fc.tuple(name, pick, pick).map(([by, read, delivered]) => mark(by, read, delivered));
const losses = fc.tuple(name, few).map(([by, count]) => lose(by, count));
const retries = fc.tuple(name, pick).map(([by, earlier]) => retry(by, earlier));
const renames = fc.tuple(name, fc.constantFrom('Kim', 'Robin')).map(([of, firstName]) => renameMember(of, firstName));

/** What may happen in a conversation, mostly talk. */
export const commands = fc.commands(
  [
    ...Array<typeof sends>(3).fill(sends),
    ...Array<typeof changes>(6).fill(changes),
    marks,
    losses,
    losses,
    retries,
    renames,
    name.map(probe),
    name.map((by) => reconnect(by)),
    name.map((by) => reconnect(by, true)),
    fc.constantFrom(connectPlain, sayPlain),
    fc.constantFrom(evict, evict, nextEpoch()),
    fc.integer({ min: 1, max: 30 }).map(sendTogether),
    fc.nat({ max: 4 }).map(abort),
    fc.constantFrom(1, 5, 30, 1000).map(limitResumes),
  ],
  { maxCommands: 60, size: 'max' },
);
