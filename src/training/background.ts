/** Work that goes on beside the training: samplers answer for one checkpoint while the trainer goes on to the next. */

/** One piece of work at a time; what it throws ends the run. Close it. */
export class Background {
  readonly #end = new AbortController();
  #work: Promise<void> = Promise.resolve();

  /** Aborted by what failed first, here or where `stop` was called. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }

  /** Begin once the work before is done, and return. */
  async begin(work: () => Promise<void>): Promise<void> {
    await this.#work;
    this.#work = work();
    this.#work.catch(error => this.stop(error));
  }

  /** When nothing is left; throws what ended it. */
  done(): Promise<void> {
    return this.#work;
  }

  /** The first reason counts. */
  stop(reason: unknown): void {
    this.#end.abort(reason);
  }

  /** When nothing is left, whatever ended it. */
  async close(): Promise<void> {
    await this.#work.catch(() => {}); // told by its reason
  }
}
