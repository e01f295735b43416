/**
 * Every kind of input is edited in turn, and a second run on the same TMS_HOME does again exactly what depends on it: too little is a
 * wrong result, too much is a day lost. What is done again is written here by hand. `reuse-torch.test.ts` edits the files of a model.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { askedIn, stepsOf } from '../support/recorded-calls.ts';
import { type RecordedRun, recordRun, type Settings, workFolder } from '../support/recorded-run.ts';
import { type Done, doneIn, doneOver } from '../support/reuse.ts';
import { examples, heldOut, saySet, smallRun } from '../support/small-run.ts';

const folder = workFolder();
const home = join(folder, 'home');
let files = 0;
/** A file of its own, under the same name each time. */
function placed(name: string, text: string): string {
  const place = join(folder, `place-${files++}`);
  mkdirSync(place);
  writeFileSync(join(place, name), text);
  return join(place, name);
}
const rows = (list: readonly object[]) => list.map(row => `${JSON.stringify(row)}\n`).join('');
const edited = (list: readonly { prompt: string; completion: string }[]) =>
  rows(list.map((row, i) => (i === 1 ? { ...row, completion: 'bba' } : row)));

const set = saySet(folder, { count: 10, limit: 4 });
/** A module that imports another. */
function scorer(rule: string, own = ''): string {
  const path = placed(
    'score.mjs',
    `import { right } from './rules.mjs';\nexport const score = () => right();\n${own}`,
  );
  writeFileSync(join(path, '../rules.mjs'), `export const right = () => ${rule};\n`);
  return path;
}
const bySet = (more: Settings): Settings => ({ eval: { sets: [{ ...set, ...more }] } });
const byModule = (module: string) => bySet({ scorer: 'module', module });
const script = placed('score.sh', 'sed "s/.*/1/"');
const list = placed('list.txt', 'ab');
const byCommand = (file: string, inputs: string[] = []) =>
  bySet({ scorer: 'command', command: ['sh', file], ...(inputs.length > 0 && { scorer_inputs: inputs }) });

const base: Settings = {
  ...bySet({}),
  lr_scheduler_type: 'linear',
  pld: { size: 20 },
  kl: { size: 0 },
};

const everything = {
  encoded: false,
  trained: 'sft student',
  answered: 'sft 3, sft 6, sft 9',
  measured: 'base 0, sft 9, student 9',
};
/** The student is no other run's. */
const student = { encoded: false, trained: 'student', answered: '', measured: 'student 9' };
const otherWeights = { ...everything, measured: 'sft 9, student 9' };
const otherAnswers = { ...student, answered: 'sft 3, sft 6, sft 9' };
const otherMeasures = { ...student, measured: 'base 0, sft 9, student 9' };

/** `from`: what the run before had in place of `base`. */
type Row = readonly [name: string, edit: Settings, again: Done, from?: Settings];

const inputs: readonly Row[] = [
  ['nothing', {}, student],
  ['the base model', { model_name_or_path: 'toy:2' }, everything],
  [
    'the training file',
    { dataset_name: placed('train.jsonl', edited(examples)) },
    { ...everything, encoded: true },
  ],
  ['the training file, moved', { dataset_name: placed('train.jsonl', rows(examples)) }, student],
  [
    'the test file',
    { dataset_test_name: placed('test.jsonl', edited(heldOut)) },
    { ...otherMeasures, encoded: true },
  ],
  [
    'the file of a set',
    bySet({ path: placed('say.jsonl', edited(examples)), limit: null }),
    otherMeasures,
    bySet({ limit: null }),
  ],
  ['the file of a set, moved', bySet({ path: placed('say.jsonl', rows(examples)) }), student],
  ['the scorer', bySet({ scorer: 'command', command: ['sed', 's/.*/0/'] }), otherMeasures],
  ['a module', byModule(scorer('true', '// edited')), otherMeasures, byModule(scorer('true'))],
  ['what a module imports', byModule(scorer('true')), otherMeasures, byModule(scorer('false'))],
  ['a module, moved', byModule(scorer('true')), student, byModule(scorer('true'))],
  ['a program', byCommand(placed('score.sh', 'sed "s/.*/0/"')), otherMeasures, byCommand(script)],
  [
    'the arguments of a program',
    bySet({ scorer: 'command', command: ['sed', 's/.*/0/'] }),
    otherMeasures,
    bySet({ scorer: 'command', command: ['sed', 's/.*/1/'] }),
  ],
  [
    'what a program reads',
    byCommand(script, [placed('list.txt', 'ba')]),
    otherMeasures,
    byCommand(script, [list]),
  ],
];

const numerics: readonly Row[] = [
  ['worker.token_budget', { worker: { token_budget: 64 } }, everything],
  ['determinism', { determinism: 'strict' }, everything],
  ['gradient_checkpointing', { gradient_checkpointing: false }, { ...student, trained: 'sft student' }],
  ['attn_implementation, where the model has one', { attn_implementation: 'eager' }, student],
  ['worker.device, the same by name', { worker: { device: 'cpu' } }, student],
  ['worker.threads, where it has one', { worker: { threads: 3 } }, student],
  ['sampler.max_rows, under strict sampling', { sampler: { max_rows: 1 } }, student],
];

const training: readonly Row[] = [
  ['learning_rate', { learning_rate: 0.9 }, otherWeights],
  ['lr_scheduler_type', { lr_scheduler_type: 'constant' }, otherWeights],
  ['warmup_steps', { warmup_steps: 2 }, otherWeights],
  ['warmup_ratio', { warmup_ratio: 0.2 }, otherWeights],
  [
    'num_train_epochs',
    { num_train_epochs: 4 },
    { ...otherWeights, answered: 'sft 4, sft 8, sft 12', measured: 'sft 12, student 12' },
  ],
  [
    'max_steps',
    { max_steps: 6 },
    { ...otherWeights, answered: 'sft 2, sft 4, sft 6', measured: 'sft 6, student 6' },
  ],
  [
    'per_device_train_batch_size',
    { per_device_train_batch_size: 5 },
    { ...otherWeights, answered: 'sft 2, sft 4, sft 6', measured: 'sft 6, student 6' },
  ],
  ['the split of a batch', { per_device_train_batch_size: 2, gradient_accumulation_steps: 2 }, student],
  ['weight_decay', { weight_decay: 0.1 }, otherWeights],
  ['adam_beta1', { adam_beta1: 0.8 }, otherWeights],
  ['adam_beta2', { adam_beta2: 0.9 }, otherWeights],
  ['adam_epsilon', { adam_epsilon: 1e-6 }, otherWeights],
  ['max_grad_norm', { max_grad_norm: 0.01 }, otherWeights],
  ['data_seed', { data_seed: 9 }, otherWeights],
  ['seed', { seed: 8 }, everything],
  [
    'max_length, where it cuts',
    { max_length: 9, max_too_long_fraction: 1, tms: { max_new_tokens: 3 } },
    everything,
  ],
  ['max_length, where it cuts nothing', { max_length: 39 }, student],
];

const decoding: readonly Row[] = [
  ['tms.temperature', { tms: { temperature: 0.5 } }, otherAnswers],
  ['tms.top_p', { tms: { top_p: 0.5 } }, otherAnswers],
  ['tms.max_new_tokens', { tms: { max_new_tokens: 6 } }, otherAnswers],
  ['tms.stop', { tms: { stop: ['z'] } }, otherAnswers],
  ['eval.temperatures', { eval: { sets: [set], temperatures: [0, 1] } }, otherMeasures],
  ['max_new_tokens of a set', bySet({ max_new_tokens: 7 }), otherMeasures],
  ['stop of a set', bySet({ stop: ['z'] }), otherMeasures],
];

const method: readonly Row[] = [
  // Visits that learned gold: what they draw of the last checkpoint others had drawn.
  ['a lower tms.alpha', { tms: { alpha: 0 } }, { ...student, answered: 'sft 3, sft 6' }],
  // Gold takes the place of all that is drawn: the weights are SFT's, and were measured.
  ['a higher tms.alpha', { tms: { alpha: 0.8 } }, { ...student, measured: '' }],
  ['tms.order', { tms: { order: 'early_to_late' } }, otherAnswers],
  ['tms.lazy_harvest', { tms: { lazy_harvest: false } }, otherAnswers],
  ['tms.samples_per_prompt', { tms: { samples_per_prompt: 2 } }, otherAnswers],
  ['tms.unfinished', { tms: { unfinished: 'redraw' } }, otherAnswers],
  ['tms.filters', { tms: { filters: 'none' } }, student],
  ['tms.student_init', { tms: { student_init: 'sft' } }, student],
  ['tms.student', { tms: { student: { learning_rate: 0.5 } } }, student],
];

const measuring: readonly Row[] = [
  ['more items', bySet({ limit: 5 }), otherMeasures],
  ['another name', bySet({ name: 'speak' }), otherMeasures],
  ['another role', { eval: {}, retention: { sets: [set] } }, otherMeasures],
  ['a set more', { retention: { sets: [{ ...set, name: 'keep' }] } }, otherMeasures],
  ['pld.size', { pld: { size: 3 } }, otherMeasures],
  ['pld.splits', { pld: { size: 20, splits: ['test'] } }, otherMeasures],
  ['kl.size', { kl: { size: 1 } }, otherMeasures],
];

const chat: Settings = { as_chat: true, max_length: 80 };
const kept: Settings = { eval: {}, retention: { sets: [set] } };
const ofChats: readonly Row[] = [
  ['as_chat', chat, { ...everything, encoded: true }],
  ['system_prompt', { system_prompt: 'be x' }, { ...everything, encoded: true }, chat],
  // The same ids, by another way of making them: asked and measured it is the same.
  [
    'split_special_tokens',
    { split_special_tokens: false },
    { ...student, encoded: true, trained: 'sft student' },
    chat,
  ],
  ['chat_template_kwargs', { chat_template_kwargs: { dated: true } }, { ...everything, encoded: true }, chat],
];

const nothing: readonly Row[] = [
  ['run_name', { run_name: 'again' }, student],
  ['save_steps', { save_steps: 4 }, student],
  ['save_total_limit', { save_total_limit: 3 }, student],
  ['max_rewritten_fraction', { ...chat, max_rewritten_fraction: 0.5 }, student, chat],
  ['max_too_long_fraction', { max_too_long_fraction: 0.5 }, student],
  ['tms.max_fallback_fraction', { tms: { max_fallback_fraction: 0.99 } }, student],
  ['retention.margin', { retention: { sets: [set], margin: 0.3 } }, student, kept],
  [
    'retention.max_unfinished_fraction',
    { retention: { sets: [set], max_unfinished_fraction: 0.3 } },
    student,
    kept,
  ],
  // But for what other runs find: without its weights nobody finds the training. What was measured of them is found.
  ['tms.keep_checkpoints', { tms: { keep_checkpoints: false } }, { ...student, trained: 'sft student' }],
  ['worker.python', { worker: { python: '/usr/bin/python3' } }, student],
];

/** Runs before, by their settings: those of `base` and what a row says. */
const homes = new Map<string, Promise<string>>();
function homeOf(from: Settings): Promise<string> {
  const key = JSON.stringify(from);
  const made = homes.get(key) ?? fill(from, homes.size === 0 ? home : join(folder, `home-${homes.size}`));
  homes.set(key, made);
  return made;
}
async function fill(from: Settings, at: string): Promise<string> {
  expect(doneIn(await recordRun(folder, smallRun(folder, { ...base, ...from }), { home: at }))).toEqual({
    ...everything,
    encoded: true,
  });
  return at;
}
const doneAfter = async (edit: Settings, from: Settings = {}): Promise<Done> =>
  doneOver(await homeOf(from), { folder, settings: smallRun(folder, { ...base, ...from, ...edit }) });

beforeAll(() => homeOf({}));

describe.each<[string, readonly Row[]]>([
  ['an input', inputs],
  ['how it is computed', numerics],
  ['how it is trained', training],
  ['how it is sampled', decoding],
  ['what is mixed', method],
  ['what is measured', measuring],
  ['chats', ofChats],
  ['what affects nothing', nothing],
])('after an edit of %s', (_, table) => {
  for (const [name, edit, again, from] of table)
    it(name, async () => {
      expect(await doneAfter(edit, from)).toEqual(again);
    });
});

describe('on another day', () => {
  const itIs = (day: string) => vi.useFakeTimers({ toFake: ['Date'], now: new Date(`${day}T12:00:00`) });
  afterEach(() => void vi.useRealTimers());
  const dated = { ...chat, chat_template_kwargs: { dated: true } };

  const table: readonly Row[] = [
    ['a template that writes the date', {}, { ...everything, encoded: true }, dated],
    ['with that day named', { chat_template_date: '2026-11-26' }, student, dated],
    ['a template that does not write it', {}, student, chat],
  ];
  for (const [name, edit, again, from = {}] of table)
    it(name, async () => {
      itIs('2026-11-26');
      const before = await fill(from, join(folder, `home-dated-${files++}`));
      itIs('2026-11-27');
      const settings = smallRun(folder, { ...base, ...from, ...edit });
      expect(await doneOver(before, { folder, settings })).toEqual(again);
    });
});

describe('what only the wire shows', () => {
  const answersIn = ({ calls }: RecordedRun) =>
    askedIn(calls).filter(({ params }) => params.maxNewTokens === 9).length;
  const stepsAfter = async (settings: Settings, at: string) =>
    stepsOf((await recordRun(folder, smallRun(folder, { ...base, ...settings }), { home: at })).calls).length;

  it('Muon, a LoRA adapter, and one of another shape: the toy has none and is asked for them', async () => {
    const at = join(folder, 'home-lora');
    const lora = [
      {},
      {},
      { lora_r: 4 },
      { lora_alpha: 8 },
      { lora_dropout: 0.5 },
      { use_rslora: true },
      { use_dora: true },
      { lora_target_modules: ['q_proj'] },
    ];
    const counts: number[] = [];
    for (const keys of lora) counts.push(await stepsAfter({ use_peft: true, ...keys }, at));
    expect(counts).toEqual([18, 9, 18, 18, 18, 18, 18, 18]);
    expect([await stepsAfter({}, at), await stepsAfter({ optim: 'muon' }, at)]).toEqual([18, 18]);
  });

  it('fewer checkpoints at steps that all had answered', async () => {
    const shared = join(folder, 'home-many');
    const of = (num_checkpoints: number, lazy_harvest: boolean) =>
      recordRun(folder, smallRun(folder, { ...base, tms: { num_checkpoints, lazy_harvest, alpha: 0 } }), {
        home: shared,
      });
    expect(answersIn(await of(9, false))).toBe(90);
    const fewer = await of(3, true); // steps 3, 6, 9: an answer is known by its checkpoint's step
    expect([stepsOf(fewer.calls).length, answersIn(fewer)]).toEqual([9, 0]);
  });

  it('another α, with KL, trains its student once', async () => {
    const settings = { ...base, kl: { size: 1 }, eval_points: 3 };
    const shared = join(folder, 'home-kl');
    await recordRun(folder, smallRun(folder, settings), { home: shared });
    const second = await recordRun(folder, smallRun(folder, { ...settings, tms: { alpha: 0.5 } }), {
      home: shared,
    });
    expect(stepsOf(second.calls)).toHaveLength(9);
    // The base is not asked again either: what it said is part of what was measured of it.
    expect(askedIn(second.calls).filter(({ weights }) => weights === second.calls[0]?.weights)).toEqual([]);
  });
});
