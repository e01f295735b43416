/** What `tms eval --output` leaves. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ModelComparison, modelMarkdown } from '../report/model-comparison.ts';
import type { MeasuredModel } from '../runner/measure-model.ts';

export type NamedModel = { readonly label: string; readonly model: string; readonly measured: MeasuredModel };

/** The results for programs. */
export function recordOf(models: readonly NamedModel[], comparison: ModelComparison): object {
  const described = models.map(({ label, model, measured: { info } }) => {
    const { weightsDigest, parameterCount, dtype, computeDtype, device } = info;
    return [label, { model, weightsDigest, parameterCount, dtype, computeDtype, device }] as const;
  });
  return { models: Object.fromEntries(described), ...comparison };
}

/** evaluation.json, report.md, LABEL/SUITE.jsonl with every document, and flips.jsonl of two models. */
export function writeEvaluation(
  folder: string,
  models: readonly NamedModel[],
  comparison: ModelComparison,
): void {
  mkdirSync(folder, { recursive: true });
  for (const { label, measured } of models)
    for (const { record, questions } of measured.sets) {
      mkdirSync(join(folder, label), { recursive: true });
      const rows = record.items.map(({ id, isCorrect, answer }, i) => {
        const { prompt = null, gold = null, line = null } = questions[i] ?? {};
        return { id, line, prompt, gold, answer, isCorrect };
      });
      writeLines(join(folder, label, `${record.name}.jsonl`), rows);
    }
  if (models.length === 2) writeLines(join(folder, 'flips.jsonl'), flipRows(models, comparison));
  const title = models.map(({ label, model }) => `- ${label}: ${model}`);
  writeFileSync(join(folder, 'report.md'), `${[...title, '', ...modelMarkdown(comparison)].join('\n')}\n`);
  writeFileSync(
    join(folder, 'evaluation.json'),
    `${JSON.stringify(recordOf(models, comparison), null, 1)}\n`,
  );
}

function flipRows(models: readonly NamedModel[], { suites }: ModelComparison): object[] {
  return suites.flatMap(({ name, flips }, i) => {
    const [base, tuned] = models.map(({ measured }) => measured.sets[i]);
    const changed = new Map([
      ...(flips?.rightToWrong ?? []).map(id => [id, 'right→wrong'] as const),
      ...(flips?.wrongToRight ?? []).map(id => [id, 'wrong→right'] as const),
    ]);
    return (base?.record.items ?? []).flatMap(({ id, answer: before, isCorrect }, k) => {
      const now = tuned?.record.items[k];
      if (!changed.has(id) || now === undefined || now.isCorrect === isCorrect) return [];
      const { prompt = null, gold = null } = base?.questions[k] ?? {};
      const direction = isCorrect ? 'right→wrong' : 'wrong→right';
      return [{ suite: name, id, direction, prompt, gold, baseAnswer: before, answer: now.answer }];
    });
  });
}

function writeLines(path: string, rows: readonly object[]): void {
  writeFileSync(path, rows.map(row => `${JSON.stringify(row)}\n`).join(''));
}
