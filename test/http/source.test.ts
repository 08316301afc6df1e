import { describe, expect, it } from 'vitest';
import { Hono, type Context } from 'hono';
import type { AppEnv } from '../../src/http/app-env.ts';
import { addressOf, networkOf, sourceOf } from '../../src/http/source.ts';
import { USER_AGENT_MAX_LENGTH } from '../../src/config.ts';

describe('what counts as one', () => {
  it.each(['203.0.113.7', '0.0.0.0', '255.255.255.255'])('is an address of IPv4: %s', (address) => {
    expect(networkOf(address)).toBe(address);
  });

  it.each([
    ['in full', '2001:0db8:0001:0002:0003:0004:0005:0006', '2001:db8:1:2::/64'],
    ['without leading zeros', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['in upper case', '2001:DB8:1:2::ABCD', '2001:db8:1:2::/64'],
    ['with its end left out', '2001:db8:1:2::', '2001:db8:1:2::/64'],
    ['with its middle left out', '2001:db8::6', '2001:db8:0:0::/64'],
    ['with zeros written out', '2001:db8:0:0:0:0:0:6', '2001:db8:0:0::/64'],
    ['with one group of zeros left out', '2001:db8:1:2:3:4:5::', '2001:db8:1:2::/64'],
    ['with zeros inside the network left out', '2001::2:3:4:5:6', '2001:0:0:2::/64'],
    ['with its last groups as IPv4', '2001:db8:1:2::192.0.2.1', '2001:db8:1:2::/64'],
    ['of this machine', '::1', '0:0:0:0::/64'],
    ['of nobody', '::', '0:0:0:0::/64'],
  ])('is a /64 of IPv6, however it is spelled: %s', (_, address, network) => {
    expect(networkOf(address)).toBe(network);
  });

  it('is not the next /64', () => {
    expect(networkOf('2001:db8:1:2:ffff:ffff:ffff:ffff')).not.toBe(networkOf('2001:db8:1:3::'));
  });

  it('is one address of IPv4 that travels as IPv6: two of them are two', () => {
    expect(networkOf('::ffff:203.0.113.7')).not.toBe(networkOf('::ffff:203.0.113.8'));
  });

  it('is the address of IPv4 itself when it travels as IPv6', () => {
    expect(networkOf('::ffff:203.0.113.7')).toBe(networkOf('203.0.113.7'));
  });

  it.each(['', 'nonsense', ':', ':::', '::::::::::', '1::2::3', 'fe80::1%eth0', '[::1]', 'x:y', '1.2.3.4:80', '\0'])(
    'is something for any text at all, and the same each time: %j',
    (text) => {
      expect(networkOf(text)).toBe(networkOf(text));
    },
  );

  it('keeps texts that are no address apart', () => {
    const texts = ['nonsense', 'x:y', 'fe80::1%eth0', '1.2.3.4:80'];
    expect(new Set(texts.map(networkOf)).size).toBe(texts.length);
  });
});

/** What a function makes of a request with such headers. */
async function seen<T>(headers: Record<string, string>, look: (c: Context<AppEnv>) => T): Promise<T | undefined> {
  let result: T | undefined;
  const app = new Hono<AppEnv>().get('/', (c) => {
    c.set('requestId', 'the-request');
    result = look(c);
    return c.body(null, 204);
  });
  await app.request('/', { headers });
  return result;
}

describe('the address of a request', () => {
  it('is the one that Cloudflare names', async () => {
    expect(await seen({ 'CF-Connecting-IP': '203.0.113.7' }, addressOf)).toBe('203.0.113.7');
  });

  it('is unknown without it: what the client says of itself is never read', async () => {
    const claims = {
      'X-Forwarded-For': '203.0.113.7',
      'X-Real-IP': '203.0.113.7',
      Forwarded: 'for=203.0.113.7',
      'True-Client-IP': '203.0.113.7',
      'CF-Connecting-IPv6': '2001:db8::1',
    };
    expect(await seen(claims, addressOf)).toBeUndefined();
    expect(await seen({ ...claims, 'CF-Connecting-IP': '198.51.100.1' }, addressOf)).toBe('198.51.100.1');
  });
});

describe('where a request came from', () => {
  it('is its id, its address and what the client calls itself', async () => {
    expect(await seen({ 'CF-Connecting-IP': '203.0.113.7', 'User-Agent': 'a phone' }, sourceOf)).toEqual({
      request_id: 'the-request',
      address: '203.0.113.7',
      user_agent: 'a phone',
    });
  });

  it('may be unknown', async () => {
    expect(await seen({}, sourceOf)).toEqual({ request_id: 'the-request', address: null, user_agent: null });
  });

  it('is cut off where a client calls itself too much', async () => {
    const source = await seen({ 'User-Agent': 'x'.repeat(10_000) }, sourceOf);
    expect(source?.user_agent).toBe('x'.repeat(USER_AGENT_MAX_LENGTH));
  });
});
