/** SIGINT, SIGTERM and SIGHUP: the first asks a run to stop at its next safe point. */
import { interruptedBy } from '../errors.ts';
import { isHangUpIgnored } from '../python/hang-up.ts';

/** npm passes Ctrl-C on to a program that the terminal has told already: twice so soon is once. */
const echoMilliseconds = 200;

/** Hears signals until it is released; `signal.reason` is an `InterruptedError` with the exit code 128 + number. */
export function listenForStop(say: (line: string) => void, env: NodeJS.ProcessEnv) {
  const controller = new AbortController();
  let canEnd = false;
  const onSignal = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) {
      // A closing terminal hangs up more than once, and nobody can have meant "at once" by it.
      if (canEnd && name !== 'SIGHUP') process.exit(interruptedBy(name).exitCode); // the worker dies with us
      return;
    }
    controller.abort(interruptedBy(name));
    setTimeout(
      () => {
        canEnd = true;
        say('stopping at the next safe point; once more to stop at once');
      },
      env.npm_command === undefined ? 0 : echoMilliseconds,
    ).unref();
  };
  const names: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const onHangUp = isHangUpIgnored(env) ? () => {} : onSignal;
  for (const name of names) process.on(name, name === 'SIGHUP' ? onHangUp : onSignal);
  return {
    signal: controller.signal,
    release: () => {
      for (const name of names) process.off(name, name === 'SIGHUP' ? onHangUp : onSignal);
    },
  };
}
