import { describe, expect, it } from 'vitest';
import { isEmailAddress } from '../../src/auth/email-address.ts';

describe('the user part', () => {
  it.each(['a@b.co', "o'brien+tag@example.com", 'first.last@example.com', "!#$%&'*+/=?^_`{}|~-@example.com"])(
    'is ASCII letters, digits and most punctuation: %s',
    (address) => expect(isEmailAddress(address)).toBe(true),
  );

  it.each(['@x.com', 'a b@x.com', 'a..b@x.com', '.a@x.com', 'a.@x.com', 'a@@x.com', 'jöhn@example.com', 'ſ@x.com'])(
    'has no other characters, and no empty piece between dots: %s',
    (address) => expect(isEmailAddress(address)).toBe(false),
  );

  it.each(['"quoted"@x.com', '"a@b"@x.com', '"two..dots"@x.com', '"escaped\\ blank"@x.com', '"\\""@x.com', '""@x.com'])(
    'may be quoted, with blanks and quotes escaped: %s',
    (address) => expect(isEmailAddress(address)).toBe(true),
  );

  it.each(['"q q"@x.com', '"open@x.com', '"a"b"@x.com', '"end\\"@x.com', '"line\nbreak"@x.com', 'a"b"@x.com'])(
    'is refused when badly quoted: %j',
    (address) => expect(isEmailAddress(address)).toBe(false),
  );
});

describe('the domain', () => {
  it.each(['a@x.com', 'a@sub.domain.example.museum', 'a@1.2.3.com', 'a@x-y.com', 'a@x.xn--p1ai', 'a@X.COM'])(
    'is labels of letters, digits and hyphens: %s',
    (address) => expect(isEmailAddress(address)).toBe(true),
  );

  it.each(['a@b', 'a@host', 'a', '', 'a@', 'a@.com', 'a@x..com', 'a@x.com.', 'a@x_y.com', 'a@x y.com', 'a@x.com\n'])(
    'has two labels or more, none of them empty or with other characters: %j',
    (address) => expect(isEmailAddress(address)).toBe(false),
  );

  it.each(['a@-x.com', 'a@x-.com', 'a@x.-com', 'a@x.com-'])('has no label with a hyphen at an end: %s', (address) =>
    expect(isEmailAddress(address)).toBe(false),
  );

  it.each(['a@b.c', 'a@x.c0m', 'a@x.123', 'a@127.0.0.1'])(
    'ends in a label of at least two letters and no digits: %s',
    (address) => expect(isEmailAddress(address)).toBe(false),
  );

  it('has labels of at most 63 characters', () => {
    expect(isEmailAddress(`a@${'x'.repeat(63)}.com`)).toBe(true);
    expect(isEmailAddress(`a@${'x'.repeat(64)}.com`)).toBe(false);
    expect(isEmailAddress(`a@x.${'c'.repeat(63)}`)).toBe(true);
    expect(isEmailAddress(`a@x.${'c'.repeat(64)}`)).toBe(false);
  });

  it('may be localhost, in lower case', () => {
    expect(isEmailAddress('a@localhost')).toBe(true);
    expect(isEmailAddress('a@LOCALHOST')).toBe(false);
  });

  it.each(['x@exämple.com', 'x@例え.テスト', 'x@почта.рф', 'x@☃.net'])('may be in any script: %s', (address) =>
    expect(isEmailAddress(address)).toBe(true),
  );

  it('has labels of at most 63 characters in punycode too', () => {
    expect(isEmailAddress(`x@${'ä'.repeat(50)}.com`)).toBe(true);
    expect(isEmailAddress(`x@${'ä'.repeat(63)}.com`)).toBe(false);
  });

  it.each([
    ['an ideographic space', 'x@a\u3000b.com'],
    ['a line separator', 'x@a\u2028b.com'],
    ['a full-width slash', 'x@a／b.com'],
    ['a full-width at sign', 'x@a＠b.com'],
    ['a full-width colon and a port', 'x@a.com：８０.com'],
    ['a full-width IP address', 'x@１２７.０.０.１'],
    ['nothing but a soft hyphen in a label', 'x@\u00ad.com'],
    ['a lone surrogate', 'x@\ud800.com'],
  ])('is refused when it is no host name: %s', (_, address) => expect(isEmailAddress(address)).toBe(false));

  it.each(['/path.com', '?query.com', '#fragment.com', ':80.com', '%2e.com', '\\x.com'])(
    'is not read as a URL: a@x.com%s',
    (tail) => expect(isEmailAddress(`a@x.com${tail}`)).toBe(false),
  );
});

describe('an IP address in place of the domain', () => {
  it.each(['a@[127.0.0.1]', 'a@[255.255.255.255]', 'a@[::1]', 'a@[2001:DB8::ff00:42:8329]', 'a@[::ffff:192.0.2.1]'])(
    'is accepted in brackets: %s',
    (address) => expect(isEmailAddress(address)).toBe(true),
  );

  it.each([
    'a@[127.0.0.256]',
    'a@[127.0.0]',
    'a@[127.0.0.01]',
    'a@[0x7f.0.0.1]',
    'a@[abc.def]',
    'a@[1:2:3]',
    'a@[1::2::3]',
    'a@[12345::]',
    'a@[::1',
    'a@[]',
    'a@[fe80::1%25eth0]',
    'a@[::1]:80',
    'a@[127.0.0.1].com',
  ])('is refused when it is none: %s', (address) => expect(isEmailAddress(address)).toBe(false));
});

describe('hostile input', () => {
  it('has at most 320 characters', () => {
    const domain = `@${'x'.repeat(63)}.com`;
    expect(isEmailAddress('a'.repeat(320 - domain.length) + domain)).toBe(true);
    expect(isEmailAddress('a'.repeat(321 - domain.length) + domain)).toBe(false);
  });

  it.each([
    ['one long word', 'a'.repeat(318)],
    ['dots', 'a.'.repeat(159)],
    ['escapes', `"${'\\\\'.repeat(158)}`],
    ['labels', `a@${'a.'.repeat(158)}`],
    ['hyphens', `a@a${'-'.repeat(317)}`],
    ['at signs', '@'.repeat(320)],
    ['colons', `a@[${':'.repeat(316)}]`],
    ['a megabyte', `${'a.'.repeat(500_000)}@`],
    ['a megabyte of astral characters', `a@${'😀'.repeat(250_000)}.com`],
  ])('is refused without searching: %s', (_, address) => expect(isEmailAddress(address)).toBe(false));
});
