import { env } from 'cloudflare:workers';
import { describe, expect, test } from 'vitest';
import protocol from '../../docs/protocol.md?raw';
import { openDirectConversation } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import { clientFrames } from '../../src/protocol/client-frames.ts';
import { CLOSE, verdictOf } from '../../src/protocol/close-codes.ts';
import { ERROR_CODES } from '../../src/protocol/error-codes.ts';
import { serverFrames, type ServerFrame } from '../../src/protocol/server-frames.ts';
import { openChat, type ChatSocket } from '../helpers/chat-socket.ts';
import { signedIn, type Person } from '../helpers/people.ts';
import { Translation } from '../helpers/translation.ts';

type Line = { who: 'ana' | 'ben'; what: '→' | '←' | 'connects with'; frame: object };

/** The lines of the document's examples, in order. */
function examples(): Line[] {
  const blocks = [...protocol.matchAll(/```chat\n(.*?)```/gs)].map(([, block = '']) => block);
  return blocks
    .join('\n')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [, who, what, frame = ''] = /^(ana|ben) (→|←|connects with) (.*)$/.exec(line) ?? [];
      if (!who || !what) throw new Error(`Not a line of an example: ${line}`);
      return { who, what, frame: JSON.parse(frame) } as Line;
    });
}

/** The rows of the table under a heading: what is in each of its cells. */
function tableUnder(heading: string): string[][] {
  const [, section = ''] = protocol.split(`\n## ${heading}\n`);
  const rows =
    section
      .split('\n## ')[0]
      ?.split('\n')
      .filter((line) => line.startsWith('|')) ?? [];
  return rows.slice(2).map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** The frame that is meant. Of `changes` to several sockets the document shows one. */
async function arrived(socket: ChatSocket, written: ServerFrame): Promise<ServerFrame> {
  switch (written.type) {
    case 'welcome':
      return socket.welcome;
    case 'changes':
      return socket.next('changes', ({ ref, rev }) => ref === written.ref && rev === written.rev);
    default:
      return socket.next(written.type);
  }
}

describe('docs/protocol.md', () => {
  test('has examples that a server answers as they say, word for word', async () => {
    const ana = await signedIn('Ana');
    let ben = await signedIn('Ben');
    // Members are numbered in the order of their ids, and in the document Ana's is the smaller one.
    while (ben.id < ana.id) ben = await signedIn('Ben');
    const conversation = await openDirectConversation(directory(env.DB), ana.id, ben.id, Date.now());
    const people: Record<Line['who'], Person> = { ana, ben };
    const sockets = new Map<Line['who'], ChatSocket>();
    const translation = new Translation();
    for (const { who, what, frame } of examples()) {
      if (what === 'connects with') sockets.delete(who);
      const cursor = what === 'connects with' ? (frame as { after: number; epoch: number }) : undefined;
      const socket = sockets.get(who) ?? (await openChat(conversation?.id ?? '', people[who].access, { cursor }));
      sockets.set(who, socket);
      if (what === '→') socket.send(frame);
      if (what !== '←') continue;
      const came = await arrived(socket, frame as ServerFrame);
      expect(came).toEqual(translation.of(frame, came));
    }
  });

  test('has an example of every frame', () => {
    const frames = examples().filter(({ what }) => what !== 'connects with');
    const types = new Set(frames.map(({ what, frame }) => `${what} ${(frame as { type: string }).type}`));
    const all = [
      ...Object.keys(serverFrames).map((type) => `← ${type}`),
      ...Object.keys(clientFrames).map((type) => `→ ${type}`),
    ];
    expect([...types].sort()).toEqual(all.sort());
  });

  test('lists every error code', () => {
    expect(tableUnder('Errors').map(([code]) => code)).toEqual(Object.keys(ERROR_CODES).map((code) => `\`${code}\``));
  });

  test('lists every close code, and what to do about it', () => {
    const verdicts = tableUnder('Close codes').map(([code, , advice = '']) => {
      if (advice.startsWith('reconnect')) return [Number(code), 'reconnect'];
      return [Number(code), advice.startsWith('get a new token') ? 'refresh' : 'stop'];
    });
    expect(verdicts).toEqual(Object.values(CLOSE).map((code) => [code, verdictOf(code)]));
  });
});
