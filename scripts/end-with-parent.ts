// Loaded (`node --import`) into the processes that scripts/start.ts starts: each ends when the one that started it is
// gone, even if that one was killed and could not say so.
if (process.channel) {
  let ownEnd = false;
  const disconnect = process.disconnect?.bind(process);
  // wrangler's launcher closes its channel itself when wrangler ends, and has its exit code still to pass on.
  process.disconnect = () => {
    ownEnd = true;
    disconnect?.();
  };
  process.on('disconnect', () => {
    if (!ownEnd) process.kill(process.pid, 'SIGTERM');
  });
  // Listening must not keep a process alive that is done.
  process.channel.unref();
}
