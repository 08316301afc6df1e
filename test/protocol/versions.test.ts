import { expect, test } from 'vitest';
import { offeredVersion } from '../../src/protocol/versions.ts';

test.each([
  ['nothing', [], undefined],
  ['an empty name, as a missing header yields', [''], undefined],
  ['only a token', ['bearer.x'], undefined],
  ['ours', ['chat.v1', 'bearer.x'], 'chat.v1'],
  ['ours, last', ['bearer.x', 'chat.v1'], 'chat.v1'],
  ['ours and a newer one: the one that we speak', ['chat.v2', 'chat.v1'], 'chat.v1'],
  ['only a newer one, which is then refused by its name', ['bearer.x', 'chat.v2'], 'chat.v2'],
  ['one of many digits', ['chat.v10'], 'chat.v10'],
  ['something that only begins like ours', ['chat.v1x', 'chat.v', 'xchat.v1', 'chat.V1'], undefined],
  ['a protocol of others', ['graphql-ws'], undefined],
])('the version offered by %s', (_, offered, version) => {
  expect(offeredVersion(offered)).toBe(version);
});
