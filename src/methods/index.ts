/** The one list of methods. */
import { baseAnswers } from './base-answers.ts';
import { grpo } from './grpo.ts';
import { iterative } from './iterative.ts';
import type { Method } from './method.ts';
import { sft } from './sft.ts';
import { tms } from './tms.ts';

const methods: Method[] = [sft, tms, baseAnswers, iterative, grpo] as unknown as Method[];

/** Those that come with tms, and those that were read from files. */
export function knownMethods(): readonly Method[] {
  return methods;
}

/** Throws for a name that no method has, which a configuration that was checked cannot have. */
export function methodNamed(name: string): Method {
  const found = methods.find(method => method.name === name);
  if (found === undefined) throw new Error(`there is no method ${name}`);
  return found;
}
