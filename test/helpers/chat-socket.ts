import type { Cursor } from '../../src/objects/connection.ts';
import type { ClientFrame } from '../../src/protocol/client-frames.ts';
import { decodeServerFrame, type ServerFrame, type ServerFrameOf } from '../../src/protocol/server-frames.ts';
import { FrameSocket, type WithoutRef } from './frame-socket.ts';
import { connect, type TestSocket } from './socket.ts';

/** A frame that is answered; it gets a ref of its own if it has none. */
export type Asked = WithoutRef<ClientFrame>;

/** Opens a chat.v1 socket, which is welcomed. */
export async function openChat(
  conversationId: string,
  token: string,
  { cursor }: { cursor?: Cursor | undefined } = {},
): Promise<ChatSocket> {
  const query = cursor ? `?after=${cursor.after}&epoch=${cursor.epoch}` : '';
  const socket = new ChatSocket(
    await connect(conversationId, undefined, { protocols: ['chat.v1', `bearer.${token}`], query }),
  );
  await socket.begin();
  return socket;
}

/** A client's end of a chat.v1 socket in a conversation. */
export class ChatSocket extends FrameSocket<ServerFrame, Asked> {
  constructor(socket: TestSocket) {
    super(socket, '', decodeServerFrame);
  }

  /** Sends a message, and expects that it is stored. */
  async say(text: string, more: { ref?: string; reply_to?: number } = {}): Promise<ServerFrameOf<'ok'>> {
    return this.ok({ type: 'send', text, ...more });
  }

  /**
   * Resolves when the server has handled everything that was sent before and every frame that it sent has arrived, but
   * for changes that wait to travel with others.
   */
  override async settled(): Promise<void> {
    await this.ask({ type: 'history', after: Number.MAX_SAFE_INTEGER });
  }
}
