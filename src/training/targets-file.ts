/**
 * Targets as files: `curriculum.jsonl` says of each visit what it learns and why, with the row of `targets/<training>.bin` that has the
 * ids and marks. A training reads them from there; whoever writes the two writes targets.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { TokenFile } from '../data/token-file.ts';
import { sha256OfFile } from '../files/atomic.ts';
import { sha256OfText } from '../files/digest.ts';
import { LineWriter } from '../files/line-writer.ts';
import { type VisitRecord, visitRecord } from '../run/records.ts';
import { completionOnly } from '../worker/worker.ts';
import type { Run } from './run.ts';
import { fixedTargets, type Targets } from './targets.ts';

const file = 'curriculum.jsonl';

/** Replace the lines of a training, or add them behind those of others; returns their digest. */
export async function writeVisits(
  run: Run,
  training: string,
  records: Iterable<VisitRecord>,
): Promise<string> {
  const path = run.directory.file(file);
  // Lines of others that are not what was written are dropped: they are written again in their turn.
  const noted = run.directory.ledger.ofFile(file);
  const isWhole = noted !== undefined && existsSync(path) && sha256OfFile(path) === noted.sha256;
  const hash = createHash('sha256');
  const output = new LineWriter(path);
  try {
    let isWritten = false;
    const writeOwn = () => {
      isWritten = true;
      for (const record of records) {
        const line = `${JSON.stringify(record)}\n`;
        hash.update(line);
        output.add(line);
      }
    };
    for await (const line of isWhole ? linesOf(path) : []) {
      if (!isOf(line, training)) output.add(`${line}\n`);
      else if (!isWritten) writeOwn();
    }
    if (!isWritten) writeOwn();
    output.finish();
  } catch (error) {
    output.abort();
    throw error;
  }
  const digest = hash.digest('hex');
  const { ledger } = run.directory;
  const sha256 = sha256OfFile(path);
  if (ledger.ofFile(file)?.sha256 !== sha256) ledger.append({ unit: 'mix', training, step: 0, file, sha256 });
  return digest;
}

type Written = {
  readonly training: string;
  /** The token file, below the run directory. */
  readonly tokens: string;
  /** Of the lines. */
  readonly digest: string;
  readonly visits: number;
};

/** Targets as they lie in the run directory; 4 bytes of memory a visit. */
export async function readTargets(run: Run, { training, tokens, digest, visits }: Written): Promise<Targets> {
  const rows = new Uint32Array(visits);
  const hash = createHash('sha256');
  let visit = 0;
  for await (const line of linesOf(run.directory.file(file))) {
    if (!isOf(line, training)) continue;
    hash.update(`${line}\n`);
    rows[visit++] = visitRecord.parse(JSON.parse(line)).row;
  }
  if (visit !== visits || hash.digest('hex') !== digest)
    throw new Error(`${file} changed while the targets of ${training} were written`);
  const path = run.directory.file(tokens);
  const opened = await TokenFile.open(path);
  const key = sha256OfText(`${digest} ${sha256OfFile(path)}`);
  const sequenceOf = async ({ visit }: { readonly visit: number }) =>
    completionOnly(await opened.read(rows[visit] as number));
  return fixedTargets(key, sequenceOf, () => opened.close());
}

async function* linesOf(path: string): AsyncGenerator<string> {
  if (existsSync(path)) yield* createInterface({ input: createReadStream(path) });
}

/** `training` is the first key of a line. */
function isOf(line: string, training: string): boolean {
  return line.startsWith(`{"training":${JSON.stringify(training)},`);
}
