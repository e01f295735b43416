/** Prompts with a text around what is asked, for every training example: a token file whose row i is that of example i. */
import { TokenFile, TokenFileWriter } from '../data/token-file.ts';
import { TmsError } from '../errors.ts';
import type { SamplingPlan } from '../plan/sampling-plan.ts';
import type { Run } from './run.ts';

const examplesAtOnce = 256;

/** Written anew each time: they follow from the data. Throws `TmsError` where an answer would not fit behind one. */
export async function framedPrompts(
  run: Run,
  {
    name,
    frame,
    maxNewTokens,
  }: { readonly name: string; readonly frame: string } & Pick<SamplingPlan, 'maxNewTokens'>,
): Promise<TokenFile> {
  const { trainExamples } = run.plan.data;
  const path = run.directory.place(`targets/${name}-asked.bin`);
  const writer = await TokenFileWriter.create(path, trainExamples);
  let longest = 0;
  try {
    for (let start = 0; start < trainExamples; start += examplesAtOnce) {
      const count = Math.min(examplesAtOnce, trainExamples - start);
      const prompts = await run.data.framed(
        Array.from({ length: count }, (_, i) => start + i),
        frame,
      );
      for (const { length } of prompts) longest = Math.max(longest, length);
      await writer.append(
        prompts.map(ids => ({ ids, promptLength: ids.length, learned: new Uint8Array(ids.length) })),
      );
    }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  const most = run.model.maxPositions ?? Number.POSITIVE_INFINITY;
  if (longest + maxNewTokens <= most) return TokenFile.open(path);
  const found = `a prompt of ${name} with its frame has ${longest} tokens, and answers may have ${maxNewTokens}`;
  throw new TmsError(`${found}: the model has ${most} positions`, {
    fix: `set max_new_tokens of its block to ${Math.max(1, most - longest)} or less, or shorten frame`,
  });
}
