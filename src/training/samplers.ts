/**
 * Workers beside the one that trains, which only hold weights to be asked. What each answers follows from the prompts and their seeds,
 * never from who is quicker; what a dead one leaves is answered by the others.
 */
import { TmsError } from '../errors.ts';
import type { Progress } from '../worker/protocol.ts';
import type { Answer, GenerateOptions, Worker } from '../worker/worker.ts';
import { type Parity, together } from './parity.ts';
import { loadPlace, type Place, requireDigest } from './place.ts';
import { contentOf, sharesOf } from './shares.ts';
import { endTeam, isDeath, type Member, type StartSampler, startTeam } from './team.ts';
import { untilStopped } from './until-stopped.ts';

/** What gives answers: a worker with weights in it, or samplers that hold the same ones. */
export type Sampler = Pick<Worker, 'generate' | 'generateParts'>;

export type SamplersOptions = {
  readonly count: number;
  readonly start: StartSampler;
  /** False: they end whenever they have answered, and start again when they are asked. By default they stay. */
  readonly staysAlive?: boolean;
  /** A line for a person. */
  readonly say: (line: string) => void;
};

type Take = Parameters<Worker['generateParts']>[2];
type Request = {
  readonly prompts: Parameters<Worker['generateParts']>[0];
  readonly options: GenerateOptions;
  readonly take: Take;
};
/** Prompts of a request that are not answered yet, by place, and the tokens of the answers that came. */
type Work = { open: ReadonlySet<number>; tokens: number };

/** Started when they are first asked. Close them. */
export class Samplers {
  readonly count: number;
  readonly staysAlive: boolean;
  readonly #options: SamplersOptions;
  #team: { readonly members: Promise<Member[]>; isThere: boolean } | null = null;
  #turn: Promise<void> = Promise.resolve();
  #parity: Parity | null = null;

  constructor(options: SamplersOptions) {
    this.count = options.count;
    this.staysAlive = options.staysAlive ?? true;
    this.#options = options;
  }

  /** Against the trainer, over all weights that they loaded; null before the first. */
  get parity(): Parity | null {
    return this.#parity;
  }

  /** Samplers that hold these weights; one asking at a time has them all. */
  at(place: Place): Sampler {
    const generateParts: Sampler['generateParts'] = (prompts, options, take) => {
      const asked = this.#turn.then(() => this.#askAndRest(place, { prompts, options, take }));
      this.#turn = asked.catch(() => {});
      return asked.then(() => ({ weightsDigest: place.digest }));
    };
    const generate: Sampler['generate'] = async (prompts, options) => {
      const answers: Answer[] = [];
      await generateParts(prompts, options, part => {
        for (const [i, answer] of part) answers[i] = answer;
      });
      return answers;
    };
    return { generate, generateParts };
  }

  /** End them all. Idempotent. */
  async close(): Promise<void> {
    await this.#endAll();
    await this.#turn;
  }

  /** Who is still being started is not waited for, and ended when it is there. */
  async #endAll(): Promise<void> {
    const team = this.#team;
    this.#team = null;
    const ended = team?.members.then(endTeam, () => {});
    if (team?.isThere) await ended;
  }

  async #askAndRest(place: Place, request: Request): Promise<void> {
    try {
      await this.#ask(place, request);
    } finally {
      if (!this.staysAlive) await this.#endAll();
    }
  }

  async #ask(place: Place, request: Request): Promise<void> {
    const { prompts, options, take } = request;
    const work: Work = { open: new Set(prompts.keys()), tokens: 0 };
    while (work.open.size > 0) {
      const members = this.#members();
      const team = await (options.signal ? untilStopped(options.signal, members) : members);
      const living = team.filter(({ end }) => end === null);
      if (living.length === 0) throw await this.#allDead(place);
      const left = new Set(work.open);
      await this.#askOnce(place, living, work, {
        ...request,
        take: part => {
          take(part); // where that throws they are not answered
          for (const [i, { ids }] of part) {
            left.delete(i);
            work.tokens += ids.length;
          }
        },
      });
      if (left.size > 0 && living.every(({ end }) => end === null))
        throw new Error('samplers left prompts without an answer');
      work.open = left;
    }
  }

  /** Each of the living answers its share. Those who die leave theirs; any other error ends the asking, once all have stopped. */
  async #askOnce(place: Place, living: readonly Member[], work: Work, request: Request): Promise<void> {
    const { prompts, options } = request;
    const shares = sharesOf([...work.open], living.length, i =>
      contentOf(prompts[i] as Int32Array, options.seeds?.[i] ?? i),
    );
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, ...(options.signal ? [options.signal] : [])]);
    const report = progressOf(request, work);
    let failure: unknown;
    await Promise.all(
      living.map(async (member, m) => {
        try {
          await this.#answer(member, place, shares[m] as number[], {
            ...request,
            options: { ...options, signal, onProgress: part => report(m, part) },
          });
        } catch (error) {
          if (isDeath(error)) return this.#bury(member, error);
          failure ??= error;
          stop.abort(error);
        }
      }),
    );
    if (failure !== undefined) throw failure;
  }

  /** Let one answer the prompts at these places. */
  async #answer(
    member: Member,
    place: Place,
    share: readonly number[],
    { prompts, options, take }: Request,
  ): Promise<void> {
    if (share.length === 0) return;
    const worker = await this.#load(member, place, options.signal);
    const { weightsDigest } = await worker.generateParts(
      share.map(i => prompts[i] as Int32Array),
      { ...options, seeds: share.map(i => options.seeds?.[i] ?? i) },
      part => take(part.map(([i, given]) => [share[i] as number, given])),
    );
    requireDigest(place, weightsDigest);
  }

  async #load(member: Member, place: Place, signal: AbortSignal | undefined): Promise<Worker> {
    const before = member.worker as Worker; // of a living one
    const key = `${place.load.model} ${place.digest}`;
    if (member.holds === key) return before;
    member.holds = null;
    const { start, say } = this.#options;
    const restart = async () => {
      await member.worker?.close();
      member.worker = await start(member.index);
      return member.worker;
    };
    const { worker, parity } = await loadPlace(before, place, { restart, say, signal });
    this.#parity = together(this.#parity, parity);
    member.holds = key;
    return worker;
  }

  #members(): Promise<Member[]> {
    if (this.#team !== null) return this.#team.members;
    const team = { members: this.#start(), isThere: false };
    this.#team = team;
    const onceThere = () => {
      team.isThere = true;
    };
    return team.members.finally(onceThere);
  }

  async #start(): Promise<Member[]> {
    const members = await startTeam(this.count, this.#options.start);
    for (const member of members) if (member.end !== null) this.#bury(member, member.end);
    return members;
  }

  #bury(member: Member, error: Error): void {
    member.end = error;
    void member.worker?.close(); // it may only have run out of memory
    if (this.count === 1) return;
    this.#options.say(
      `sampler ${member.index + 1} of ${this.count} is lost, the others do its work: ${error.message}`,
    );
  }

  async #allDead({ name }: Place): Promise<TmsError> {
    const cause = (await this.#members()).find(({ end }) => end !== null)?.end;
    const who = this.count === 1 ? 'the sampler is lost' : `all ${this.count} samplers are lost`;
    return new TmsError(`${who}, asked for answers of ${name}; the first: ${cause?.message}`, {
      fix: 'go on with tms resume: answers that came are kept',
      cause,
    });
  }
}

/** What all of them did of a request, as one worker would say it. */
function progressOf(
  { prompts, options }: Request,
  { open, tokens }: Work,
): (member: number, part: Progress) => void {
  const parts: Progress[] = [];
  return (member, part) => {
    parts[member] = part;
    const sum = (value: (part: Progress) => number) => parts.reduce((total, one) => total + value(one), 0);
    options.onProgress?.({
      done: prompts.length - open.size + sum(({ done }) => done),
      total: prompts.length,
      tokens: tokens + sum(part => part.tokens),
    });
  };
}
