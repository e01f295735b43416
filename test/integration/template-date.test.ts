import { afterEach, expect, it, vi } from 'vitest';
import { callsOf } from '../support/recorded-calls.ts';
import {
  interruptedRun,
  type RecordedRun,
  readRecord,
  recordRun,
  type Settings,
  workFolder,
} from '../support/recorded-run.ts';
import { saySet, smallRun } from '../support/small-run.ts';

const folder = workFolder();
const sets = [saySet(folder)];
const chat: Settings = { method: 'sft', as_chat: true, max_length: 80, eval: { sets } };
/** The toy's template writes the day with this option. */
const dated: Settings = { ...chat, chat_template_kwargs: { dated: true } };

const itIs = (day: string) => vi.useFakeTimers({ toFake: ['Date'], now: new Date(`${day}T12:00:00`) });
afterEach(() => void vi.useRealTimers());

const datesOf = (run: RecordedRun) => [
  ...new Set(callsOf(run.calls, 'encode').map(({ params }) => params.date)),
];
it('a run that goes on on another day has the day on which it began, and the same results', async () => {
  itIs('2026-11-26');
  const whole = await recordRun(folder, smallRun(folder, dated));
  const run = await interruptedRun(folder, smallRun(folder, dated), { verb: 'optimStep', count: 4 });
  itIs('2026-11-27');
  const resumed = await recordRun(folder, run.settings, { home: run.home, resume: true });
  expect([datesOf(whole), datesOf(resumed)]).toEqual([['2026-11-26'], ['2026-11-26']]);
  expect(readRecord(run.output, 'run.json').templateDate).toBe('2026-11-26');
  for (const name of ['models/sft/toy-model.json', 'evaluation/sft-step-000009.json'])
    expect(readRecord(run.output, name), name).toEqual(readRecord(whole.output, name));
  expect(whole.said).toContainEqual(expect.stringMatching(/note: .*writes the date.*2026-11-26/));
});

it('a day for a template that does not read it is refused, with what it would take', async () => {
  const settings = smallRun(folder, { ...chat, chat_template_date: '2026-11-26' });
  await expect(recordRun(folder, settings)).rejects.toMatchObject({
    exitCode: 3,
    message: expect.stringMatching(/chat_template_date.*no chat template that is used here reads the date/),
  });
  for (const day of ['tomorrow', '2026-02-30'])
    await expect(
      recordRun(folder, smallRun(folder, { ...dated, chat_template_date: day })),
    ).rejects.toMatchObject({
      message: expect.stringMatching(/chat_template_date/),
    });
});
