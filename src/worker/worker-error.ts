import { TmsError } from '../errors.ts';
import type { ErrorCode } from './protocol.ts';

export type WorkerErrorDetails = {
  /** The verb that failed; null when the session as a whole ended. */
  readonly verb?: string | null;
  /** Python class of the error, for bug reports. */
  readonly type?: string | null;
  /** Python traceback. */
  readonly trace?: string | null;
  /** Machine-readable details, such as the index of the sequence. */
  readonly data?: Record<string, unknown> | null;
  readonly fix?: string | null;
  readonly cause?: unknown;
};

/** A request that the worker refused or could not finish, or the end of the worker itself; `code` says which. */
export class WorkerError extends TmsError {
  override readonly name = 'WorkerError';
  readonly code: ErrorCode;
  /** The message without verb and code. */
  readonly reason: string;
  readonly verb: string | null;
  readonly type: string | null;
  readonly trace: string | null;
  readonly data: Record<string, unknown> | null;

  constructor(code: ErrorCode, reason: string, details: WorkerErrorDetails = {}) {
    const where = details.verb ? `${details.verb}: ` : '';
    super(`${where}${reason} [${code}]`, { fix: details.fix ?? fixes[code] ?? null, cause: details.cause });
    this.code = code;
    this.reason = reason;
    this.verb = details.verb ?? null;
    this.type = details.type ?? null;
    this.trace = details.trace ?? null;
    this.data = details.data ?? null;
  }
}

const fixes: Partial<Record<ErrorCode, string>> = {
  OOM: 'Lower tokenBudget or maxRows, switch gradientCheckpointing on, use bfloat16 or LoRA, or a smaller model.',
  WORKER_DIED:
    'Start a new worker and load the last saved state. If it was killed for memory, see the advice for OOM.',
  WORKER_STUCK: 'Start a new worker and load the last saved state.',
  NO_MODEL: 'Call load first.',
  SPAWN_FAILED: 'Run `tms doctor`; it names what is missing and the command that fixes it.',
  INTERNAL: 'This is a fault of tms: please report it with the trace.',
};
