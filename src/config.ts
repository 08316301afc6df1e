/**
 * Every limit and lifetime, with its unit and its reason. What may differ between deployments is in `settings.ts`.
 */

// Tokens and sessions

/** Seconds. Each request looks its session up; an open socket is closed when its token expires. */
export const ACCESS_TOKEN_LIFETIME_S = 30 * 60;
/** Seconds without a refresh after which a session is over. */
export const REFRESH_TOKEN_LIFETIME_S = 24 * 60 * 60;
/** Seconds from login to the end of a session, however often it is refreshed (OWASP ASVS 5.0, 7.3.2). */
export const SESSION_LIFETIME_S = 30 * 24 * 60 * 60;
/** Seconds in which a second use of the newest refresh token is a lost answer or a second tab, not a theft. */
export const REFRESH_REUSE_GRACE_S = 10;
/** Seconds by which a token may come from the future: the clocks of two machines. Expiry has no such tolerance. */
export const ISSUED_AT_TOLERANCE_S = 10;
/** Bytes. HS256 wants a key no shorter than its hash (RFC 7518, 3.2). */
export const JWT_SECRET_MIN_BYTES = 32;
/** Rows that have expired and that one statement deletes: a backlog must not time out. */
export const EXPIRED_ROWS_PER_PORTION = 1000;
/** Portions that one run takes, of expired rows as of notices: it must end before the next one starts. */
export const PORTIONS_PER_RUN = 20;
/** Live sessions of one user: more than anybody has devices. A further login ends the one that was used longest ago. */
export const SESSIONS_PER_USER = 100;
/** Characters of `User-Agent` kept with a session or an event, enough to tell devices apart. */
export const USER_AGENT_MAX_LENGTH = 200;

// Requests

/** Bytes of a request body. Far more than any form needs, far less than hurts to parse. */
export const BODY_MAX_BYTES = 64 * 1024;
/** Code points of a first or last name: the original's limit. */
export const NAME_MAX_LENGTH = 100;
/** Code points of an e-mail address: the original's limit. */
export const EMAIL_MAX_LENGTH = 200;
/** Code points of what a search for users looks for: a whole name. That is longer than any e-mail address. */
export const SEARCH_MAX_LENGTH = 2 * NAME_MAX_LENGTH + 1;
/** Rows of one page of a list: a screenful or two, and a bounded answer. */
export const PAGE_SIZE = 100;

// Sockets and messages

/** Bytes of one frame from a client: MESSAGE_MAX_LENGTH characters, each escaped as `\uXXXX\uXXXX`, must fit. */
export const FRAME_MAX_BYTES = 64 * 1024;
/** Code points of a message: about a page of text. Longer ones are documents. */
export const MESSAGE_MAX_LENGTH = 4000;
/** Code points of a client's own value that an error repeats: enough to recognise it. */
export const ERROR_ECHO_MAX_LENGTH = 100;

/** Code points of a client's own id for an operation: a UUID and more. */
export const REF_MAX_LENGTH = 64;
/** Different emoji on one message: more do not fit under it. */
export const REACTION_KINDS_MAX = 20;
/** Reactions on one message, of all members: they travel with the message, which must stay small. */
export const REACTIONS_MAX = 500;
/** Bytes of the rows in one frame or answer, about: a second on a slow line. One row passes whatever its size. */
export const PAGE_MAX_BYTES = 256 * 1024;
/** Rows in one `changes`: its reader asks for the next, so a slow one is never buried. */
export const CHANGES_MAX_ROWS = 200;
/** Places of the log that one page of the original's history looks at: deleted messages must not make it slow. */
export const HISTORY_SCAN_MAX = 1000;
/** Milliseconds between two `changes` to the same sockets: what comes closer together travels in one. */
export const CHANGES_INTERVAL_MS = 20;
/** Milliseconds after which what could not be told is tried again: a store that fails once seldom does so twice. */
export const FAN_OUT_RETRY_MS = 1000;
/** Milliseconds that a moved mark may wait for other changes to travel with. */
export const MARKS_INTERVAL_MS = 1000;
/** Milliseconds. A client says `ping` this often; the runtime answers without waking the object. */
export const PING_INTERVAL_MS = 25_000;
/** Milliseconds without a sign of life after which a socket counts as gone: three pings lost, and some time. */
export const SILENT_AFTER_MS = 90_000;
/** Milliseconds between two looks for sockets that have gone silent, while there is something else to do. */
export const PRESENCE_INTERVAL_MS = 30_000;
/** Milliseconds between two beginnings of typing by one user. */
export const TYPING_INTERVAL_MS = 3000;
/** Milliseconds after which a client that goes on says so again: longer, so that no jitter of its timers is refused. */
export const TYPING_REPEAT_MS = 4000;
/** Milliseconds for which others show that a user types, unless it is said again. */
export const TYPING_LIFETIME_MS = 6000;

// Inboxes

/** Code points of the newest message that an inbox shows: more than any list has room for. */
export const PREVIEW_MAX_LENGTH = 200;
/** Where unread messages of one conversation are counted no further: "99+" is all that anybody shows. */
export const UNREAD_MAX = 100;
/** Conversations that one user may pin: more would push everything else off the screen. */
export const PINS_MAX = 20;
/** Milliseconds between two beginnings of feeds to inboxes: what changes in between travels in one. */
export const FEED_INTERVAL_MS = 200;
/** Milliseconds after which an inbox that does not answer a feed is asked again. */
export const FEED_TIMEOUT_MS = 5000;
/** Milliseconds from a change to the alarm that sees to its feeds, should the object be gone by then. */
export const FEED_ALARM_MS = 10_000;
/** Milliseconds before a feed that failed is tried again: at first, and at most, doubling in between. */
export const FEED_RETRY_MS = { first: 1000, most: 5 * 60_000 } as const;
/** Milliseconds for which an inbox where nobody was listening is told of nobody's typing. */
export const TYPING_UNHEARD_MS = 15_000;
/** People whose presence an inbox follows: those that its user talked to last. */
export const CONTACTS_MAX = 100;
/** Inboxes told of somebody's presence at the same time. */
export const PRESENCE_CONCURRENCY = 20;
/** Milliseconds between two looks whether someone who is online has gone without a word. */
export const PRESENCE_CHECK_MS = 3 * 60_000;

// Abuse. A deployment may set those marked (*) by a variable of the same name: see `settings.ts`.

/** Tokens of one user in one conversation (*): a burst of as many short messages passes. */
export const RATE_BURST = 2000;
/** Tokens that a user regains in a second (*): faster than anyone types, and enough for a lively bot. */
export const RATE_PER_SECOND = 20;
/** Bytes of a frame that cost a token, so that long frames cost as much as the short ones that they weigh. */
export const RATE_FRAME_BYTES = 1024;
/** Tokens of a request for a page, which is much larger than the request: half a second's worth. */
export const RATE_PAGE_TOKENS = 10;
/** So many more refusals than frames that passed close a socket: its client does not listen, and each takes memory. */
export const RATE_REFUSALS_MAX = 1000;
/** Open sockets of one user in one conversation (*): the tabs and devices of one person. */
export const SOCKETS_PER_USER = 10;
/** Open sockets of one conversation (*): every message goes to each, and a thousand take about 40 ms. */
export const SOCKETS_PER_CONVERSATION = 1000;
/** Sockets of one user that were closed but whose client has not answered, beyond which they may open no more. */
export const CLOSING_SOCKETS_MAX = 100;
/** Milliseconds after which a client that found a conversation full may try again. */
export const FULL_RETRY_MS = 30_000;
/** Changed rows beyond which a cursor gets the newest page instead (*): most of them would never be looked at. */
export const RESUME_ROWS = 1000;

/** Wrong passwords for one account from one address (*) in LOGIN_PERIOD_S: a person who does not remember it well. */
export const LOGIN_ATTEMPTS = 5;
/** Seconds in which all LOGIN_ATTEMPTS come back; one of them after its share. */
export const LOGIN_PERIOD_S = 5 * 60;
/**
 * Wrong passwords for one account (*) in an hour, from all addresses where nobody has signed in to it: guessing that is
 * spread over many machines. More than one machine may try, so that none can keep the account's user out alone.
 */
export const LOGIN_ATTEMPTS_PER_HOUR = 100;
/** Seconds for which an address counts as one where an account's user signs in. */
export const KNOWN_NETWORK_LIFETIME_S = 90 * 24 * 60 * 60;
/** Accounts made from one address (*) in a day: a school behind one address, not a machine that makes accounts. */
export const REGISTRATIONS_PER_DAY = 300;
/** Conversations that one user may begin (*) in a day: more than anybody greets. */
export const CONVERSATIONS_PER_DAY = 200;
/** Mails to one address (*) in an hour, of all kinds that somebody can ask for. */
export const MAILS_PER_HOUR = 5;
/** Changes of a user's name, address, blocks or presence (*) in an hour: each is told to conversations. */
export const PROFILE_CHANGES_PER_HOUR = 60;
/** Seconds of the windows of the rate-limit bindings in wrangler.toml. */
export const ADDRESS_PERIOD_S = 60;
/** Users that somebody may have blocked. */
export const BLOCKS_MAX = 1000;

// Mail

/** Seconds for which the link of a password reset is good: time to find the mail, not to forget it. */
export const RESET_LINK_LIFETIME_S = 60 * 60;
/** Seconds for which the link that verifies an e-mail address is good. */
export const VERIFICATION_LINK_LIFETIME_S = 3 * 24 * 60 * 60;
/** Milliseconds that an HTTP mail provider may take. */
export const MAIL_TIMEOUT_MS = 10_000;
/** Mails that the mailbox of development keeps. */
export const DEV_MAILBOX_MAX = 100;

// The security log

/** Seconds for which events are kept. */
export const SECURITY_EVENT_LIFETIME_S = 90 * 24 * 60 * 60;
/** Newest events of one user that are kept of those that others can cause, so that nobody fills the log of another. */
export const FOREIGN_EVENTS_PER_USER = 500;

// Notices

/** Notices that are read at once. */
export const NOTICES_PER_PORTION = 500;
/** Conversations told at the same time by one Worker, so that a long list does not flood the account's objects. */
export const NOTICE_CONCURRENCY = 50;
/** Milliseconds after which a call that hangs is given up: those behind it must not wait. */
export const NOTICE_TIMEOUT_MS = 5000;
/** Calls to one object before a notice is left to the cron trigger. */
export const NOTICE_ATTEMPTS = 2;
/** Milliseconds between them: an object that failed once is a new one by then. */
export const NOTICE_RETRY_MS = 100;

// Operating

/** Seconds for which a key of the operator opens their routes: one command. */
export const OPERATOR_KEY_LIFETIME_S = 60;

// Passwords

/** Code points (Django's MinimumLengthValidator). */
export const PASSWORD_MIN_LENGTH = 8;
/** Code points. Longer than any passphrase, short enough to hash at once (OWASP ASVS 5.0, 6.2.9 wants at least 64). */
export const PASSWORD_MAX_LENGTH = 128;
/** Bytes of UTF-8 after normalisation. */
export const PASSWORD_MAX_BYTES = 1024;
/** argon2id: memory in KiB, passes, lanes. The largest setting of OWASP ASVS 5.0 (11.4.2) that suits a 128 MB isolate. */
export const ARGON2 = { m: 12288, t: 3, p: 1 } as const;
/** argon2id: the most that a stored hash may ask for. More was not written by us, and could exhaust the isolate. */
export const ARGON2_CEILING = { m: 65536, t: 10, p: 4 } as const;
/** Hashes that may wait for the one at work; each takes about 0.2 s of the isolate's only thread. */
export const HASHER_QUEUE_MAX = 8;
/** Milliseconds after which a waiting call that gave no sign of life counts as gone: its client hung up. */
export const HASHER_WAITING_SILENCE_MS = 1000;
