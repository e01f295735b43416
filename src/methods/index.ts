/** The one list of methods: those that come with tms, and those of the user's that were read from files (`src/config/import-method.ts`). */
import { baseAnswers } from './base-answers.ts';
import { dft } from './dft.ts';
import { distill } from './distill.ts';
import { earlyStopped } from './early-stopped.ts';
import { grpo } from './grpo.ts';
import { iterative } from './iterative.ts';
import { klSft } from './kl-sft.ts';
import type { Method } from './method.ts';
import { replay } from './replay.ts';
import { sdft } from './sdft.ts';
import { selfRewritten } from './self-rewritten.ts';
import { sft } from './sft.ts';
import { tms } from './tms.ts';
import { wiseFt } from './wise-ft.ts';

/** A method as `method:` names it: by its name, or by the path of its file as it was written. */
export type KnownMethod = {
  readonly key: string;
  readonly method: Method;
  /** A digest of the file with all that it imports; null of those that come with tms. */
  readonly code: string | null;
};

const builtIn = [
  sft,
  tms,
  baseAnswers,
  iterative,
  grpo,
  dft,
  replay,
  wiseFt,
  earlyStopped,
  klSft,
  sdft,
  distill,
  selfRewritten,
] as unknown as readonly Method[];
let known: readonly KnownMethod[] = builtIn.map(method => ({ key: method.name, method, code: null }));

/** All of them. The list is another one whenever a method was added. */
export function knownMethods(): readonly KnownMethod[] {
  return known;
}

/** Add one of the user's; it takes the place of an earlier reading of the same path. */
export function addMethod(added: KnownMethod): void {
  known = [...known.filter(({ key }) => key !== added.key), added];
}

/** Throws for a name that no method has, which a configuration that was checked cannot have. */
export function methodNamed(name: string): KnownMethod {
  const found = known.find(({ key }) => key === name);
  if (found === undefined) throw new Error(`there is no method ${name}`);
  return found;
}
