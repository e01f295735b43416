/**
 * Cost of a call through the bridge, by payload, beside a bare ZeroMQ echo of the same bytes between the same two languages.
 *
 *     npx tsx bench/bridge.ts MODEL_DIR [--device cpu|cuda] [--dtype float32|bfloat16] [--rounds 7]
 *
 * The call is `decode` of no sequence with N ids beside it: it takes the whole way of a request (checks on both sides, both threads
 * of the worker, reply) and the verb only looks for the least and greatest id. Replies are small: no cheap verb has a large one.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Dealer } from 'zeromq';
import { Connection, ensurePython, tensorOf, Worker } from '../src/index.ts';
import { projectRoot } from '../src/python/paths.ts';
import { conditions, median, medianRatio, table } from './report.ts';

type Cost = { milliseconds: number; cpuMilliseconds: number };
type Send = (payload: Int32Array) => Promise<unknown>;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    device: { type: 'string', default: 'cpu' },
    dtype: { type: 'string', default: 'float32' },
    rounds: { type: 'string', default: '7' },
  },
});
const payloads = [0, 1 << 10, 16 << 10, 256 << 10, 4 << 20, 64 << 20];
const inFlight = 32;

const { path: python } = await ensurePython({});
const directory = mkdtempSync(join(tmpdir(), 'tms-bench-'));
const { socket, echo } = startEcho(`ipc://${join(directory, 'echo')}`);
const connection = await Connection.open({ root: projectRoot(), python });
try {
  const [model] = positionals;
  if (model === undefined) throw new Error('give the directory of a model, see bench/make_model.py');
  const dtype = options.dtype as 'float32' | 'bfloat16';
  await new Worker(connection).load({ model, device: options.device, dtype });
  await compare();
} finally {
  await connection.close();
  socket.close();
  echo.kill();
  rmSync(directory, { recursive: true });
}

async function compare(): Promise<void> {
  await measure(callWorker, new Int32Array(0), 1000); // both sides compile what runs often
  const rows = [];
  for (const bytes of payloads) rows.push(await comparePayload(bytes));
  const pipelined = [];
  const awaited = [];
  for (let round = 0; round < Number(options.rounds); round++) {
    awaited.push((await measure(callWorker, new Int32Array(0), 200)).milliseconds);
    pipelined.push((await measure(callManyAtOnce, new Int32Array(0), 10)).milliseconds / inFlight);
  }
  console.log(`${conditions(options.device)}\n`);
  console.log(table(['payload', 'call, ms', 'bare, ms', 'call / bare', 'MB/s', 'our CPU, ms a call'], rows));
  const gain = medianRatio(awaited, pipelined).toFixed(1);
  const each = median(pipelined).toFixed(3);
  console.log(`\nwithout payload, ${inFlight} in flight: ${each} ms a call, ${gain} × as many as one by one`);
}

async function comparePayload(bytes: number): Promise<string[]> {
  const payload = new Int32Array(bytes / 4);
  const calls = Math.max(3, Math.min(200, Math.round((256 << 20) / (bytes + (1 << 20)))));
  const [ours, bare]: [Cost[], Cost[]] = [[], []];
  for (let round = 0; round <= Number(options.rounds); round++) {
    ours.push(await measure(callWorker, payload, calls));
    bare.push(await measure(callBare, payload, calls));
  }
  const wall = (costs: Cost[]) => costs.slice(1).map(cost => cost.milliseconds); // the first round warms up
  const call = median(wall(ours));
  return [
    bytes < 2 ** 20 ? `${bytes / 1024} KiB` : `${bytes / 2 ** 20} MiB`,
    call.toFixed(3),
    median(wall(bare)).toFixed(3),
    medianRatio(wall(ours), wall(bare)).toFixed(2),
    bytes === 0 ? '–' : (bytes / 1000 / call).toFixed(0),
    median(ours.slice(1).map(cost => cost.cpuMilliseconds)).toFixed(3),
  ];
}

/** Wall time of one call, and processor time of this process with all its threads. */
async function measure(send: Send, payload: Int32Array, calls: number): Promise<Cost> {
  const [start, cpu] = [performance.now(), process.cpuUsage()];
  for (let i = 0; i < calls; i++) await send(payload);
  const { user, system } = process.cpuUsage(cpu);
  return {
    milliseconds: (performance.now() - start) / calls,
    cpuMilliseconds: (user + system) / 1000 / calls,
  };
}

function callWorker(payload: Int32Array): Promise<unknown> {
  const tensors = { ids: tensorOf('i32', payload), offsets: tensorOf('i32', [0]) };
  return connection.call('decode', { skipSpecialTokens: true }, tensors);
}

function callManyAtOnce(payload: Int32Array): Promise<unknown> {
  return Promise.all(Array.from({ length: inFlight }, () => callWorker(payload)));
}

async function callBare(payload: Int32Array): Promise<void> {
  await socket.send(['header', Buffer.from(payload.buffer)]);
  await socket.receive();
}

function startEcho(endpoint: string): { socket: Dealer; echo: ChildProcess } {
  const echo = spawn(python, [join(projectRoot(), 'bench', 'echo.py'), endpoint], { stdio: 'inherit' });
  const bare = new Dealer({ linger: 0 });
  bare.connect(endpoint);
  return { socket: bare, echo };
}
