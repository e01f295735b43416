/** What takes the place of an answer is counted and said, and refused where it would take over the method. */
import { UsageError } from '../errors.ts';
import { describeFaults, mixtureOf, type SourceCounts } from '../run/sources.ts';
import type { Run } from './run.ts';

/** The largest share of drawn answers that gold answers may stand for; `block`: the method's keys, for the advice. */
export type FallbackSettings = { readonly max_fallback_fraction: number; readonly block: string };

/** The sources of all visits of a training. */
type Mixed = { readonly name: string; readonly alpha: number; readonly sources: SourceCounts };

/** Say how often the gold answer took the place of an answer. Throws `UsageError` where that is more than the bound. */
export function checkFallbacks(
  { progress }: Pick<Run, 'progress'>,
  mixed: Mixed,
  bound: FallbackSettings | undefined,
): void {
  const { name, sources } = mixed;
  const { drawn, replaced, alpha } = mixtureOf(sources);
  const learned = describeFaults(sources, 'answer');
  if (learned !== null)
    progress.say(`note: ${name} learns unusable answers as they are: ${learned} of ${drawn} visits`);
  if (replaced === 0) return;
  const share = ((100 * replaced) / drawn).toFixed(1);
  const found =
    `${replaced} of the ${drawn} visits of ${name} that drew an answer (${share} %) train on the gold answer in its place ` +
    `(${describeFaults(sources, 'gold')}): α is ${mixed.alpha} as asked and ${alpha.toFixed(3)} in effect`;
  // What a scorer rejects is replaced because that was asked for.
  const unasked = replaced - sources['gold-for-rejected'];
  if (bound === undefined || unasked <= bound.max_fallback_fraction * drawn) {
    progress.say(`note: ${found}`);
    return;
  }
  const { block } = bound;
  throw new UsageError(
    `${found}. That is more than ${block}.max_fallback_fraction: ${bound.max_fallback_fraction}, and not the method that was asked for`,
    {
      fix:
        `let answers end: raise ${block}.max_new_tokens, name the texts that end them (${block}.stop), or draw again (${block}.unfinished: redraw), in a ` +
        'new output_dir; trainings and answers that still fit come from the store. To train it as it is: ' +
        `tms run … --resume --set ${block}.max_fallback_fraction=${Math.ceil((1000 * unasked) / drawn) / 1000}`,
    },
  );
}
