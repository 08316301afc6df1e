import { runInDurableObject } from 'cloudflare:test';
import { expect, test, vi } from 'vitest';
import { Alarm } from '../../src/objects/alarm.ts';
import { inboxOf } from '../helpers/inbox.ts';

/** Runs `work` on an alarm of a new object, and its storage. */
async function onAlarm(work: (alarm: Alarm, storage: DurableObjectStorage) => Promise<void>): Promise<void> {
  await runInDurableObject(inboxOf(crypto.randomUUID()), async (_, { storage }) => {
    await work(new Alarm(storage), storage);
    await storage.deleteAlarm();
  });
}

const LATER = Date.now() + 24 * 60 * 60_000;

test('an alarm is set for the earliest time that it was set for', async () => {
  await onAlarm(async (alarm, storage) => {
    for (const time of [LATER + 5, LATER + 9, LATER + 3, LATER + 4, Infinity]) await alarm.set(time);
    expect(await storage.getAlarm()).toBe(LATER + 3);
  });
});

test('an alarm that nothing is due for is not set', async () => {
  await onAlarm(async (alarm, storage) => {
    await alarm.set(Infinity);
    expect(await storage.getAlarm()).toBeNull();
  });
});

test('an alarm that has gone off is set for any time again', async () => {
  await onAlarm(async (alarm, storage) => {
    await alarm.set(LATER);
    alarm.fired();
    await alarm.set(LATER + 5);
    expect(await storage.getAlarm()).toBe(LATER + 5);
  });
});

test('an alarm that is set already is not written again: each time is billed', async () => {
  await onAlarm(async (alarm, storage) => {
    const write = vi.spyOn(storage, 'setAlarm');
    for (const time of [LATER, LATER, LATER + 1]) await alarm.set(time);
    expect(write).toHaveBeenCalledTimes(1);
  });
});

test('an alarm that could not be set is not taken for set', async () => {
  await onAlarm(async (alarm, storage) => {
    vi.spyOn(storage, 'setAlarm').mockRejectedValueOnce(new Error('The disk is full.'));
    await expect(alarm.set(LATER)).rejects.toThrow('The disk is full.');
    await alarm.set(LATER + 5);
    expect(await storage.getAlarm()).toBe(LATER + 5);
  });
});

test('an alarm that could not be set for one time stays set for the earlier one that was set meanwhile', async () => {
  await onAlarm(async (alarm, storage) => {
    const write = vi.spyOn(storage, 'setAlarm').mockRejectedValueOnce(new Error('The disk is full.'));
    const failing = alarm.set(LATER + 5);
    await alarm.set(LATER);
    await expect(failing).rejects.toThrow('The disk is full.');
    await alarm.set(LATER + 3);
    expect(await storage.getAlarm()).toBe(LATER);
    expect(write).toHaveBeenCalledTimes(2);
  });
});
