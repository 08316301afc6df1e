import { describe, expect, test } from 'vitest';
import { violations, type Rule } from './check.ts';
import { Story } from './check/story.ts';
import type { History } from './history.ts';

const detailsOf = (history: History): string[] => violations(history).map(({ detail }) => detail);

/** Each is a story in which one rule is broken, and no other. */
type Broken = Record<string, (story: Story) => History | void>;

function breaks(rule: Rule, stories: Broken): void {
  describe(`${rule}:`, () => {
    test.each(Object.entries(stories))('%s', (_, tell) => {
      const story = new Story();
      const found = violations(tell(story) ?? story.history());
      expect(found).not.toEqual([]);
      expect(found.filter((violation) => violation.rule !== rule)).toEqual([]);
    });
  });
}

function keeps(stories: Broken): void {
  describe('is no violation:', () => {
    test.each(Object.entries(stories))('%s', (_, tell) => {
      const story = new Story();
      expect(violations(tell(story) ?? story.history())).toEqual([]);
    });
  });
}

breaks('lost', {
  'an acknowledged message is gone': (story) => {
    story.away('ana', 'ben');
    const before = story.server;
    story.send('ana', 'one');
    story.server = before;
  },
  'an acknowledged message has another n': (story) => {
    const operation = story.send('ana', 'one');
    story.send('ben', 'two');
    story.repeated(operation, 2, 3);
  },
  'an acknowledged message has the n of another of its sender': (story) => {
    const operation = story.send('ana', 'one');
    story.send('ana', 'two');
    story.does('ana', { type: 'edit', n: 2, text: 'three' });
    story.repeated(operation, 2, 3);
  },
  'an acknowledged change has a rev that its message has not reached': (story) => {
    story.send('ana', 'one');
    const react = story.does('ben', { type: 'react', n: 1, emoji: '👍', on: true });
    story.repeated(react, 1, 6);
  },
  'an acknowledged reaction is to another message': (story) => {
    story.send('ana', 'one');
    story.send('ana', 'two');
    const react = story.does('ben', { type: 'react', n: 1, emoji: '👍', on: true });
    story.does('ben', { type: 'react', n: 2, emoji: '👍', on: true });
    story.repeated(react, 2, 7);
  },
  'an acknowledged message has another text, though nobody changed it': (story) => {
    story.send('ana', 'one');
    story.asks('ana', { type: 'send', text: 'two', reply_to: null }, 'ref-1').abandoned = true;
    story.away('ana', 'ben');
    story.server = { ...story.server, messages: story.server.messages.map((row) => ({ ...row, rev: 9, text: 'two' })) };
    // Nobody has seen it otherwise.
    return { ...story.history(), sightings: [] };
  },
  'an acknowledged reply is none': (story) => {
    story.send('ana', 'one');
    story.send('ana', 'two', { answer: 'abandoned', ref: 'known' });
    const again = story.asks('ana', { type: 'send', text: 'two', reply_to: 1 }, 'known');
    story.repeated(again, 2, 5);
  },
  'an acknowledged edit is gone': (story) => {
    story.send('ana', 'one');
    story.away('ana', 'ben');
    const before = story.server;
    story.does('ana', { type: 'edit', n: 1, text: 'two' });
    story.server = before;
  },
  'an acknowledged edit took no place, though the row has changed since': (story) => {
    story.send('ana', 'one');
    const edit = story.asks('ana', { type: 'edit', n: 1, text: 'two' });
    story.does('ben', { type: 'react', n: 1, emoji: '👍', on: true });
    story.repeated(edit, 1, 5);
  },
  'an acknowledged edit has given way to an earlier one': (story) => {
    story.send('ana', 'one');
    story.does('ana', { type: 'edit', n: 1, text: 'two' });
    const edit = story.asks('ana', { type: 'edit', n: 1, text: 'three' });
    story.does('ben', { type: 'react', n: 1, emoji: '👍', on: true });
    story.repeated(edit, 1, 6);
  },
  'an acknowledged edit of unknown rev has given way to what its client asked for before': (story) => {
    story.send('ana', 'one');
    story.does('ana', { type: 'edit', n: 1, text: 'two' });
    const edit = story.asks('ana', { type: 'edit', n: 1, text: 'three' });
    story.recorder.answered(edit, { type: 'acknowledged', epoch: 1, n: 1, rev: null });
  },
  'an acknowledged edit is of another message': (story) => {
    story.send('ana', 'one');
    story.send('ana', 'two');
    const edit = story.does('ana', { type: 'edit', n: 1, text: 'three' });
    story.does('ana', { type: 'edit', n: 2, text: 'four' });
    story.repeated(edit, 2, 8);
  },
  'an acknowledged deletion took no place': (story) => {
    story.send('ana', 'one');
    const operation = story.asks('ana', { type: 'delete', n: 1 });
    story.repeated(operation, 1, 3);
  },
  'an acknowledged reaction is gone': (story) => {
    story.send('ana', 'one');
    story.does('ben', { type: 'react', n: 1, emoji: '👍', on: true });
    story.replace(1, (row) => ({ ...row, reactions: [] }));
  },
  'a reaction that was taken back is there again': (story) => {
    story.send('ana', 'one');
    story.does('ben', { type: 'react', n: 1, emoji: '👍', on: true });
    story.does('ben', { type: 'react', n: 1, emoji: '👍', on: false });
    story.replace(1, (row) => ({ ...row, reactions: [{ emoji: '👍', user_ids: ['ben'] }] }));
  },
  'a restore took back what is older than its rev': (story) => {
    story.away('ana', 'ben');
    const before = story.server;
    story.send('ana', 'one');
    story.restore({ ...before, rev: 3 });
  },
  'a message is acknowledged again after the restore that took it back': (story) => {
    const before = story.server;
    const operation = story.send('ana', 'one');
    story.restore(before);
    story.repeated(operation, 1, 3);
  },
});

breaks('twice', {
  'a ref is on two messages': (story) => {
    const one = story.send('ana', 'one', { answer: 'unanswered' });
    const again = story.asks('ana', { type: 'send', text: 'one, retried', reply_to: null }, one.ref ?? '');
    story.takesPlace(again, 'abandoned');
    one.abandoned = true;
  },
  'a plain message is stored twice': (story) => {
    const plain = story.send('ben-plain', 'one');
    story.takesPlace(plain);
    // They are counted as well: another one went astray.
    story.asks('ben-plain', { type: 'send', text: 'two', reply_to: null });
  },
  'an id is on two messages': (story) => {
    story.away('ana', 'ben');
    story.send('ana', 'one');
    story.send('ana', 'two');
    story.server = { ...story.server, messages: story.server.messages.map((row) => ({ ...row, id: 'id' })) };
  },
  'an edit takes place again after another': (story) => {
    story.send('ana', 'one');
    const edit = story.does('ana', { type: 'edit', n: 1, text: 'two' }, 'abandoned');
    story.does('ben', { type: 'react', n: 1, emoji: '👍', on: true });
    story.does('ana', { type: 'edit', n: 1, text: 'three' }, 'abandoned');
    story.takesPlace(edit, 'abandoned');
  },
  'a deleted message has a text again': (story) => {
    story.send('ana', 'one');
    story.does('ana', { type: 'delete', n: 1 }, 'abandoned');
    const edit = story.asks('ana', { type: 'edit', n: 1, text: 'two' });
    edit.abandoned = true;
    story.replace(1, (row) => ({ ...row, text: 'two', deleted_at: null }));
  },
});

breaks('invented', {
  'the server has a message that nobody sent': (story) => {
    story.send('ana', 'one');
    story.server = { ...story.server, messages: story.server.messages.map((row) => ({ ...row, sender_id: 'ben' })) };
    const history = story.history();
    // Of which nobody has heard, so that it is not lost, and no different from what was seen.
    return {
      ...history,
      sightings: [],
      operations: [],
      server: { ...history.server, members: [] },
      finals: [],
      marks: [],
    };
  },
  'a message has a text that nobody wrote': (story) => {
    story.send('ana', 'one', { answer: 'abandoned' });
    story.replace(1, (row) => ({ ...row, text: 'two' }));
  },
  'a message has the text of somebody else’s edit': (story) => {
    story.send('ana', 'one', { answer: 'abandoned' });
    story.does('ben', { type: 'edit', n: 1, text: 'two' }, 'abandoned');
  },
  'a message is deleted that its sender did not delete': (story) => {
    story.send('ana', 'one', { answer: 'abandoned' });
    story.does('ben', { type: 'delete', n: 1 }, 'abandoned');
  },
  'a message is deleted by halves': (story) => {
    story.send('ana', 'one');
    story.does('ana', { type: 'delete', n: 1 }, 'abandoned');
    story.replace(1, (row) => ({ ...row, deleted_at: null }));
  },
  'a message is a reply that was none': (story) => {
    story.send('ana', 'one', { answer: 'abandoned' });
    story.replace(1, (row) => ({ ...row, reply_to: 1 }));
  },
  'somebody has reacted who did not': (story) => {
    story.send('ana', 'one');
    story.replace(1, (row) => ({ ...row, reactions: [{ emoji: '👍', user_ids: ['ben'] }] }));
  },
  'a refused message is stored': (story) => {
    const operation = story.send('ana', '', { answer: 'unanswered' });
    story.recorder.answered(operation, { type: 'refused', code: 'invalid_text' });
  },
  'a refused edit took place': (story) => {
    story.send('ana', 'one', { answer: 'abandoned' });
    const edit = story.does('ana', { type: 'edit', n: 1, text: ' ' }, 'unanswered');
    story.recorder.answered(edit, { type: 'refused', code: 'invalid_text' });
  },
  'a refused deletion took place': (story) => {
    story.send('ana', 'one', { answer: 'abandoned' });
    const deletion = story.does('ana', { type: 'delete', n: 1 }, 'unanswered');
    story.recorder.answered(deletion, { type: 'refused', code: 'no_such_message' });
  },
  'a message has a ref that nobody sent, though it was edited since': (story) => {
    story.away('ana', 'ben');
    const operation = story.send('ana', 'one', { answer: 'abandoned' });
    story.does('ana', { type: 'edit', n: 1, text: 'two' }, 'abandoned');
    const history = story.history();
    return { ...history, operations: history.operations.filter((it) => it !== operation) };
  },
  'a message was told before it was stored, and another took its place': (story) => {
    const before = story.server;
    story.send('ben', 'one', { answer: 'abandoned' });
    story.away('ana', 'ben');
    story.server = { ...before, rev: 5, epoch: 2 };
    story.send('ana', 'two');
    return withoutMembersSeen(story.history());
  },
  'a message was told that is not stored': (story) => {
    const before = story.server;
    story.send('ben', 'one', { answer: 'abandoned' });
    story.server = { ...before, epoch: 2 };
    return withoutMembersSeen(story.history());
  },
  'a change was told that is not stored': (story) => {
    story.send('ana', 'one');
    const before = story.server;
    story.does('ben', { type: 'react', n: 1, emoji: '👍', on: true }, 'abandoned');
    story.server = { ...before, epoch: 2 };
  },
  'a mark was told that is not stored': (story) => {
    story.send('ana', 'one');
    const before = story.server;
    story.replaceMember('ben', { delivered: 1 });
    story.look();
    story.server = { ...before, epoch: 2 };
  },
  'a sender has more plain messages than they sent': (story) => {
    story.send('ben-plain', 'one');
    story.does('ben', { type: 'edit', n: 1, text: 'two' });
    const more = story.send('ben', 'three', { answer: 'abandoned' });
    story.does('ben', { type: 'edit', n: 2, text: 'four' });
    const history = story.history();
    return {
      ...history,
      operations: history.operations.filter((operation) => operation !== more),
      server: {
        ...history.server,
        messages: history.server.messages.map((row) => (row.n === 2 ? { ...row, ref: null } : row)),
      },
      sightings: [],
      finals: [],
    };
  },
});

breaks('order', {
  'an n is left out': (story) => {
    story.away('ana', 'ben');
    story.send('ana', 'one', { answer: 'abandoned' });
    story.send('ana', 'two', { answer: 'abandoned' });
    const [, second] = story.server.messages;
    const members = story.server.members.map((row) => ({ ...row, read: 0, delivered: 0 }));
    story.server = { ...story.server, members, messages: second ? [second] : [] };
    return { ...story.history(), sightings: [] };
  },
  'time goes back': (story) => {
    story.send('ana', 'one');
    story.send('ana', 'two');
    story.replace(2, (row) => ({ ...row, created_at: 1 }));
  },
  'a client’s messages are in another order than it sent them': (story) => {
    const first = story.asks('ana', { type: 'send', text: 'one', reply_to: null });
    story.send('ana', 'two');
    story.takesPlace(first);
  },
  'a client’s plain messages are in another order than it sent them': (story) => {
    const first = story.asks('ben-plain', { type: 'send', text: 'one', reply_to: null });
    story.send('ben-plain', 'two');
    story.takesPlace(first);
    story.does('ben', { type: 'edit', n: 2, text: 'three' });
  },
});

breaks('one order', {
  'two clients have different messages under one n': (story) => {
    story.away('ana', 'ben');
    const before = story.server;
    story.send('ana', 'one', { answer: 'abandoned' });
    story.shows('ana');
    story.server = before;
    story.send('ben', 'two', { answer: 'abandoned' });
    story.shows('ben', { messages: story.server.messages.map((row) => ({ ...row, id: 'another' })) });
    // A restore took back both, so that neither is missed.
    story.restore(before);
  },
  'an n gets another message': (story) => {
    const before = story.server;
    story.send('ana', 'one');
    story.shows('ben', { messages: story.server.messages.map((row) => ({ ...row, rev: 8, id: 'another' })) });
    story.restore(before);
  },
  'two clients have different messages under one rev': (story) => {
    story.send('ana', 'one');
    story.shows('ben', { messages: story.server.messages.map((row) => ({ ...row, created_at: 1 })) });
  },
  'two clients have different members under one rev': (story) => {
    story.shows('ben', { members: story.server.members.map((row) => ({ ...row, first_name: 'Eve' })) });
  },
});

breaks('went back', {
  'a client shows an older row': (story) => {
    story.send('ana', 'one');
    const { messages } = story.server;
    story.does('ana', { type: 'edit', n: 1, text: 'two' });
    story.shows('ben', { messages });
  },
  'a client shows an older member': (story) => {
    const { members } = story.server;
    story.send('ana', 'one');
    story.shows('ben', { members });
  },
  'a client does not show its last message any more': (story) => {
    story.send('ana', 'one');
    const { messages } = story.server;
    story.send('ana', 'two');
    story.shows('ben', { messages });
  },
  'a client shows nothing any more': (story) => {
    story.send('ana', 'one');
    story.shows('ben', { messages: [] });
  },
  'a client shows a gap': (story) => {
    for (const text of ['one', 'two', 'three']) story.send('ana', text);
    story.shows('ben', { messages: story.server.messages.filter(({ n }) => n !== 2) });
  },
  'a client claims a message that it never showed': (story) => {
    for (const text of ['one', 'two', 'three']) story.send('ana', text);
    const history = story.history();
    const sightings = history.sightings.map((sighting) =>
      sighting.client === 'ben' && sighting.range?.[1] === 2 ? { ...sighting, messages: [] } : sighting,
    );
    return { ...history, sightings };
  },
  'a client goes back to an earlier epoch': (story) => {
    story.shows('ben', { epoch: 4 });
    story.shows('ben', { epoch: 3 });
    story.away('ben');
    story.ends('ben');
    return story.history('ben');
  },
  'a mark moves down': (story) => {
    story.send('ana', 'one');
    story.marks('ben', 1);
    story.replaceMember('ben', { read: 0 });
    return { ...story.history(), finals: [], marks: [] };
  },
  'more is read than delivered': (story) => {
    story.send('ana', 'one');
    story.marks('ben', 1);
    story.replaceMember('ana', { delivered: 0, read: 1 });
    return { ...story.history(), sightings: [] };
  },
  'more is delivered than there is': (story) => {
    story.send('ana', 'one');
    story.replaceMember('ben', { delivered: 2 });
  },
});

breaks('diverged', {
  'a client lacks a message': (story) => {
    story.send('ana', 'one');
    story.ends('ben', { messages: [] });
    return story.history('ben');
  },
  'a client has a message too many': (story) => {
    story.send('ana', 'one');
    story.ends('ben', { messages: story.server.messages.flatMap((row) => [row, { ...row, n: 2 }]) });
    return story.history('ben');
  },
  'a client has an older row': (story) => {
    story.send('ana', 'one');
    const { messages } = story.server;
    story.does('ana', { type: 'edit', n: 1, text: 'two' });
    story.ends('ben', { messages });
    return story.history('ben');
  },
  'a client has its messages in another order': (story) => {
    story.send('ana', 'one');
    story.send('ana', 'two');
    story.ends('ben', { messages: story.server.messages.toReversed() });
    return story.history('ben');
  },
  'a client has another member': (story) => {
    story.ends('ben', { members: story.server.members.map((row) => ({ ...row, last_name: 'Roe' })) });
    return story.history('ben');
  },
  'a client is of another epoch': (story) => {
    story.ends('ben', { epoch: 3 });
    return story.history('ben');
  },
});

breaks('marks', {
  'what a user has read is not known': (story) => {
    story.send('ana', 'one');
    story.recorder.marked({ client: 'ben', user_id: 'ben', epoch: 1, read: 1 });
  },
  'a user has read what they never said': (story) => {
    story.send('ana', 'one');
    story.replaceMember('ben', { read: 1, delivered: 1 });
  },
  'a user has read others’ messages by sending': (story) => {
    story.send('ana', 'one');
    story.send('ben', 'two');
    story.replaceMember('ben', { read: 2, delivered: 2 });
  },
});

breaks('refused wrongly', {
  'a frame is refused for its rate, and not repeated': (story) => {
    story.refused('ana', { type: 'send', text: 'one', reply_to: null }, 'rate_limited');
  },
  'a message of one’s own is not yours': (story) => {
    story.send('ana', 'one');
    story.refused('ana', { type: 'edit', n: 1, text: 'two' }, 'not_your_message');
  },
  'a message that is there is deleted': (story) => {
    story.send('ana', 'one');
    story.refused('ana', { type: 'edit', n: 1, text: 'two' }, 'message_deleted');
  },
  'the repeat of an edit that has taken place is refused, since the message was deleted meanwhile': (story) => {
    story.send('ana', 'one');
    const edit = story.does('ana', { type: 'edit', n: 1, text: 'two' }, 'unanswered');
    story.does('ana', { type: 'delete', n: 1 });
    story.recorder.answered(edit, { type: 'refused', code: 'message_deleted' });
  },
  'a message is deleted twice, which is allowed': (story) => {
    story.send('ana', 'one');
    story.does('ana', { type: 'delete', n: 1 });
    story.refused('ana', { type: 'delete', n: 1 }, 'message_deleted');
  },
  'a message without a reply_to has an unknown one': (story) => {
    story.refused('ana', { type: 'send', text: 'one', reply_to: null }, 'unknown_reply_to');
  },
  'a message is no such message': (story) => {
    story.refused('ana', { type: 'send', text: 'one', reply_to: null }, 'no_such_message');
  },
  'twenty emoji are too many': (story) => {
    story.send('ana', 'one');
    for (const emoji of emojis(19))
      story.refused('ben', { type: 'react', n: 1, emoji, on: true }, 'too_many_reactions');
  },
  'a good text is invalid': (story) => {
    story.refused('ana', { type: 'send', text: '😀'.repeat(4000), reply_to: null }, 'invalid_text');
  },
});

breaks('unanswered', {
  'an operation has no outcome': (story) => {
    story.send('ana', 'one', { answer: 'unanswered' });
  },
});

breaks('unread', {
  'an inbox lacks the newest message': (story) => {
    story.send('ana', 'one');
    story.send('ana', 'two');
    const last = { n: 1, sender_id: 'ana', text: 'one', created_at: 1001 };
    story.inbox('ben', { n: 1, unread: 2, last });
  },
  'an inbox counts one too few': (story) => {
    story.send('ana', 'one');
    story.send('ana', 'two');
    story.inbox('ben', { unread: 1 });
  },
  'an inbox counts one’s own': (story) => {
    story.send('ana', 'one');
    story.send('ben', 'two');
    story.inbox('ben', { unread: 2 });
  },
  'an inbox counts what was deleted': (story) => {
    story.send('ana', 'one');
    story.send('ana', 'two');
    story.does('ana', { type: 'delete', n: 1 });
    story.inbox('ben', { unread: 2 });
  },
  'an inbox counts what was read': (story) => {
    story.send('ana', 'one');
    story.marks('ben', 1);
    story.inbox('ben', { unread: 1 });
  },
  'an inbox counts without an end': (story) => {
    for (let n = 1; n <= 101; n += 1) story.send('ana', `text ${n}`);
    story.inbox('ben', { unread: 101 });
  },
  'an inbox has another read mark': (story) => {
    story.send('ana', 'one');
    story.inbox('ben', { unread: 1, read: 1 });
  },
  'an inbox has the last message as it was before it was edited': (story) => {
    story.send('ana', 'one');
    story.does('ana', { type: 'edit', n: 1, text: 'two' });
    story.inbox('ben', { unread: 1, last: { n: 1, sender_id: 'ana', text: 'one', created_at: 1001 } });
  },
  'an inbox has the last message of another sender': (story) => {
    story.send('ana', 'one');
    story.inbox('ben', { unread: 1, last: { n: 1, sender_id: 'ben', text: 'one', created_at: 1001 } });
  },
  'an inbox shows what was deleted': (story) => {
    story.send('ana', 'one');
    story.does('ana', { type: 'delete', n: 1 });
    story.inbox('ben', { unread: 0, last: { n: 1, sender_id: 'ana', text: 'one', created_at: 1001 } });
  },
  'an inbox lacks the conversation': (story) => {
    story.send('ana', 'one');
    story.inbox('ben', null);
  },
  'an inbox has a conversation that its user has left': (story) => {
    story.send('ana', 'one');
    story.replaceMember('ben', { left_at: 1002 });
    story.inbox('ben', { unread: 1 }, { total: { messages: 0, conversations: 0 } });
  },
  'an inbox has a conversation without messages': (story) => {
    story.inbox('ben', { unread: 0 });
  },
  'what was left is in the total': (story) => {
    story.send('ana', 'one');
    story.replaceMember('ben', { left_at: 1002 });
    story.inbox('ben', null, { total: { messages: 1 } });
  },
  'what is muted is in the total': (story) => {
    story.send('ana', 'one');
    story.inbox('ben', { unread: 1, muted_until: 9e12 });
  },
  'what is archived is in the total': (story) => {
    story.send('ana', 'one');
    story.inbox('ben', { unread: 1, archived: true });
  },
  'what is unread is not in the total': (story) => {
    story.send('ana', 'one');
    story.inbox('ben', { unread: 1 }, { total: { messages: 0 } });
  },
  'a conversation that was marked unread is not in the total': (story) => {
    story.send('ben', 'one');
    story.inbox('ben', { unread: 0, marked_unread: true });
  },
  'a badge is gone on one device, and not on the other': (story) => {
    story.send('ana', 'one');
    story.marks('ben', 1);
    story.inbox('ben', { unread: 0 });
    story.inbox('ben', { unread: 1, read: 0 }, { by: 'ben elsewhere' });
  },
  'a conversation is pinned on one device, and not on the other': (story) => {
    story.send('ana', 'one');
    story.inbox('ben', { unread: 1, pinned: true });
    story.inbox('ben', { unread: 1 }, { by: 'ben elsewhere' });
  },
});

keeps({
  'inboxes that say what the log says': (story) => {
    story.send('ana', 'one');
    story.send('ben', 'two');
    story.marks('ana', 2);
    story.send('ana', 'three');
    story.send('ana', 'four');
    story.does('ana', { type: 'delete', n: 4 });
    for (const by of ['ben in the inbox', 'ben elsewhere']) story.inbox('ben', { unread: 2 }, { by });
    story.inbox('ana', { unread: 0 });
  },
  'an inbox that counts to its end': (story) => {
    for (let n = 1; n <= 101; n += 1) story.send('ana', `text ${n}`);
    story.inbox('ben', { unread: 100 });
  },
  'an inbox with the beginning of a long message': (story) => {
    story.send('ana', '👍'.repeat(300));
    story.inbox('ben', {
      unread: 1,
      last: { n: 1, sender_id: 'ana', text: '👍'.repeat(200), created_at: 1001 },
    });
  },
  'what is muted or archived, and not in the total': (story) => {
    story.send('ana', 'one');
    const total = { messages: 0, conversations: 0 };
    story.inbox('ben', { unread: 1, muted_until: 9e12, archived: true }, { total });
    story.inbox('ana', { unread: 0, marked_unread: true, archived: true });
  },
  'what was read and marked unread, and is in the total': (story) => {
    story.send('ben', 'one');
    story.inbox('ben', { unread: 0, marked_unread: true }, { total: { conversations: 1 } });
  },
  'an inbox without what its user has left': (story) => {
    story.send('ana', 'one');
    story.replaceMember('ben', { left_at: 1002 });
    story.inbox('ben', null);
  },
  'inboxes without a conversation in which nobody has written': (story) => {
    story.inbox('ana', null);
    story.inbox('ben', null);
  },
  'nothing happens': () => {},
  'all that a conversation is made of': (story) => {
    story.send('ana', 'one');
    story.send('ben', 'two', { reply_to: 1 });
    story.send('ben-plain', 'three');
    story.send('ben-plain', 'four');
    story.does('ana', { type: 'edit', n: 1, text: 'one and a half' });
    story.does('ben', { type: 'react', n: 1, emoji: '❤️', on: true });
    story.does('ana', { type: 'react', n: 2, emoji: '👍', on: true });
    story.marks('ana', 3);
    story.does('ana', { type: 'react', n: 2, emoji: '👍', on: false });
    story.does('ben', { type: 'delete', n: 2 });
    story.does('ben', { type: 'edit', n: 3, text: 'three and a half' });
    story.does('ben', { type: 'delete', n: 4 });
    story.marks('ben', 4);
    story.send('ben', 'five');
  },
  'an emoji comes back in another spelling': (story) => {
    story.send('ana', 'one');
    story.does('ben', { type: 'react', n: 1, emoji: '❤️', on: true });
    const react = story.asks('ben', { type: 'react', n: 1, emoji: '❤', on: true });
    story.repeated(react, 1, 5);
  },
  'a client was away, for more than it is told one by one': (story) => {
    for (const text of ['one', 'two', 'three']) story.send('ana', text);
    story.away('ben');
    for (const text of ['four', 'five', 'six', 'seven']) story.send('ana', text);
    story.shows('ben', { messages: story.server.messages.slice(5) });
    story.shows('ben', { messages: story.server.messages.slice(4) });
  },
  'a client loads older messages': (story) => {
    story.away('ben');
    for (const text of ['one', 'two', 'three', 'four']) story.send('ana', text);
    for (const first of [2, 1, 0]) story.shows('ben', { messages: story.server.messages.slice(first) });
  },
  'an operation is repeated and answered as it was': (story) => {
    const send = story.send('ana', 'one', { answer: 'unanswered' });
    story.send('ben', 'two');
    story.repeated(send, 1, 3);
    const edit = story.does('ana', { type: 'edit', n: 1, text: 'three' }, 'unanswered');
    story.does('ana', { type: 'edit', n: 1, text: 'four' });
    story.repeated(edit, 1, 6);
  },
  'a ref is used again, by another client': (story) => {
    const first = story.send('ana', 'one');
    story.send('ana', 'two');
    const again = story.asks('ana', first.change, first.ref ?? '');
    story.repeated(again, 1, 3);
  },
  'clients are destroyed, and what they asked for took place or did not': (story) => {
    story.send('ana', 'one', { answer: 'abandoned' });
    story.asks('ana', { type: 'send', text: 'two', reply_to: null }).abandoned = true;
    story.does('ana', { type: 'edit', n: 1, text: 'three' }, 'abandoned');
    story.asks('ana', { type: 'delete', n: 1 }).abandoned = true;
  },
  'a plain message is lost': (story) => {
    story.asks('ben-plain', { type: 'send', text: 'one', reply_to: null });
    story.send('ben-plain', 'two');
  },
  'a restore takes back what is newer than its rev': (story) => {
    story.send('ana', 'one');
    const before = story.server;
    story.send('ana', 'two');
    story.send('ben-plain', 'three');
    story.does('ana', { type: 'edit', n: 1, text: 'four' });
    story.does('ben', { type: 'react', n: 1, emoji: '👍', on: true });
    story.restore(before);
    story.send('ben', 'five');
    story.marks('ben', 2);
  },
  'what a restore took back is retried, and has another place': (story) => {
    const before = story.server;
    const operation = story.send('ana', 'one', { answer: 'unanswered' });
    story.send('ben', 'two');
    story.restore(before);
    story.send('ben', 'three');
    story.takesPlace(operation);
  },
  'a restore takes back what another kept': (story) => {
    const first = story.server;
    story.send('ana', 'one');
    const second = story.server;
    story.send('ana', 'two');
    story.restore(second);
    story.send('ana', 'three');
    story.restore(first);
    story.send('ben', 'four');
  },
  'marks that a restore took back': (story) => {
    story.send('ana', 'one');
    const before = story.server;
    story.marks('ben', 1);
    story.restore(before);
  },
  'marks of a client that is no more': (story) => {
    story.send('ana', 'one');
    story.marks('ben', 1);
    const history = story.history();
    return { ...history, finals: history.finals.filter(({ client }) => client !== 'ben') };
  },
  'a user marks more than there is': (story) => {
    story.send('ana', 'one');
    story.recorder.marked({ client: 'ben', user_id: 'ben', epoch: 1, read: 9 });
    story.replaceMember('ben', { read: 1, delivered: 1 });
  },
  'refusals for good reasons': (story) => {
    story.send('ana', 'one');
    story.refused('ben', { type: 'edit', n: 1, text: 'two' }, 'not_your_message');
    story.refused('ben', { type: 'delete', n: 1 }, 'not_your_message');
    story.refused('ben', { type: 'edit', n: 7, text: 'three' }, 'no_such_message');
    story.refused('ben', { type: 'send', text: 'four', reply_to: 7 }, 'unknown_reply_to');
    story.refused('ben', { type: 'send', text: ' ', reply_to: null }, 'invalid_text');
    story.refused('ben', { type: 'send', text: '\ud83d', reply_to: null }, 'invalid_text');
    story.refused('ben', { type: 'send', text: 'x'.repeat(4001), reply_to: null }, 'invalid_text');
    for (const emoji of emojis(21))
      story.refused('ben', { type: 'react', n: 1, emoji, on: true }, 'too_many_reactions');
    story.does('ana', { type: 'delete', n: 1 });
    story.refused('ana', { type: 'edit', n: 1, text: 'five' }, 'message_deleted');
    story.refused('ben', { type: 'react', n: 1, emoji: '👍', on: true }, 'message_deleted');
  },
});

test('many violations of a rule are counted', () => {
  const story = new Story();
  for (let i = 1; i <= 25; i += 1) story.asks('ana', { type: 'send', text: `text ${i}`, reply_to: null });
  const details = detailsOf(story.history());
  expect(details).toHaveLength(21);
  expect(details[0]).toBe('ana: send "text 1", ref ref-1 was never answered');
  expect(details[20]).toBe('… and 5 more');
});

describe('the recorder', () => {
  test('records only what is new, and nothing of presence', () => {
    const story = new Story();
    story.away('ben');
    story.send('ana', 'one');
    story.send('ana', 'two');
    story.look();
    story.does('ana', { type: 'edit', n: 1, text: 'three' });
    story.shows('ana', { messages: story.server.messages.map((row) => ({ ...row })) });
    const { sightings } = story.recorder.history(story.server);
    expect(sightings.map(({ messages, range }) => [messages.map(({ text }) => text), range])).toEqual([
      [['one'], [1, 1]],
      [['two'], [1, 2]],
      [['three'], [1, 2]],
    ]);
    expect(sightings.map(({ members }) => members.map(({ user_id, read }) => [user_id, read]))).toEqual([
      [
        ['ana', 1],
        ['ben', 0],
      ],
      [['ana', 2]],
      [],
    ]);
    expect(Object.keys(sightings[0]?.members[0] ?? {})).not.toContain('typing');
  });

  test('records a row that comes back, a gap, and everything anew in another epoch', () => {
    const story = new Story();
    story.away('ana', 'ben');
    for (const text of ['one', 'two', 'three']) story.send('ana', text);
    story.shows('ben');
    const { messages } = story.server;
    story.does('ana', { type: 'edit', n: 2, text: 'four' });
    story.shows('ben');
    story.shows('ben', { messages });
    story.shows('ben', { messages: messages.filter(({ n }) => n !== 2) });
    story.shows('ben', { epoch: 2 });
    const { sightings } = story.recorder.history(story.server);
    expect(sightings.map((it) => [it.epoch, it.messages.map(({ text }) => text), it.range, it.gap])).toEqual([
      [1, ['one', 'two', 'three'], [1, 3], undefined],
      [1, ['four'], [1, 3], undefined],
      [1, ['two'], [1, 3], undefined],
      [1, [], [1, 3], 1],
      [2, ['one', 'four', 'three'], [1, 3], undefined],
    ]);
  });

  test('counts', () => {
    const story = new Story();
    story.send('ana', 'one');
    story.send('ben-plain', 'two');
    story.send('ana', 'three', { answer: 'abandoned' });
    story.send('ana', 'four', { answer: 'unanswered' });
    story.refused('ben', { type: 'delete', n: 1 }, 'not_your_message');
    expect(story.recorder.counts()).toEqual({
      operations: {
        send: { acknowledged: 1, plain: 1, abandoned: 1, unanswered: 1 },
        delete: { not_your_message: 1 },
      },
      sightings: 8,
      rows: 12,
      restores: 0,
    });
  });
});

function emojis(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String.fromCodePoint(0x1f600 + index));
}

function withoutMembersSeen(history: History): History {
  return { ...history, sightings: history.sightings.map((sighting) => ({ ...sighting, members: [] })) };
}
