/** Answers to training prompts and how visits used them: counted in full, kept for a few prompts. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readChecked } from '../files/read-record.ts';
import {
  type AnswerRecord,
  answerRecord,
  exampleRecord,
  overlapRecord,
  type VisitRecord,
  visitRecord,
} from '../run/records.ts';
import { isAnswer, noSources, type SourceCounts } from '../run/sources.ts';
import { readJsonLines } from './run-files.ts';

/** A checkpoint that answered. */
export type AnswerSource = {
  /** The training that the answers are for; null where the run does not say. */
  readonly asker: string | null;
  /** Whose checkpoint it is. */
  readonly training: string;
  readonly checkpointStep: number;
};

/** One file of answers. */
export type AnswerSet = AnswerSource & {
  readonly answers: number;
  /** Cut at the length limit. */
  readonly unfinished: number;
  /** Visits that trained on one of them; null where no visit says whose answer it trained on. */
  readonly visits: number | null;
  /** Answers with the same ids as gold, and the mean share of tokens that they have in common; null where the run does not say. */
  readonly gold: { readonly equal: number; readonly overlap: number } | null;
};

/** Visits of a training whose targets are drawn, by what they trained on. */
export type Curriculum = {
  readonly training: string;
  readonly visits: number;
  readonly sources: SourceCounts;
  /** Visits that trained on an answer, by the checkpoint that gave it. */
  readonly perCheckpoint: readonly {
    readonly training: string;
    readonly checkpointStep: number;
    readonly visits: number;
  }[];
};

/** Visits of one training that trained on something, or that drew it but trained on gold, because it is unusable. */
export type Use = { readonly training: string; readonly used: number; readonly replaced: number };

export type ShownAnswer = AnswerSource & {
  readonly sample: number;
  readonly text: string;
  readonly isFinished: boolean;
  /** Null where no visit says whose answer it trained on. */
  readonly uses: readonly Use[] | null;
};

/** One training prompt with gold and all its answers. */
export type ShownPrompt = {
  readonly example: number;
  readonly id: string;
  readonly prompt: string;
  readonly gold: string;
  readonly goldUses: readonly Use[];
  readonly answers: readonly ShownAnswer[];
  /** Who gave no answer to this prompt: none was drawn. */
  readonly undrawn: readonly AnswerSource[];
};

type Answers = {
  readonly answerSets: AnswerSet[];
  readonly prompts: ShownPrompt[];
  readonly curricula: Curriculum[];
};

/** Prompts to browse: enough to judge by, few enough for one page. */
const shownPrompts = 24;

/** Read examples.jsonl, answers/ and curriculum.jsonl as streams; memory does not grow with the number of answers. */
export async function readAnswers(directory: string, onTornEnd: (file: string) => void): Promise<Answers> {
  const kept = new Map<number, Kept>();
  for await (const example of readJsonLines(join(directory, 'examples.jsonl'), exampleRecord, onTornEnd)) {
    kept.set(example.example, { ...example, answers: [], uses: new Map() });
    if (kept.size === shownPrompts) break;
  }
  const files: CountedFile[] = [];
  for (const { path, ...source } of answerFiles(join(directory, 'answers'))) {
    const counts = await countAnswers(source, readJsonLines(path, answerRecord, onTornEnd), kept);
    if (counts.answers > 0) files.push({ ...source, ...counts });
  }
  const visits = readJsonLines(join(directory, 'curriculum.jsonl'), visitRecord, onTornEnd);
  const curricula = await countVisits(visits, kept);
  const answerSets = files.map(file => ({
    ...file,
    visits: visitsOf(file, curricula),
    gold: goldIn(directory, file),
  }));
  return {
    answerSets,
    prompts: [...kept.values()].map(one => showPrompt(one, answerSets)),
    curricula,
  };
}

/** Damage is nothing: the file holds no more than the answers do. */
function goldIn(directory: string, { asker, training, checkpointStep }: AnswerSource): AnswerSet['gold'] {
  if (asker === null) return null;
  const record = readChecked(join(directory, 'targets', `${asker}-overlap.json`), overlapRecord).value;
  const own = record?.answers.find(one => one.training === training && one.step === checkpointStep);
  return own === undefined ? null : { equal: own.equalToGold, overlap: own.overlap };
}

type CountedFile = Omit<AnswerSet, 'visits' | 'gold'>;
type Kept = Pick<ShownPrompt, 'example' | 'id' | 'prompt' | 'gold'> & {
  readonly answers: (AnswerRecord & AnswerSource)[];
  /** By what was drawn, then by training. */
  readonly uses: Map<string, Map<string, { used: number; replaced: number }>>;
};

const answerFile = /^([a-z][a-z0-9-]*)-step-(\d+)\.jsonl$/;

/** `answers/TRAINING-step-000123.jsonl`, or in a folder that is named by the training which asked. */
function answerFiles(folder: string): (AnswerSource & { readonly path: string })[] {
  const entries = existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }) : [];
  return entries.toSorted().flatMap(entry => {
    const parts = entry.split(/[/\\]/);
    const [, training, step] = answerFile.exec(parts.at(-1) ?? '') ?? [];
    if (training === undefined || parts.length > 2) return [];
    const asker = parts.length === 2 ? (parts[0] ?? null) : null;
    return [{ asker, training, checkpointStep: Number(step), path: join(folder, entry) }];
  });
}

async function countAnswers(
  source: AnswerSource,
  records: AsyncIterable<AnswerRecord>,
  kept: ReadonlyMap<number, Kept>,
): Promise<Pick<AnswerSet, 'answers' | 'unfinished'>> {
  const counts = { answers: 0, unfinished: 0 };
  for await (const record of records) {
    counts.answers += 1;
    counts.unfinished += Number(record.finishReason === 'length');
    kept.get(record.example)?.answers.push({ ...record, ...source });
  }
  return counts;
}

async function countVisits(
  records: AsyncIterable<VisitRecord>,
  kept: ReadonlyMap<number, Kept>,
): Promise<Curriculum[]> {
  const counts = new Map<string, VisitCounts>();
  for await (const visit of records) {
    const count = counts.get(visit.training) ?? { sources: noSources(), perCheckpoint: new Map() };
    counts.set(visit.training, count);
    count.sources[visit.source] += 1;
    if (isAnswer(visit.source)) noteSteps(count, visit);
    const example = kept.get(visit.example);
    if (example !== undefined && visit.source !== 'replay') noteUse(example, visit);
  }
  return [...counts].map(([training, { sources, perCheckpoint }]) => ({
    training,
    visits: Object.values(sources).reduce((sum, count) => sum + count, 0),
    sources,
    perCheckpoint: [...perCheckpoint].flatMap(([answers, steps]) =>
      [...steps]
        .sort(([a], [b]) => a - b)
        .map(([checkpointStep, visits]) => ({ training: answers, checkpointStep, visits })),
    ),
  }));
}

/** By training that answered, then by step. */
type VisitCounts = {
  readonly sources: ReturnType<typeof noSources>;
  readonly perCheckpoint: Map<string, Map<number, number>>;
};

function noteSteps({ perCheckpoint }: VisitCounts, { answers, checkpointStep }: VisitRecord): void {
  if (answers === null || checkpointStep === null) return;
  const steps = perCheckpoint.get(answers) ?? new Map<number, number>();
  perCheckpoint.set(answers, steps);
  steps.set(checkpointStep, (steps.get(checkpointStep) ?? 0) + 1);
}

/** A visit that trained on gold in place of an answer counts for both. */
function noteUse({ uses }: Kept, visit: VisitRecord): void {
  const { training, source, answers, checkpointStep, sample } = visit;
  const note = (key: string, kind: 'used' | 'replaced') => {
    const byTraining = uses.get(key) ?? new Map<string, { used: number; replaced: number }>();
    uses.set(key, byTraining);
    const use = byTraining.get(training) ?? { used: 0, replaced: 0 };
    use[kind] += 1;
    byTraining.set(training, use);
  };
  if (!isAnswer(source)) note(goldKey, 'used');
  if (source !== 'gold')
    note(`${answers} ${checkpointStep} ${sample}`, isAnswer(source) ? 'used' : 'replaced');
}

const goldKey = 'gold';

function usesIn({ uses }: Kept, key: string, asker: string | null): Use[] {
  const byTraining = [...(uses.get(key) ?? [])].map(([training, counts]) => ({ training, ...counts }));
  return byTraining.filter(({ training }) => asker === null || training === asker);
}

/** Of the asker's visits, or of all where it is not known. */
function visitsOf({ asker, training, checkpointStep }: AnswerSource, curricula: readonly Curriculum[]) {
  const drawn = curricula
    .filter(curriculum => asker === null || curriculum.training === asker)
    .flatMap(({ perCheckpoint }) => perCheckpoint)
    .filter(one => one.training === training);
  if (drawn.length === 0) return null;
  const own = drawn.filter(one => one.checkpointStep === checkpointStep);
  return own.reduce((sum, { visits }) => sum + visits, 0);
}

function showPrompt(kept: Kept, answerSets: readonly AnswerSet[]): ShownPrompt {
  const { example, id, prompt, gold } = kept;
  const setOf = (one: AnswerSource) => answerSets.find(set => isSame(set, one));
  const answers = kept.answers.map(
    ({ asker, training, checkpointStep, sample, text, finishReason }): ShownAnswer => ({
      asker,
      training,
      checkpointStep,
      sample,
      text,
      isFinished: finishReason !== 'length',
      uses:
        (setOf({ asker, training, checkpointStep })?.visits ?? null) === null
          ? null
          : usesIn(kept, `${training} ${checkpointStep} ${sample}`, asker),
    }),
  );
  const undrawn = answerSets.filter(set => !answers.some(answer => isSame(answer, set)));
  return { example, id, prompt, gold, goldUses: usesIn(kept, goldKey, null), answers, undrawn };
}

function isSame(a: AnswerSource, b: AnswerSource): boolean {
  return a.asker === b.asker && a.training === b.training && a.checkpointStep === b.checkpointStep;
}
