import { expect, test } from 'vitest';
import { api } from '../helpers/api.ts';
import { pairInConversation } from '../helpers/people.ts';
import { connect } from '../helpers/socket.ts';

test('a message reaches every socket of both members and both histories', async () => {
  const { john, ray, conversationId } = await pairInConversation();
  const sockets = [
    await connect(conversationId, john.access),
    await connect(conversationId, john.access),
    await connect(conversationId, ray.access),
    await connect(conversationId, ray.access),
  ];
  sockets[0]?.say('Hello', ray.id);
  for (const socket of sockets) {
    expect(JSON.parse(await socket.next())).toEqual({ message: 'Hello', recipient_id: ray.id });
  }
  for (const [person, peer] of [
    [john, ray],
    [ray, john],
  ] as const) {
    const { body } = await api(`/api/users/${peer.id}/chat/`, { token: person.access });
    expect(body.data.messages).toMatchObject([{ text: 'Hello', sender: { id: john.id } }]);
  }
});
