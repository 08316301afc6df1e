import { run, startServer, TEST_JWT_SECRET, type Server as RunningServer } from '../../helpers/node/wrangler-dev.ts';

/** The server under test, and what tests may know of it that clients may not. */
export type Server = {
  readonly url: string;
  /** The key that it signs tokens with. */
  readonly secret: string;
  /** Makes an account inactive, which no endpoint can. */
  deactivate(email: string): Promise<void>;
  stop(): Promise<void>;
};

/** Starts a server with an empty database. */
export async function serve(): Promise<Server> {
  const server = await startServer();
  return {
    url: server.url,
    secret: TEST_JWT_SECRET,
    deactivate: (email) => deactivate(server, email),
    stop: () => server.stop(),
  };
}

async function deactivate({ project, persistTo }: RunningServer, email: string): Promise<void> {
  const wrangler = ['node_modules/wrangler/bin/wrangler.js', 'd1', 'execute', 'DB', '--local'];
  const statement = `UPDATE users SET is_active = 0 WHERE email = '${email}' RETURNING email`;
  const update = run(process.execPath, [...wrangler, '--persist-to', persistTo, '--json', '--command', statement], {
    folder: project,
  });
  const code = await update.exited;
  if (code !== 0 || !update.output().includes(`"email": "${email}"`)) {
    throw new Error(`${email} was not deactivated: ${update.output()}`);
  }
}
