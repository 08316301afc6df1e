/**
 * Variables of a server that is tried: as much may be said as there is time for, and who was away for some seconds gets
 * what changed row by row, who was away for longer a snapshot.
 */
export const DELIVERY_VARS = {
  RATE_BURST: '100000',
  RATE_PER_SECOND: '10000',
  RESUME_ROWS: '200',
  // A server that was cut off learns late that a socket is gone.
  SOCKETS_PER_USER: '100',
} as const;
