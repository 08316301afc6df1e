import type { Socket } from '../../../src/client/environment.ts';
import type { Final } from '../history.ts';
import type { Party } from '../party.ts';
import { socketUrl, type Seat } from './seat.ts';

/** Milliseconds until it tries again to connect. */
const RECONNECT_MS = 1000;

/** A socket of the original's protocol: it has no refs, is answered nothing, and is not shown what it has missed. */
export class PlainParty implements Party {
  readonly kind = 'plain';
  readonly name: string;
  readonly userId: string;
  /** It does not number what it is shown. */
  readonly shown = 0;
  readonly #seat: Seat;
  #socket: Socket | null = null;
  #isOpen = false;
  #isClosed = false;
  #cancelTimer = () => {};

  constructor(seat: Seat) {
    this.#seat = seat;
    this.name = seat.name;
    this.userId = seat.userId;
    void this.#connect();
  }

  send(text: string): void {
    if (!this.#isOpen) return;
    const { recorder, peerId, name: client, userId: user_id } = this.#seat;
    recorder.asked({ client, user_id, ref: null, plain: true, change: { type: 'send', text, reply_to: null } });
    this.#socket?.send(JSON.stringify({ message: text, recipient_id: peerId }));
  }

  edit(): void {}
  delete(): void {}
  react(): void {}
  read(): void {}
  repeatOld(): void {}

  goOffline(): void {
    this.#seat.network.setOnline(false);
  }

  goOnline(): void {
    this.#seat.network.setOnline(true);
    this.wake();
  }

  reload(): void {
    this.#seat.network.cut('page died');
    this.wake();
  }

  wake(): void {
    if (!this.#socket) void this.#connect();
  }

  /** It waits for nothing. */
  async settled(): Promise<void> {}

  /** It has nothing to be compared. */
  async final(): Promise<Final> {
    throw new Error('A plain socket has no final state.');
  }

  toString(): string {
    return this.#isOpen ? 'open' : 'closed';
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelTimer();
    this.#socket?.close(1000);
  }

  async #connect(): Promise<void> {
    this.#cancelTimer();
    const { access } = await this.#seat.signIn();
    if (this.#isClosed || this.#socket) return;
    const socket = this.#seat.network.openSocket(socketUrl(this.#seat, `?token=${access}`), []);
    this.#socket = socket;
    socket.addEventListener('open', () => {
      // Whoever has sent nothing is closed only after a while.
      socket.send('ping');
      this.#isOpen = true;
    });
    socket.addEventListener('error', () => {});
    socket.addEventListener('close', () => {
      [this.#socket, this.#isOpen] = [null, false];
      if (this.#isClosed) return;
      this.#cancelTimer = this.#seat.environment.after(RECONNECT_MS, () => void this.#connect());
    });
  }
}
