/** What a backend must be able to do: take requests, answer each, close. The typed verbs of worker.ts stand on this. */
import type { Params, Progress, Result, VerbName } from './protocol.ts';
import type { Tensors } from './tensors.ts';

export type CallOptions = {
  /** Aborting cancels the request: it then ends with CANCELLED, or with its result if that was quicker. */
  readonly signal?: AbortSignal | undefined;
  /** How long to wait for the answer, requests before it included; no limit by default: pings find a worker that hangs. */
  readonly timeoutSeconds?: number;
  /** Best effort: events may be lost, results never depend on them. */
  readonly onProgress?: (progress: Progress) => void;
  /** Gets what comes before the reply (`part` messages). What it throws ends the request. */
  readonly onPart?: (tensors: Tensors) => void;
};

export type Reply<V extends VerbName> = { readonly result: Result<V>; readonly tensors: Tensors };

/** A request in flight. `id` names it to requests that depend on it. A rejection that nobody awaits does not end the process. */
export type Call<T> = Promise<T> & { readonly id: number };

export interface Channel {
  /** Requests run one after the other in the order of the calls; any number may be in flight. */
  call<V extends VerbName>(
    verb: V,
    params: Params<V>,
    tensors?: Tensors,
    options?: CallOptions,
  ): Call<Reply<V>>;
  /** Ends the backend; pending requests reject with CLOSED. Idempotent. */
  close(): Promise<void>;
}

export function asCall<T>(id: number, promise: Promise<T>): Call<T> {
  promise.catch(() => {}); // pipelined calls are awaited later, or never once an earlier one has failed
  return Object.assign(promise, { id });
}
