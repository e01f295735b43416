/** What takes the place of an answer is counted and said, and refused where it would take over the method. */
import { UsageError } from '../errors.ts';
import { describeFaults, mixtureOf, type SourceCounts } from '../run/mixture.ts';
import type { RunContext } from './run-context.ts';

/** Say how often gold took the place of an answer. Throws `UsageError` where that is more than `tms.max_fallback_fraction`. */
export function checkFallbacks({ config, progress }: RunContext, sources: SourceCounts): void {
  const { drawn, replaced, alpha } = mixtureOf(sources);
  const learned = describeFaults(sources, 'answer');
  if (learned !== null)
    progress.say(
      `note: the student learns unusable answers, as tms.filters: none asks: ${learned} of ${drawn} visits`,
    );
  if (replaced === 0) return;
  const share = ((100 * replaced) / drawn).toFixed(1);
  const found =
    `${replaced} of the ${drawn} visits that drew an answer (${share} %) train on the reference in its place ` +
    `(${describeFaults(sources, 'gold')}): α is ${config.tms.alpha} as asked and ${alpha.toFixed(3)} in effect`;
  const bound = config.tms.max_fallback_fraction;
  if (replaced <= bound * drawn) {
    progress.say(`note: ${found}`);
    return;
  }
  throw new UsageError(
    `${found}. That is more than tms.max_fallback_fraction: ${bound}, and not the method that was asked for`,
    {
      fix:
        'let answers end: raise tms.max_new_tokens, name the texts that end them (tms.stop), or draw again (tms.unfinished: redraw), in a ' +
        'new output_dir; SFT and what still fits come from the store. To train the student as it is: ' +
        `tms run … --resume --set tms.max_fallback_fraction=${Math.ceil((1000 * replaced) / drawn) / 1000}`,
    },
  );
}

/** Say how many of the control's answers have no end: they are learned as they stand, since they are the base's own. */
export function sayControlAnswers(
  { progress }: RunContext,
  { unfinished, all }: { unfinished: number; all: number },
): void {
  if (unfinished === 0) return;
  progress.say(
    `note: ${unfinished} of ${all} answers of the base have no end; the control learns them without one`,
  );
}
