import { ClientParty } from '../../../delivery/parties/client.ts';
import { Device } from '../../../delivery/parties/device.ts';
import { PlainParty } from '../../../delivery/parties/plain.ts';
import { RawParty } from '../../../delivery/parties/raw.ts';
import type { Seat } from '../../../delivery/parties/seat.ts';
import type { Party } from '../../../delivery/party.ts';

/** `tabs` are two pages of one browser. */
export type SeatKind = 'tabs' | 'client' | 'raw' | 'plain';

/** Seats a person with a device of some kind. @param seatFor makes the seat of the party with a name */
export async function seated(kind: SeatKind, name: string, seatFor: (name: string) => Seat): Promise<Party[]> {
  if (kind === 'raw') return [new RawParty(seatFor(name))];
  if (kind === 'plain') return [new PlainParty(seatFor(name))];
  const first = seatFor(`${name}a`);
  const device = new Device(first);
  await device.signIn(await first.signIn());
  const others = kind === 'tabs' ? [seatFor(`${name}b`)] : [];
  return [first, ...others].map((seat) => new ClientParty(seat, device));
}
