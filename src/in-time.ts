/** Gives up on a call that hangs. @throws Error with `message` after so many milliseconds */
export async function inTime<Result>(call: Promise<Result>, milliseconds: number, message: string): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), milliseconds);
  });
  return Promise.race([call, timeout]).finally(() => clearTimeout(timer));
}

/** Does `work` with each, so many at a time. */
export async function inLanes<Item>(
  items: readonly Item[],
  lanes: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const takeTurns = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) await work(next);
  };
  await Promise.all(Array.from({ length: Math.min(lanes, items.length) }, takeTurns));
}
