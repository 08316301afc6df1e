/** As many rows from the start as fit into both limits. The first always does, or nobody would ever see it. */
export function takeWithin<Row extends { bytes: number }>(
  rows: readonly Row[],
  limit: number,
  maxBytes: number,
): Row[] {
  let [count, bytes] = [0, 0];
  for (const row of rows.slice(0, limit)) {
    bytes += row.bytes;
    if (count > 0 && bytes > maxBytes) break;
    count += 1;
  }
  return rows.slice(0, count);
}
