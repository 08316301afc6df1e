import type * as v from 'valibot';
import type { Cursor } from '../../src/objects/connection.ts';
import {
  decodeInboxServerFrame,
  type inboxClientFrames,
  type InboxRow,
  type InboxServerFrame,
} from '../../src/protocol/inbox-frames.ts';
import { FrameSocket, type WithoutRef } from './frame-socket.ts';
import { connect, upgrade, type SocketOptions, type TestSocket } from './socket.ts';

type InboxFrame = v.InferInput<(typeof inboxClientFrames)[keyof typeof inboxClientFrames]>;
/** A frame that is answered; it gets a ref of its own if it has none. */
export type AskedOfInbox = WithoutRef<InboxFrame>;

const PATH = '/ws/inbox/';

/** Asks for an upgrade to a socket in an inbox and returns the Worker's answer as it is. */
export async function upgradeInbox(options: SocketOptions = {}): Promise<Response> {
  return upgrade('', undefined, { ...options, path: PATH });
}

/** Opens a socket in an inbox, whatever becomes of it; it offers chat.v1 and a token, if there is one. */
export async function connectInbox(token: string | undefined, options: SocketOptions = {}): Promise<TestSocket> {
  const protocols = ['chat.v1', ...(token === undefined ? [] : [`bearer.${token}`])];
  return connect('', undefined, { protocols, ...options, path: PATH });
}

/** Opens a socket in the inbox of the token's user, which is welcomed. */
export async function openInbox(token: string, { cursor }: { cursor?: Cursor | undefined } = {}): Promise<InboxSocket> {
  const query = cursor ? `?after=${cursor.after}&epoch=${cursor.epoch}` : '';
  const socket = new InboxSocket(await connectInbox(token, { query }));
  await socket.begin();
  return socket;
}

/** A client's end of a socket in an inbox. */
export class InboxSocket extends FrameSocket<InboxServerFrame, AskedOfInbox> {
  constructor(socket: TestSocket) {
    super(socket, 'inbox.', decodeInboxServerFrame);
  }

  /** How a conversation stands as soon as that is as wanted, by the newest that was told of it. Takes `changes`. */
  async row(conversationId: string, wanted: (row: InboxRow) => boolean = () => true): Promise<InboxRow> {
    for (;;) {
      const known = this.frames.flatMap(rowsIn).findLast((row) => row.conversation === conversationId);
      if (known && wanted(known)) return known;
      await this.next('changes');
    }
  }

  /**
   * Resolves when the server has handled everything that was sent before and every frame that it sent has arrived, but
   * for marks, which their conversation has to take first, and changes that wait to travel with others.
   */
  override async settled(): Promise<void> {
    await this.refused({ type: 'set', conversation: crypto.randomUUID(), pinned: false });
  }
}

function rowsIn(frame: InboxServerFrame): InboxRow[] {
  if (frame.type === 'welcome') return frame.snapshot?.conversations ?? [];
  return frame.type === 'changes' || frame.type === 'page' ? frame.conversations : [];
}
