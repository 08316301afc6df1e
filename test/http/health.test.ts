import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Conversation } from '../../src/worker.ts';
import { api } from '../helpers/api.ts';
import { breakD1 } from '../helpers/faults.ts';
import { dumpTables } from '../helpers/tables.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

describe('GET /api/health/', () => {
  it('answers 200 when both parts work, to anyone', async () => {
    const { status, body } = await api('/api/health/');
    expect(status).toBe(200);
    expect(body).toEqual({ status: 'ok', d1: 'ok', durable_objects: 'ok' });
  });

  it('makes a query to D1 and a call to a Durable Object', async () => {
    const query = vi.spyOn(env.DB, 'prepare');
    const ping = vi.spyOn(Conversation.prototype, 'ping');
    await api('/api/health/');
    expect(query).toHaveBeenCalledTimes(1);
    expect(ping).toHaveBeenCalledTimes(1);
  });

  it('answers 503 when D1 fails, and says that it is D1', async () => {
    breakD1();
    const { status, body } = await api('/api/health/');
    expect(status).toBe(503);
    expect(body).toEqual({ status: 'failing', d1: 'failing', durable_objects: 'ok' });
  });

  it('answers 503 when Durable Objects fail, and says that it is they', async () => {
    vi.spyOn(Conversation.prototype, 'ping').mockImplementation(() => {
      throw new Error('The object is broken.');
    });
    const { status, body } = await api('/api/health/');
    expect(status).toBe(503);
    expect(body).toEqual({ status: 'failing', d1: 'ok', durable_objects: 'failing' });
  });

  it('logs which part failed and why', async () => {
    const error = vi.spyOn(console, 'error');
    breakD1();
    await api('/api/health/');
    expect(error).toHaveBeenCalledTimes(1);
    expect(JSON.parse(error.mock.calls[0]?.[0])).toMatchObject({ event: 'health_check_failed', part: 'd1' });
  });

  it('stores nothing', async () => {
    const before = await dumpTables();
    await api('/api/health/');
    expect(await dumpTables()).toEqual(before);
  });
});
