import type { ErrorCode } from '../../../src/worker/protocol.ts';
import { WorkerError } from '../../../src/worker/worker-error.ts';

/** The error of a verb; the channel adds which verb it was. */
export function refuse(
  code: ErrorCode,
  reason: string,
  data: Record<string, unknown> | null = null,
): WorkerError {
  return new WorkerError(code, reason, { data });
}
