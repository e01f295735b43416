/** A backend in this process: a bigram model over characters with every verb of the worker, for tests in milliseconds. */
import { setImmediate } from 'node:timers/promises';
import { asCall, type Call, type CallOptions, type Channel, type Reply } from '../../src/worker/channel.ts';
import type { Params, VerbName } from '../../src/worker/protocol.ts';
import type { Tensors } from '../../src/worker/tensors.ts';
import { checkParams, checkPart, checkReply } from '../../src/worker/wire.ts';
import { WorkerError } from '../../src/worker/worker-error.ts';
import { Session } from './toy/session.ts';

type Pending = {
  isCancelled: boolean;
  readonly reject: (error: WorkerError) => void;
  readonly verb: VerbName;
};

/**
 * Load it with `toy:` or `toy:<seed>` for new weights, or with a directory that it saved. Answers, losses and weights are pure
 * functions of what it is asked; it refuses Muon, adapters, bfloat16 and templates other than ChatML.
 */
export class ToyChannel implements Channel {
  readonly #session = new Session();
  readonly #pending = new Set<Pending>();
  #lastId = 0;
  #isClosed = false;
  #queue: Promise<void> = Promise.resolve();

  call<V extends VerbName>(
    verb: V,
    params: Params<V>,
    tensors: Tensors = {},
    options: CallOptions = {},
  ): Call<Reply<V>> {
    this.#lastId += 1;
    const id = this.#lastId;
    const reply = new Promise<Reply<V>>((resolve, reject) => {
      if (this.#isClosed) throw closed(verb);
      if (options.signal?.aborted)
        throw new WorkerError('CANCELLED', 'the signal was aborted before', { verb });
      checkParams(verb, params, tensors);
      const pending = { isCancelled: false, reject, verb };
      this.#pending.add(pending);
      const stopClock = this.#startClock(pending, options);
      this.#queue = this.#queue
        .then(() => this.#execute(id, { verb, params, tensors }, pending, options))
        .then(resolve, reject)
        .finally(() => {
          stopClock();
          this.#pending.delete(pending);
        });
    });
    return asCall(id, reply);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const pending of this.#pending) {
      pending.isCancelled = true;
      pending.reject(closed(pending.verb));
    }
    await this.#queue;
  }

  async #execute<V extends VerbName>(
    id: number,
    { verb, params, tensors }: { verb: V; params: Params<V>; tensors: Tensors },
    pending: Pending,
    { signal, onProgress, onPart }: CallOptions,
  ): Promise<Reply<V>> {
    const check = () => {
      if (pending.isCancelled || signal?.aborted)
        throw new WorkerError('CANCELLED', 'cancelled by the client');
    };
    const pause = async () => {
      await setImmediate();
      check();
    };
    const progress = (done: number, total: number, tokens: number) => {
      if (!pending.isCancelled) onProgress?.({ done, total, tokens });
    };
    const part = (tensors: Tensors) => onPart?.(checkPart(verb, tensors));
    await setImmediate(); // no request is done before its caller goes on
    try {
      const outcome = await this.#session.run(verb, params, tensors, { id, check, pause, progress, part });
      return checkReply(verb, outcome.result, outcome.tensors ?? {});
    } catch (error) {
      throw inVerb(verb, error);
    }
  }

  /** The only use of time: a deadline that the caller sets. */
  #startClock(pending: Pending, { timeoutSeconds }: CallOptions): () => void {
    if (timeoutSeconds === undefined) return () => {};
    const { verb, reject } = pending;
    const timer = setTimeout(() => {
      pending.isCancelled = true;
      reject(
        new WorkerError('TIMEOUT', `no answer within ${timeoutSeconds} s; the request is cancelled`, {
          verb,
        }),
      );
    }, timeoutSeconds * 1000);
    return () => clearTimeout(timer);
  }
}

function closed(verb: VerbName): WorkerError {
  return new WorkerError('CLOSED', 'the worker was closed', { verb });
}

function inVerb(verb: VerbName, error: unknown): WorkerError {
  if (!(error instanceof WorkerError))
    return new WorkerError('INTERNAL', String(error), { verb, cause: error });
  const { code, reason, data } = error;
  return error.verb === verb ? error : new WorkerError(code, reason, { verb, data, cause: error });
}
