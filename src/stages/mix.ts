/**
 * The student's targets: q_α(·|x) = α·gold + (1−α)·mean over the checkpoints' answers, one sample of it at each visit.
 * Forward KL to q_α is the negative log-likelihood of such samples (tms-paper E4–E6; docs/algorithm.md).
 */
import { createReadStream, existsSync, renameSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { TokenFile, TokenFileWriter, type TokenRow } from '../data/token-file.ts';
import { sha256OfFile } from '../files/atomic.ts';
import { nameFile } from '../files/system-error.ts';
import { temporaryName } from '../files/temporary-name.ts';
import { type Draw, drawer } from '../plan/draws.ts';
import { allVisits, type Visit } from '../plan/order.ts';
import { noSources, type SourceCounts } from '../run/mixture.ts';
import { answerRecord, type VisitRecord } from '../run/records.ts';
import { type TrainingSequence, withAnswer } from '../worker/worker.ts';
import { answersFile, faultOf } from './answer.ts';
import { checkFallbacks } from './fallbacks.ts';
import { goldSequence, sequenceOfRow } from './gold.ts';
import type { RunContext } from './run-context.ts';
import { writeShownExamples } from './shown-examples.ts';
import type { Stage } from './train.ts';

/** Every stored answer by (checkpoint, example, sample): sorted keys beside rows of a token file, and what is wrong with each. */
type AnswerTable = { readonly keys: Float64Array; readonly faults: Uint8Array; readonly tokens: TokenFile };

const faults = [null, 'unfinished', 'empty', 'too-long'] as const;

/** Write curriculum.jsonl, what each visit trains on, and return the student's stage; close it when done. */
export async function mixTargets(run: RunContext): Promise<Stage & { close: () => Promise<void> }> {
  const { plan } = run;
  if (plan.student === null || plan.answers === null) throw new Error('the plan has no student');
  await writeShownExamples(run);
  const table = await openAnswers(run);
  const draw = drawer(plan.answers.draws);
  const targetOf = (visit: Visit) =>
    chooseTarget(run, table, visit, draw(visit, run.data.idOf(visit.example)));
  try {
    await writeCurriculum(run, plan.student.steps, visit => targetOf(visit).record);
    checkFallbacks(run, countSources(run, targetOf));
  } catch (error) {
    await table.tokens.close();
    throw error;
  }
  return {
    name: 'student',
    plan: plan.student,
    sequenceOf: visit => {
      const { row } = targetOf(visit);
      return row === null ? goldSequence(run, visit.example) : answerSequence(table, row);
    },
    close: () => table.tokens.close(),
  };
}

function countSources(
  { plan: { student } }: RunContext,
  targetOf: (visit: Visit) => { record: VisitRecord },
): SourceCounts {
  const counts = noSources();
  for (const visit of student === null ? [] : allVisits(student.order, student.steps))
    counts[targetOf(visit).record.source]++;
  return counts;
}

/** What a visit trains on: a row of the answers, or gold (null). */
function chooseTarget(
  run: RunContext,
  table: AnswerTable,
  { epoch, example }: Visit,
  draw: Draw,
): { record: VisitRecord; row: number | null } {
  const checkpointStep = run.plan.checkpointSteps[draw.checkpoint] ?? null;
  const place = { training: 'student', epoch, example };
  const drawn = { ...place, answers: 'sft', checkpointStep, sample: draw.sample };
  if (draw.isReference)
    return {
      record: { ...place, source: 'gold', answers: null, checkpointStep: null, sample: null },
      row: null,
    };
  const row = rowOf(table, keyOf(run, draw.checkpoint, example, draw.sample));
  if (row === -1)
    throw new Error(`no answer of step ${checkpointStep} to example ${example}: the harvest is incomplete`);
  const fault = faults[table.faults[row] ?? 0] ?? null;
  if (fault === null) return { record: { ...drawn, source: 'answer' }, row };
  // Half an answer is never learnt, whatever the filters.
  if (fault !== 'too-long' && run.config.tms.filters === 'none')
    return { record: { ...drawn, source: `${fault}-answer` }, row };
  return { record: { ...drawn, source: `gold-for-${fault}` }, row: null };
}

async function answerSequence({ tokens }: AnswerTable, row: number): Promise<TrainingSequence> {
  return sequenceOfRow(await tokens.read(row));
}

/** Gather the answers of all checkpoints into answers/tokens.bin, prompt before answer. */
async function openAnswers(run: RunContext): Promise<AnswerTable> {
  const { plan, directory } = run;
  const count = run.answers?.count ?? 0;
  const keys = new Float64Array(count);
  const found = new Uint8Array(count);
  const path = directory.file('answers', 'tokens.bin');
  const writer = await TokenFileWriter.create(path, count);
  let row = 0;
  for (const [checkpoint, step] of plan.checkpointSteps.entries()) {
    for await (const line of createInterface({
      input: createReadStream(directory.file(answersFile('sft', step))),
    })) {
      const record = answerRecord.parse(JSON.parse(line));
      const { ids, example, sample } = record;
      const whole = await withPrompt(run, example, ids);
      const fault = faultOf(run, record) ?? (whole.ids.length > run.config.max_length ? 'too-long' : null);
      keys[row] = keyOf(run, checkpoint, example, sample);
      found[row++] = faults.indexOf(fault);
      await writer.append([whole]);
    }
  }
  await writer.finish();
  return { keys, faults: found, tokens: await TokenFile.open(path) };
}

async function withPrompt(
  { data }: RunContext,
  example: number,
  answer: readonly number[],
): Promise<TokenRow> {
  const { ids, promptLength } = await data.tokens.read(data.rows[example] as number);
  return withAnswer(ids.subarray(0, promptLength), answer);
}

/** Ascends with checkpoint, then example, then sample: the order in which answers are written. */
function keyOf({ plan }: RunContext, checkpoint: number, example: number, sample: number): number {
  const samples = plan.answers?.draws.samplesPerPrompt ?? 1;
  return (checkpoint * plan.data.trainExamples + example) * samples + sample;
}

function rowOf({ keys }: AnswerTable, key: number): number {
  let [low, high] = [0, keys.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as number) < key) low = middle + 1;
    else high = middle;
  }
  return keys[low] === key ? low : -1;
}

const visitsAtOnce = 10_000;

async function writeCurriculum(
  { directory, plan }: RunContext,
  steps: number,
  recordOf: (visit: Visit) => VisitRecord,
): Promise<void> {
  const [file, path] = ['curriculum.jsonl', directory.file('curriculum.jsonl')];
  const entry = directory.ledger.find('mix', 'student', 0);
  if (entry && existsSync(path) && sha256OfFile(path) === entry.sha256) return;
  const part = temporaryName(path);
  const append = (text: readonly string[]) =>
    appendFile(part, text.join(''), { flush: true }).catch(error => Promise.reject(nameFile(error, path)));
  let lines: string[] = [];
  for (const visit of plan.student ? allVisits(plan.student.order, steps) : []) {
    lines.push(`${JSON.stringify(recordOf(visit))}\n`);
    if (lines.length < visitsAtOnce) continue;
    await append(lines);
    lines = [];
  }
  await append(lines);
  renameSync(part, path);
  directory.ledger.append({ unit: 'mix', stage: 'student', step: 0, file, sha256: sha256OfFile(path) });
}
