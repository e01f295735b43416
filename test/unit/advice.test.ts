import { expect, test } from 'vitest';
import { adviceFor } from '../../src/cli/advice.ts';
import { listSettings } from '../../src/config/settings-list.ts';
import { UsageError } from '../../src/errors.ts';
import { type ErrorCode, errorCodes } from '../../src/worker/protocol.ts';
import { WorkerError } from '../../src/worker/worker-error.ts';

test('what to do is said in keys and commands, never in names of the library', () => {
  for (const code of Object.keys(errorCodes) as ErrorCode[]) {
    const advice = adviceFor(new WorkerError(code, 'reason')) ?? '';
    expect(advice, code).not.toMatch(
      /tokenBudget|maxRows|gradientCheckpointing|[Ss]tart a new worker|[Cc]all load/,
    );
  }
});

test('every key that the advice for OOM names is one', () => {
  const advice = adviceFor(new WorkerError('OOM', 'reason')) ?? '';
  const keys = listSettings().map(({ path }) => path);
  const named = [
    'worker.token_budget',
    'sampler.max_rows',
    'gradient_checkpointing',
    'use_peft',
    'output_dir',
  ];
  expect(named.filter(key => advice.includes(key))).toEqual(named);
  expect(named.filter(key => !keys.includes(key))).toEqual([]);
});

test('an error that knows better keeps its own', () => {
  expect(adviceFor(new UsageError('x', { fix: 'do y' }))).toBe('do y');
});
