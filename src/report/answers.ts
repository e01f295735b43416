/** Answers of the checkpoints and how the student's curriculum used them: counted in full, kept for a few prompts. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isAnswer, noSources, type SourceCounts } from '../run/mixture.ts';
import {
  type AnswerRecord,
  answerRecord,
  exampleRecord,
  type VisitRecord,
  visitRecord,
} from '../run/records.ts';
import { readJsonLines } from './run-files.ts';

export type AnswerCounts = {
  readonly checkpointStep: number;
  readonly answers: number;
  /** Cut at the length limit. */
  readonly unfinished: number;
};

/** Visits of the student's training by what they trained on. */
export type Curriculum = {
  readonly visits: number;
  readonly sources: SourceCounts;
  /** Visits that trained on an answer, by the checkpoint that gave it, ascending. */
  readonly perCheckpoint: readonly { readonly checkpointStep: number; readonly visits: number }[];
};

export type ShownAnswer = {
  readonly checkpointStep: number;
  readonly sample: number;
  readonly text: string;
  readonly isFinished: boolean;
  /** Visits that trained on it. */
  readonly used: number;
  /** Visits that drew it but trained on gold, because it is unfinished or empty. */
  readonly replaced: number;
};

/** One training prompt with gold and all its answers, by checkpoint and sample. */
export type ShownPrompt = {
  readonly example: number;
  readonly id: string;
  readonly prompt: string;
  readonly gold: string;
  readonly goldUsed: number;
  readonly answers: readonly ShownAnswer[];
  /** Checkpoints of the plan without an answer to this prompt: none was drawn. */
  readonly undrawn: readonly number[];
};

type Answers = {
  readonly answerCounts: AnswerCounts[];
  readonly prompts: ShownPrompt[];
  readonly curriculum: Curriculum | null;
  /** Answers of the base that the control trained on; null without a control. */
  readonly controlAnswers: Omit<AnswerCounts, 'checkpointStep'> | null;
};

/** Prompts to browse: enough to judge by, few enough for one page. */
const shownPrompts = 24;

/** Read examples.jsonl, answers/ and curriculum.jsonl as streams; memory does not grow with the number of answers. */
export async function readAnswers(
  directory: string,
  checkpointSteps: readonly number[],
  onTornEnd: (file: string) => void,
): Promise<Answers> {
  const kept = new Map<number, Kept>();
  for await (const example of readJsonLines(join(directory, 'examples.jsonl'), exampleRecord, onTornEnd)) {
    kept.set(example.example, { ...example, answers: [], goldUsed: 0, uses: new Map() });
    if (kept.size === shownPrompts) break;
  }
  const answerCounts: AnswerCounts[] = [];
  for (const file of answerFiles(join(directory, 'answers'))) {
    const counts = await countAnswers(readJsonLines(file, answerRecord, onTornEnd), kept);
    if (counts !== null) answerCounts.push(counts);
  }
  const ofControl = readJsonLines(
    join(directory, 'answers', 'base-step-000000.jsonl'),
    answerRecord,
    onTornEnd,
  );
  const controlAnswers = await countAnswers(ofControl, new Map());
  const visits = readJsonLines(join(directory, 'curriculum.jsonl'), visitRecord, onTornEnd);
  const curriculum = await countVisits(visits, kept);
  return {
    answerCounts,
    prompts: [...kept.values()].map(one => showPrompt(one, checkpointSteps)),
    curriculum,
    controlAnswers,
  };
}

type Uses = { used: number; replaced: number };
type Kept = Pick<ShownPrompt, 'example' | 'id' | 'prompt' | 'gold'> & {
  readonly answers: AnswerRecord[];
  goldUsed: number;
  readonly uses: Map<string, Uses>;
};

function answerFiles(folder: string): string[] {
  const names = existsSync(folder) ? readdirSync(folder) : [];
  return names
    .filter(name => /^(?!base-).*-step-\d+\.jsonl$/.test(name))
    .sort()
    .map(name => join(folder, name));
}

async function countAnswers(
  records: AsyncIterable<AnswerRecord>,
  kept: ReadonlyMap<number, Kept>,
): Promise<AnswerCounts | null> {
  let checkpointStep: number | null = null;
  const counts = { answers: 0, unfinished: 0 };
  for await (const record of records) {
    checkpointStep = record.checkpointStep;
    counts.answers += 1;
    counts.unfinished += Number(record.finishReason === 'length');
    kept.get(record.example)?.answers.push(record);
  }
  return checkpointStep === null ? null : { checkpointStep, ...counts };
}

async function countVisits(
  records: AsyncIterable<VisitRecord>,
  kept: ReadonlyMap<number, Kept>,
): Promise<Curriculum | null> {
  const sources = noSources();
  const perCheckpoint = new Map<number, number>();
  let visits = 0;
  for await (const visit of records) {
    visits += 1;
    sources[visit.source] += 1;
    if (isAnswer(visit.source) && visit.checkpointStep !== null) {
      perCheckpoint.set(visit.checkpointStep, (perCheckpoint.get(visit.checkpointStep) ?? 0) + 1);
    }
    const example = kept.get(visit.example);
    if (example !== undefined) noteUse(example, visit);
  }
  if (visits === 0) return null;
  const sorted = [...perCheckpoint].sort(([a], [b]) => a - b);
  return {
    visits,
    sources,
    perCheckpoint: sorted.map(([checkpointStep, count]) => ({ checkpointStep, visits: count })),
  };
}

function noteUse(example: Kept, visit: VisitRecord): void {
  if (!isAnswer(visit.source)) example.goldUsed += 1;
  if (visit.source === 'gold') return;
  const key = answerKey(visit);
  const uses = example.uses.get(key) ?? { used: 0, replaced: 0 };
  uses[isAnswer(visit.source) ? 'used' : 'replaced'] += 1;
  example.uses.set(key, uses);
}

function showPrompt(example: Kept, checkpointSteps: readonly number[]): ShownPrompt {
  const { example: index, id, prompt, gold, goldUsed, uses } = example;
  const answers = example.answers
    .map(({ checkpointStep, sample, text, finishReason }) => ({
      checkpointStep,
      sample,
      text,
      isFinished: finishReason !== 'length',
      ...(uses.get(answerKey({ checkpointStep, sample })) ?? { used: 0, replaced: 0 }),
    }))
    .sort((a, b) => a.checkpointStep - b.checkpointStep || a.sample - b.sample);
  const answered = new Set(answers.map(({ checkpointStep }) => checkpointStep));
  const undrawn = checkpointSteps.filter(step => !answered.has(step));
  return { example: index, id, prompt, gold, goldUsed, answers, undrawn };
}

function answerKey({ checkpointStep, sample }: Pick<VisitRecord, 'checkpointStep' | 'sample'>): string {
  return `${checkpointStep} ${sample}`;
}
