import { env } from 'cloudflare:workers';
import { describe, expect, test } from 'vitest';
import document from '../../docs/inbox.md?raw';
import { openDirectConversation } from '../../src/directory/conversations.ts';
import { directory } from '../../src/directory/database.ts';
import { inboxClientFrames, inboxServerFrames, type InboxServerFrame } from '../../src/protocol/inbox-frames.ts';
import type { ServerFrame } from '../../src/protocol/server-frames.ts';
import { openChat, type ChatSocket } from '../helpers/chat-socket.ts';
import { openInbox, type InboxSocket } from '../helpers/inbox-socket.ts';
import { signedIn, type Person } from '../helpers/people.ts';
import { Translation } from '../helpers/translation.ts';

type Line = { who: 'ana' | 'ben'; where: 'chat' | 'inbox'; what: '→' | '←' | 'connects with'; frame: object };

/** The lines of the document's example, in order. */
function example(): Line[] {
  const [, block = ''] = /```inbox\n(.*?)```/s.exec(document) ?? [];
  return block
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [, who, where, what, frame = ''] = /^(ana|ben) (chat|inbox) (→|←|connects with) (.*)$/.exec(line) ?? [];
      if (!who || !where || !what) throw new Error(`Not a line of an example: ${line}`);
      return { who, where, what, frame: JSON.parse(frame) } as Line;
    });
}

/** The frame that is meant. */
async function arrived(socket: ChatSocket | InboxSocket, written: ServerFrame | InboxServerFrame) {
  if (written.type === 'welcome') return socket.welcome;
  if (written.type !== 'changes') return socket.next(written.type as 'ok');
  // Of several `changes` the document shows the one of a rev.
  return (socket as InboxSocket).next('changes', ({ ref, rev }) => ref === written.ref && rev === written.rev);
}

describe('docs/inbox.md', () => {
  test('has an example that a server answers as it says, word for word', async () => {
    const ana = await signedIn('Ana');
    let ben = await signedIn('Ben');
    // Members are numbered in the order of their ids, and in the document Ana's is the smaller one.
    while (ben.id < ana.id) ben = await signedIn('Ben');
    const people: Record<Line['who'], Person> = { ana, ben };
    const conversation = await openDirectConversation(directory(env.DB), ana.id, ben.id, Date.now());
    const id = conversation?.id ?? '';
    const sockets = new Map<string, ChatSocket | InboxSocket>();
    const translation = new Translation();
    translation.of('c0000000-0000-4000-8000-00000000000c', id);
    for (const { who, where, what, frame } of example()) {
      const cursor = what === 'connects with' ? (frame as { after: number; epoch: number }) : undefined;
      const { access } = people[who];
      const known = cursor ? undefined : sockets.get(`${who} ${where}`);
      const socket = known ?? (where === 'chat' ? await openChat(id, access) : await openInbox(access, { cursor }));
      sockets.set(`${who} ${where}`, socket);
      if (what === '→') socket.send(translation.of(frame, frame) as object);
      if (what !== '←') continue;
      const came = await arrived(socket, frame as InboxServerFrame);
      expect(came).toEqual(translation.of(frame, came));
    }
  });

  test('has an example of every frame', () => {
    const frames = example().filter(({ where, what }) => where === 'inbox' && what !== 'connects with');
    const types = new Set(frames.map(({ what, frame }) => `${what} ${(frame as { type: string }).type}`));
    const all = [
      ...Object.keys(inboxServerFrames).map((type) => `← ${type}`),
      ...Object.keys(inboxClientFrames).map((type) => `→ ${type}`),
    ];
    expect([...types].sort()).toEqual(all.sort());
  });

  test('names every field of a row, and no other', () => {
    const [, table = ''] = document.split('\n## A row\n');
    const fields = [...table.matchAll(/^\| (`.*?`(?:, `.*?`)?) +\|/gm)].flatMap(([, cell = '']) =>
      cell.split(', ').map((name) => name.replaceAll('`', '')),
    );
    const [welcome] = example().flatMap(({ frame }) => ('conversations' in frame ? [frame] : []));
    const [row] = (welcome as { conversations: object[] }).conversations;
    expect(fields.slice(0, Object.keys(row ?? {}).length).sort()).toEqual(Object.keys(row ?? {}).sort());
  });
});
