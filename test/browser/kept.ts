// What the client keeps in IndexedDB, read and written without the client.

/** Everything that is kept, by key. */
export async function allKept(): Promise<Record<string, unknown>> {
  const store = await openStore('readonly');
  const [keys, values] = await Promise.all([done(store.getAllKeys()), done(store.getAll())]);
  return Object.fromEntries((keys as string[]).map((key, index) => [key, values[index] as unknown]));
}

/** Keeps a value. */
export async function keep(key: string, value: unknown): Promise<void> {
  const store = await openStore('readwrite');
  await done(store.put(value, key));
}

async function openStore(mode: IDBTransactionMode): Promise<IDBObjectStore> {
  const database = await done(indexedDB.open('edge-chat'));
  const transaction = database.transaction('values', mode);
  // It closes once the transaction is done.
  database.close();
  return transaction.objectStore('values');
}

function done<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result));
    request.addEventListener('error', () => reject(request.error ?? new Error('IndexedDB failed.')));
  });
}
