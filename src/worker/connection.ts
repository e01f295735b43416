import { Dealer } from 'zeromq';
import { asCall, type Call, type CallOptions, type Channel, type Reply } from './channel.ts';
import { type ProcessOptions, startProcess, type WorkerProcess } from './process.ts';
import {
  type ClientHeader,
  limits,
  type Params,
  protocolVersion,
  type VerbName,
  type WorkerHeader,
} from './protocol.ts';
import type { Tensors } from './tensors.ts';
import { checkParams, checkPart, checkReply, decodeMessage, encodeMessage, tensorTable } from './wire.ts';
import { WorkerError } from './worker-error.ts';

export type ConnectionOptions = ProcessOptions & SessionOptions;

/** How long what may take. */
export type SessionOptions = {
  /** How long the worker may take to say welcome; it does so before it imports torch. */
  readonly startTimeoutSeconds?: number;
  /** A worker that misses `pingMisses` pings in a row is stuck. An import of torch may hold Python's lock for seconds. */
  readonly pingIntervalSeconds?: number;
  readonly pingMisses?: number;
  /**
   * A request during which the worker answers pings but does nothing for this long is stuck: no step, no processor time, no wait for
   * the disk. A forward pass may last for hours and is none; a download without a byte is one.
   */
  readonly idleSeconds?: number;
};

type Greeting = SessionOptions & { readonly nonces?: readonly string[] };

type Pending = {
  readonly verb: VerbName;
  readonly resolve: (reply: Reply<VerbName>) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: CallOptions['onProgress'];
  readonly onPart: CallOptions['onPart'];
};

const defaults = { startTimeoutSeconds: 60, pingIntervalSeconds: 5, pingMisses: 6, idleSeconds: 300 };
/** Last words of libraries that end the process where they find no memory: Rust, C++, OpenMP, and Python outside of a request. */
const noMemory =
  /memory allocation of \d+ bytes failed|bad_alloc|allocate memory|MemoryError|Thread creation failed/;
const byeGraceMs = 2000;

/**
 * One worker process and the socket to it. A new worker means a new connection: a re-used socket would deliver the requests of
 * the dead worker to its successor. Everything that ends the session goes through `fail`.
 */
export class Connection implements Channel {
  readonly #process: WorkerProcess;
  readonly #idleSeconds: number;
  readonly #socket = new Dealer({
    linger: 0,
    sendHighWaterMark: 0,
    receiveHighWaterMark: 0,
    maxMessageSize: limits.tensorBytes,
  });
  readonly #pending = new Map<number, Pending>();
  /** Encoded requests beyond the in-flight limit, in order. */
  readonly #waiting: { id: number; frames: Buffer[] }[] = [];
  readonly #inFlight = new Set<number>();
  readonly #welcomed = deferred();
  #sending: Promise<void> = Promise.resolve();
  #lastId = 0;
  #unanswered = 0;
  #pingTimer: NodeJS.Timeout | undefined;
  #ended: WorkerError | undefined;
  #welcome: (WorkerHeader & { t: 'welcome' }) | undefined;

  private constructor(process: WorkerProcess, idleSeconds: number) {
    this.#process = process;
    this.#idleSeconds = idleSeconds;
    process.connect(this.#socket);
    this.#welcomed.promise.catch(() => {});
  }

  /** Start a worker and greet it. Rejects with SPAWN_FAILED or TIMEOUT, with the worker's last words. */
  static async open(options: ConnectionOptions): Promise<Connection> {
    return Connection.over(await startProcess(options), options);
  }

  /** Greet a worker that is there. `nonces`: files whose content it is to tell, see `seen`. */
  static async over(process: WorkerProcess, options: Greeting): Promise<Connection> {
    const { startTimeoutSeconds, pingIntervalSeconds, pingMisses, idleSeconds } = { ...defaults, ...options };
    const connection = new Connection(process, idleSeconds);
    void connection.#watch();
    void connection.#receive();
    const timer = setTimeout(() => {
      connection.#fail('TIMEOUT', `${process.name} said nothing within ${startTimeoutSeconds} s`);
    }, startTimeoutSeconds * 1000);
    connection.#send({
      v: 1,
      t: 'hello',
      id: 0,
      proto: [protocolVersion, protocolVersion],
      client: 'tms',
      token: process.token,
      nonces: [...(options.nonces ?? [])],
    });
    await connection.#welcomed.promise.finally(() => clearTimeout(timer));
    connection.#startPings(pingIntervalSeconds, pingMisses);
    return connection;
  }

  get pid(): number {
    return this.#process.pid ?? this.#welcome?.pid ?? 0;
  }

  /** What stands in the files of `nonces`, on the worker's machine. */
  get seen(): readonly (string | null)[] {
    return this.#welcome?.seen ?? [];
  }

  call<V extends VerbName>(
    verb: V,
    params: Params<V>,
    tensors: Tensors = {},
    options: CallOptions = {},
  ): Call<Reply<V>> {
    this.#lastId += 1;
    const id = this.#lastId;
    const reply = new Promise<Reply<VerbName>>((resolve, reject) => {
      if (this.#ended) throw this.#ended;
      options.signal?.throwIfAborted();
      checkParams(verb, params, tensors);
      const header: ClientHeader = { v: 1, t: 'req', id, op: verb, p: params, tz: tensorTable(tensors) };
      const frames = encodeMessage(header, tensors);
      const { onProgress, onPart } = options;
      this.#pending.set(id, { verb, resolve, reject, onProgress, onPart });
      this.#waiting.push({ id, frames });
      this.#sendWaiting();
    });
    return asCall(id, this.#limit(id, verb, reply as Promise<Reply<V>>, options));
  }

  async close(): Promise<void> {
    if (!this.#ended) {
      const ended = new WorkerError('CLOSED', 'the worker was closed');
      this.#endWith(ended);
      this.#send({ v: 1, t: 'bye', id: 0 });
      const timer = setTimeout(() => void this.#process.kill(0), byeGraceMs);
      await this.#process.exited;
      clearTimeout(timer);
      this.#socket.close();
    }
    await this.#process.exited;
  }

  /** Bound a request by its signal and by the time that the caller allows, waiting in the queue included; both cancel it. */
  async #limit<T>(
    id: number,
    verb: VerbName,
    reply: Promise<T>,
    { signal, timeoutSeconds }: CallOptions,
  ): Promise<T> {
    const end = (code: 'CANCELLED' | 'TIMEOUT', reason: string) =>
      this.#settle(id)?.reject(new WorkerError(code, reason, { verb }));
    const onAbort = () => {
      if (this.#withdraw(id)) end('CANCELLED', 'cancelled before it was sent');
    };
    const onTimeout = () => {
      this.#withdraw(id);
      end('TIMEOUT', `no answer within ${timeoutSeconds} s; the request is cancelled`);
    };
    const timer = timeoutSeconds === undefined ? undefined : setTimeout(onTimeout, timeoutSeconds * 1000);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return await reply;
    } catch (error) {
      if (!signal?.aborted || error instanceof WorkerError) throw error;
      throw new WorkerError('CANCELLED', 'the signal was aborted before the request was sent', {
        verb,
        cause: error,
      });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Take a request back: true when it had not been sent; else the worker is asked to cancel it. */
  #withdraw(id: number): boolean {
    const index = this.#waiting.findIndex(request => request.id === id);
    if (index === -1) this.#send({ v: 1, t: 'cancel', id });
    else this.#waiting.splice(index, 1);
    return index !== -1;
  }

  #sendWaiting(): void {
    while (this.#inFlight.size < limits.inFlight) {
      const next = this.#waiting.shift();
      if (!next) return;
      this.#inFlight.add(next.id);
      this.#sendFrames(next.frames);
    }
  }

  #send(header: ClientHeader): void {
    this.#sendFrames(encodeMessage(header));
  }

  /** zeromq allows one blocked send at a time: they form a chain. */
  #sendFrames(frames: Buffer[]): void {
    this.#sending = this.#sending
      .then(() => this.#socket.send(frames))
      .catch(error =>
        this.#fail('WORKER_DIED', `the socket to the worker failed: ${(error as Error).message}`),
      );
  }

  async #receive(): Promise<void> {
    try {
      for await (const frames of this.#socket) this.#dispatch(frames);
    } catch (error) {
      if (this.#ended) return;
      this.#fail('BAD_MESSAGE', `the worker's message could not be read: ${(error as Error).message}`);
    }
  }

  #dispatch(frames: Buffer[]): void {
    const { header, tensors } = decodeMessage(frames);
    this.#unanswered = 0; // any message is a sign of life
    if (header.t === 'welcome') {
      this.#welcome = header;
      this.#welcomed.resolve();
    }
    if (header.t === 'pong') this.#requireWork(header);
    if (header.t === 'evt') this.#report(header.id, ({ onProgress }) => onProgress?.(header.d));
    if (header.t === 'part')
      this.#report(header.id, ({ verb, onPart }) => onPart?.(checkPart(verb, tensors)));
    if (header.t === 'err') this.#refused(header);
    if (header.t === 'res') this.#answered(header, tensors);
  }

  #requireWork({ busy, idle, place }: WorkerHeader & { t: 'pong' }): void {
    if (idle < this.#idleSeconds) return;
    const what = this.#pending.get(busy ?? 0)?.verb ?? 'the import of its packages';
    const where = place ? `; it waits in ${place}` : '';
    this.#fail(
      'WORKER_STUCK',
      `the worker answers, but has done nothing for ${Math.round(idle)} s in ${what}${where}`,
    );
  }

  /** A callback that throws fails its own request, not the session. */
  #report(id: number, tell: (pending: Pending) => void): void {
    const pending = this.#pending.get(id);
    try {
      if (pending) tell(pending);
    } catch (error) {
      this.#withdraw(id);
      this.#settle(id)?.reject(error as Error);
    }
  }

  #refused({ id, e }: WorkerHeader & { t: 'err' }): void {
    if (id === 0) this.#fail(e.code, e.message); // not tied to a request: the session is broken
    const pending = this.#settle(id);
    pending?.reject(
      new WorkerError(e.code, e.message, { verb: pending.verb, type: e.type, trace: e.trace, data: e.data }),
    );
  }

  #answered({ id, r }: WorkerHeader & { t: 'res' }, tensors: Tensors): void {
    const pending = this.#settle(id);
    if (!pending) return; // timed out before
    try {
      pending.resolve(checkReply(pending.verb, r, tensors));
    } catch (error) {
      pending.reject(error as WorkerError);
    }
  }

  /** Forget a request and give its place to the next. */
  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    this.#inFlight.delete(id);
    if (!this.#ended) this.#sendWaiting();
    return pending;
  }

  #startPings(intervalSeconds: number, misses: number): void {
    let sent = 0;
    this.#pingTimer = setInterval(() => {
      if (this.#unanswered >= misses)
        return this.#fail(
          'WORKER_STUCK',
          `the worker has not answered ${misses} pings, ${misses * intervalSeconds} s`,
        );
      this.#unanswered += 1;
      sent += 1;
      return this.#send({ v: 1, t: 'ping', id: sent });
    }, intervalSeconds * 1000);
    this.#pingTimer.unref();
  }

  async #watch(): Promise<void> {
    const how = await this.#process.exited;
    const memory = how.includes('SIGKILL') ? ' (the system may have ended it for memory)' : '';
    const died = noMemory.test(this.#process.lastWords()) ? 'OOM' : 'WORKER_DIED';
    this.#fail(this.#welcome ? died : 'SPAWN_FAILED', `${this.#process.name} ${how}${memory}`);
  }

  #fail(code: WorkerError['code'], message: string): void {
    if (this.#ended) return;
    const lastWords = this.#process.lastWords();
    this.#endWith(new WorkerError(code, lastWords ? `${message}; its last lines:\n${lastWords}\n` : message));
    this.#socket.close();
    void this.#process.kill();
  }

  #endWith(error: WorkerError): void {
    this.#ended = error;
    clearInterval(this.#pingTimer);
    this.#welcomed.reject(error);
    this.#waiting.length = 0;
    for (const [id, { verb }] of this.#pending)
      this.#settle(id)?.reject(new WorkerError(error.code, error.reason, { verb, cause: error }));
  }
}

function deferred(): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } {
  let resolve = () => {};
  let reject = (_: Error) => {};
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
