/** What to do, in words of the command line, where an error speaks those of the library. */
import type { TmsError } from '../errors.ts';
import type { ErrorCode } from '../worker/protocol.ts';
import { WorkerError } from '../worker/worker-error.ts';

/** The `fix` to show for an error; null where there is none. */
export function adviceFor(error: TmsError): string | null {
  return (error instanceof WorkerError ? advice[error.code] : undefined) ?? error.fix;
}

const advice: Partial<Record<ErrorCode, string>> = {
  OOM:
    'close other programs, or go on with less: a resume takes a lower --set worker.token_budget or sampler.max_rows, and ' +
    'gradient_checkpointing=true. use_peft=true or a smaller model is a new run: --set output_dir=NEW (what still fits is taken ' +
    'from the store)',
  NO_MODEL: 'this is a fault of tms: please report it',
  WORKER_DIED: 'if the system ended it for memory (dmesg says so), close other programs or give it more',
  WORKER_STUCK: 'if the machine was suspended or out of memory, that is why; otherwise please report it',
};
