// When a program of ours has to stop: on the usual signals, and when npm, which started it, is gone. npm ends the shell
// between itself and the program, but that shell passes no signal on.

const POLL_MS = 500;

/** Calls `stop` once, with the exit code that the reason calls for. */
export function onStopRequested(stop: (exitCode: number) => void): void {
  let requested = false;
  const request = (exitCode: number): void => {
    if (requested) return;
    requested = true;
    stop(exitCode);
  };
  process.on('SIGINT', () => request(130));
  process.on('SIGTERM', () => request(143));
  if (process.env['npm_lifecycle_event'] === undefined) return;
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) request(143);
  }, POLL_MS).unref();
}
