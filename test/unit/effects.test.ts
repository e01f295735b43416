/** A key without an effect is refused: what a person wrote is never ignored. */
import { describe, expect, it } from 'vitest';
import { checkDataEffects, type DataForm, guessedSettings } from '../../src/config/effects.ts';
import { parseConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/config/problems.ts';
import { type RunConfig, settingsOf } from '../../src/config/schema.ts';
import { listSettings } from '../../src/config/settings-list.ts';
import { openDataset } from '../../src/data/dataset.ts';
import { tms } from '../../src/methods/tms.ts';
import { readDataForm } from '../../src/runner/data-form.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';

const required = 'model_name_or_path: model\ndataset_name: data.jsonl\noutput_dir: out\n';

/** Paths of the keys that are refused. */
function refused(sets: readonly string[], text = ''): string[] {
  try {
    parseConfig(required + text, 'run.yaml', sets);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ path }) => path.join('.'));
    throw error;
  }
}

/** Keys that every run reads: where the code asks for them depends on no other key. */
const alwaysRead =
  `method output_dir run_name price_per_hour report_to save_steps model_name_or_path dtype attn_implementation trust_remote_code use_peft
  dataset_name dataset_test_name max_train_samples columns columns.messages split_special_tokens duplicates max_length max_too_long_fraction
  learning_rate lr_scheduler_type max_steps per_device_train_batch_size gradient_accumulation_steps weight_decay max_grad_norm
  optim gradient_checkpointing torch_compile seed data_seed determinism sampler sampler.backend sampler.workers sampler.endpoints
  sampler.endpoints.*.address sampler.endpoints.*.key sampler.strict placement placement.engine placement.samplers
  placement.samplers.count
  eval eval.suites eval.suites_path retention.suites retention.suites_path eval.sets eval.sets.*.name eval.sets.*.lm_eval eval.sets.*.path eval.sets.*.columns
  eval.sets.*.limit retention retention.sets retention.sets.*.name retention.sets.*.lm_eval retention.sets.*.path
  retention.sets.*.columns
  retention.sets.*.limit pld kl text_loss text_loss.path controls controls.base_samples worker worker.python worker.device worker.token_budget
  worker.threads eval_points`.split(/\s+/);

const set = (more: string) => `eval.sets=[{name: a, path: a.jsonl, ${more}}]`;
const other = 'replay.dataset_name=someone/else';
const nothingMeasured = ['pld.size=0', 'kl.size=0'];

/** `[key with a value, settings under which it has no effect, settings under which it has one]`, read off the code that uses it. */
const cases: [string, string[], string[]][] = [
  ['placement.address=here', ['placement.samplers.count=2'], ['placement.engine=ray']],
  ['placement.samplers.gpus=2', [], ['placement.samplers.count=2']],
  ['save_total_limit=3', ['save_steps=0'], ['save_steps=10']],
  ['lora_r=16', [], ['use_peft=true']],
  ['lora_alpha=16', ['use_peft=false'], ['use_peft=true']],
  ['lora_dropout=0.1', [], ['use_peft=true']],
  ['lora_target_modules=[q_proj]', [], ['use_peft=true']],
  ['lora_modules_to_save=[lm_head]', [], ['use_peft=true']],
  ['use_rslora=true', [], ['use_peft=true']],
  ['use_dora=true', [], ['use_peft=true']],
  ['columns.prompt=question', ['columns.messages=chat'], []],
  ['columns.completion=answer', ['columns.messages=chat'], []],
  ['as_chat=true', ['columns.messages=chat'], []],
  ['assistant_only_loss=true', ['as_chat=true'], []],
  ['test_size=0.2', ['dataset_test_name=test.jsonl'], []],
  ['max_test_samples=5', ['test_size=0'], ['dataset_test_name=test.jsonl']],
  ['max_test_samples=5', nothingMeasured, ['pld.size=0']],
  ['max_test_samples=5', ['pld.splits=[train]', 'kl.size=0'], ['pld.splits=[test]', 'kl.size=0']],
  ['too_long=drop', ['max_too_long_fraction=0'], []],
  ['warmup_steps=10', ['lr_scheduler_type=constant'], ['lr_scheduler_type=constant_with_warmup']],
  ['warmup_steps=10', ['warmup_ratio=0.1'], []],
  ['warmup_ratio=0.1', ['lr_scheduler_type=constant'], ['lr_scheduler_type=cosine']],
  ['num_train_epochs=3', ['max_steps=10'], ['max_steps=-1']],
  ['adam_beta1=0.9', ['use_peft=true', 'optim=muon'], ['use_peft=true']],
  ['adam_beta2=0.9', ['use_peft=true', 'optim=muon'], ['optim=muon']],
  [
    'adam_epsilon=1e-6',
    ['use_peft=true', 'optim=muon'],
    ['use_peft=true', 'optim=muon', 'lora_modules_to_save=[lm_head]'],
  ],
  ['bf16=false', ['dtype=bfloat16'], ['dtype=float32']],
  ['weight_rounding=nearest', ['dtype=float32'], ['dtype=bfloat16']],
  ['sampler.keep_alive=false', [], ['sampler.workers=1']],
  ['sampler.keep_alive=false', [], ['sampler.backend=vllm']],
  ['tms.num_checkpoints=2', ['method=sft'], ['method=tms']],
  ['tms.spacing=geometric', ['tms.num_checkpoints=1'], ['tms.num_checkpoints=2']],
  ['tms.include_base=true', ['method=sft'], []],
  ['tms.alpha=0.25', ['method=sft'], []],
  ['tms.alpha_end=0.5', ['method=sft'], []],
  ['tms.prefer_base=2', ['tms.num_checkpoints=1'], ['tms.num_checkpoints=1', 'tms.include_base=true']],
  ['tms.refresh=1', ['tms.num_checkpoints=0', 'tms.include_base=true'], []],
  ['tms.prefer_base=2', ['tms.order=early_to_late'], []],
  ['tms.lazy_harvest=true', ['tms.prefer_base=2'], []],
  ['tms.span=0.5', ['tms.num_checkpoints=0', 'tms.include_base=true'], []],
  ['tms.samples_per_prompt=4', ['tms.temperature=0'], ['tms.temperature=0.5']],
  ['tms.samples_per_prompt=1', ['method=sft'], ['tms.temperature=0']],
  ['tms.keep_checkpoints=false', ['method=sft'], []],
  ['tms.temperature=1', ['method=sft', 'controls.base_samples=true'], []],
  ['base_answers.temperature=0.5', [], ['controls.base_samples=true']],
  ['base_answers.temperature=1', ['method=sft'], ['method=base-answers']],
  ['base_answers.top_p=0.5', ['method=base-answers', 'base_answers.temperature=0'], ['method=base-answers']],
  ['base_answers.max_new_tokens=5', [], ['method=sft', 'controls.base_samples=true']],
  ['base_answers.stop=["."]', [], ['method=sft', 'controls.base_samples=true']],
  ['tms.top_p=0.9', ['tms.temperature=0'], []],
  ...[
    'rounds=3',
    'start=previous',
    'alpha=0.5',
    'temperature=0.5',
    'max_new_tokens=9',
    'stop=["."]',
    'max_fallback_fraction=1',
  ].map((key): [string, string[], string[]] => [`iterative.${key}`, [], ['method=iterative']]),
  ['iterative.top_p=0.5', ['method=iterative', 'iterative.temperature=0'], ['method=iterative']],
  ['iterative.unfinished=redraw', ['method=iterative', 'iterative.temperature=0'], ['method=iterative']],
  ['iterative.max_redraws=2', ['method=iterative'], ['method=iterative', 'iterative.unfinished=redraw']],
  ...[
    'group_size=4',
    'clip=0.1',
    'clip_high=0.3',
    'kl_coefficient=0.1',
    'temperature=0.5',
    'max_new_tokens=9',
    'stop=["."]',
  ].map((key): [string, string[], string[]] => [`grpo.${key}`, [], ['method=grpo']]),
  ...['share=0.5', 'max_samples=9', 'columns.completion=a', 'columns.messages=chat'].map(
    (key): [string, string[], string[]] => [
      `replay.${key}`,
      [],
      ['method=replay', 'replay.dataset_name=other.jsonl'],
    ],
  ),
  ['replay.dataset_name=other.jsonl', [], ['method=replay']],
  [
    'replay.dataset_config=en',
    ['method=replay', 'replay.dataset_name=other.jsonl'],
    ['method=replay', other],
  ],
  [
    'replay.dataset_split=test',
    ['method=replay', 'replay.dataset_name=other.jsonl'],
    ['method=replay', other],
  ],
  [
    'replay.dataset_revision=v2',
    ['method=replay', 'replay.dataset_name=other.jsonl'],
    ['method=replay', other],
  ],
  ['dataset_config=en', ['dataset_name=d.jsonl'], ['dataset_name=someone/data']],
  ['dataset_train_split=all', ['dataset_name=d.jsonl'], ['dataset_name=someone/data']],
  ['dataset_revision=v2', ['dataset_name=d.jsonl'], ['dataset_name=someone/data']],
  ['dataset_test_split=dev', ['dataset_name=d.jsonl'], ['dataset_name=someone/data']],
  ['dataset_test_split=dev', ['dataset_name=d.jsonl'], ['dataset_test_name=someone/data']],
  [
    'dataset_streaming=true',
    ['dataset_name=someone/data'],
    ['dataset_name=someone/data', 'max_train_samples=5'],
  ],
  ['replay.columns.prompt=question', ['method=replay', 'replay.columns.messages=chat'], ['method=replay']],
  ...['beta=0.5', 'direction=reverse', 'top_k=4'].map((key): [string, string[], string[]] => [
    `kl_sft.${key}`,
    [],
    ['method=kl-sft'],
  ]),
  ...[
    'teacher=base',
    'frame="{prompt}{answer}"',
    'direction=reverse',
    'top_k=4',
    'samples_per_prompt=2',
    'temperature=0.5',
    'max_new_tokens=9',
    'stop=["."]',
  ].map((key): [string, string[], string[]] => [`sdft.${key}`, [], ['method=sdft']]),
  ['sdft.ema_rate=0.5', ['method=sdft', 'sdft.teacher=base'], ['method=sdft']],
  ...[
    'teacher=other',
    'start=sft',
    'direction=forward',
    'top_k=4',
    'samples_per_prompt=2',
    'learning_rate=1e-4',
    'num_train_epochs=1',
    'temperature=0.5',
    'max_new_tokens=9',
    'stop=["."]',
  ].map((key): [string, string[], string[]] => [`distill.${key}`, [], ['method=distill']]),
  ...['sdft', 'distill'].map((method): [string, string[], string[]] => [
    `${method}.top_p=0.5`,
    [`method=${method}`, `${method}.temperature=0`],
    [`method=${method}`],
  ]),
  ...[
    'frame="{prompt}{answer}"',
    'banned=[a]',
    'temperature=0.5',
    'max_new_tokens=9',
    'stop=["."]',
    'max_fallback_fraction=1',
  ].map((key): [string, string[], string[]] => [`self_rewritten.${key}`, [], ['method=self-rewritten']]),
  ...(
    [
      ['top_p=0.5', 'temperature=0', null],
      ['unfinished=redraw', 'temperature=0', null],
      ['max_redraws=2', null, 'unfinished=redraw'],
    ] as const
  ).map(([key, without, within]): [string, string[], string[]] => {
    const keys = (key: string | null) => ['method=self-rewritten', ...(key ? [`self_rewritten.${key}`] : [])];
    return [`self_rewritten.${key}`, keys(without), keys(within)];
  }),
  ['wise_ft.shares=[0.3]', [], ['method=wise-ft']],
  ['early_stopped.choose_by=retention', [], ['method=early-stopped']],
  [
    'early_stopped.sets=[a]',
    [],
    ['method=early-stopped', 'eval.sets=[{name: a, path: a.jsonl}, {name: b, path: b.jsonl}]'],
  ],
  [
    'early_stopped.max_drop=0.1',
    ['method=early-stopped'],
    ['method=early-stopped', 'early_stopped.choose_by=retention'],
  ],
  ['grpo.top_p=0.5', ['method=grpo', 'grpo.temperature=0'], ['method=grpo']],
  ...(['iterative.accept', 'self_rewritten.accept', 'grpo.reward'] as const).flatMap(
    (block): [string, string[], string[]][] => {
      const method = `method=${block.slice(0, block.indexOf('.')).replace('_', '-')}`;
      return [
        [`${block}.scorer=gsm8k`, [], [method]],
        [`${block}.command=[wc]`, [method, `${block}.scorer=gsm8k`], [method, `${block}.scorer=command`]],
        [`${block}.module=a.mjs`, [method, `${block}.scorer=gsm8k`], [method, `${block}.scorer=module`]],
        [
          `${block}.scorer_inputs=[lib]`,
          [method, `${block}.scorer=gsm8k`],
          [method, `${block}.scorer=module`],
        ],
      ];
    },
  ),
  ['tms.max_new_tokens=9', ['method=sft'], []],
  ['tms.stop=["."]', ['method=sft'], []],
  ['tms.max_fallback_fraction=1', ['method=sft', 'controls.base_samples=true'], ['tms.filters=none']],
  ['tms.order=early_to_late', ['tms.num_checkpoints=1'], ['tms.num_checkpoints=1', 'tms.include_base=true']],
  ['tms.order=early_to_late', ['tms.num_checkpoints=0', 'tms.include_base=true'], ['tms.num_checkpoints=2']],
  ['tms.filters=none', ['method=sft'], []],
  ['tms.student_init=sft', ['method=sft'], []],
  ['tms.lazy_harvest=false', ['method=sft'], []],
  ['tms.unfinished=redraw', ['tms.temperature=0'], ['tms.temperature=0.5']],
  ['tms.unfinished=gold', ['tms.filters=none'], []],
  ['tms.max_redraws=2', ['tms.unfinished=gold'], ['tms.unfinished=redraw']],
  ['tms.student.learning_rate=1e-4', ['method=sft'], []],
  ['tms.student.num_train_epochs=1', ['method=sft'], []],
  ['sampler.python=python3', [], ['sampler.backend=vllm']],
  ['sampler.gpu_memory_utilization=0.4', [], ['sampler.backend=vllm']],
  [
    'sampler.max_rows=8',
    ['method=sft', 'kl.size=0', set('scorer: multiple_choice')],
    ['method=sft', 'kl.size=0', set('scorer: gsm8k')],
  ],
  ['eval.temperatures=[0, 1]', ['eval.sets=[]'], [set('scorer: gsm8k')]],
  [
    'retention.temperatures=[0]',
    ['retention.sets=[{name: a, path: a.jsonl, scorer: multiple_choice}]'],
    ['retention.sets=[{name: a, path: a.jsonl}]'],
  ],
  ['eval.sets.0.scorer=gsm8k', [set('task: gsm8k')], [set('')]],
  ['eval.sets.0.task=gsm8k', [set('lm_eval: arc_easy')], [set('')]],
  ['eval.sets.0.num_fewshot=1', [set('')], [set('lm_eval: arc_easy'), set('task: gsm8k')]],
  ['load_in_4bit=true', ['use_peft=false'], ['use_peft=true']],
  ['bnb_4bit_quant_type=fp4', ['use_peft=true'], ['use_peft=true', 'load_in_4bit=true']],
  ['use_bnb_nested_quant=true', ['use_peft=true'], ['use_peft=true', 'load_in_4bit=true']],
  ['eval.sets.0.fewshot_path=a.jsonl', [set('task: gsm8k')], [set('task: gsm8k, num_fewshot: 1')]],
  ['eval.sets.0.metric=acc', [set('')], [set('lm_eval: arc_easy')]],
  ['eval.sets.0.columns.prompt=c', [set('task: gsm8k')], [set('')]],
  ['eval.sets.0.columns.answer=c', [set('task: gsm8k')], [set('')]],
  ['eval.sets.0.command=[wc]', [set('scorer: exact_match')], [set('scorer: command')]],
  ['eval.sets.0.module=a.mjs', [set('scorer: gsm8k')], [set('scorer: module')]],
  ['eval.sets.0.scorer_inputs=[lib]', [set('scorer: gsm8k')], [set('scorer: command')]],
  ['eval.sets.0.answer_is=index', [set('')], [set('scorer: multiple_choice')]],
  ['eval.sets.0.columns.choices=c', [set('scorer: gsm8k')], [set('scorer: multiple_choice')]],
  ['eval.sets.0.columns.labels=c', [set('')], [set('scorer: multiple_choice')]],
  ['eval.sets.0.max_new_tokens=9', [set('scorer: multiple_choice')], [set('')]],
  ['eval.sets.0.stop=["."]', [set('scorer: multiple_choice')], [set('')]],
  [
    'retention.max_unfinished_fraction=1',
    ['retention.sets=[{name: a, path: a.jsonl, scorer: multiple_choice}]'],
    ['retention.sets=[{name: a, path: a.jsonl}]'],
  ],
  ['retention.margin=0.05', [], ['retention.sets=[{name: a, path: a.jsonl}]']],
  ['retention.max_drop=0.05', [], ['retention.sets=[{name: a, path: a.jsonl}]']],
  ...['column=body', 'size=9', 'max_tokens=99'].map((key): [string, string[], string[]] => [
    `text_loss.${key}`,
    [],
    ['text_loss.path=wiki.jsonl'],
  ]),
  ['pld.size=10', ['test_size=0', 'pld.splits=[test]'], ['test_size=0']],
  ['pld.splits=[train]', ['pld.size=0'], ['pld.size=9']],
  ['kl.own_answers=2', ['kl.size=0'], []],
  ['controls.base_again=true', [], ['kl.own_answers=1']],
  ['kl.size=9', ['test_size=0'], ['test_size=0', 'retention.sets=[{name: a, path: a.jsonl}]']],
];

/** Keys whose effect depends on the shape of the data; the file decides. */
const text: DataForm = { isMessages: false, isConversation: false, setIsMessages: { a: false } };
const messages: DataForm = { isMessages: true, isConversation: true, setIsMessages: { a: true } };
const answered: DataForm = { ...messages, isConversation: false };
const dataCases: [string, string[], DataForm, DataForm][] = [
  ['as_chat=true', [], messages, text],
  ['system_prompt=Be brief.', [], text, messages],
  ['chat_template_kwargs={enable_thinking: false}', [], text, messages],
  ['chat_template_path=t.jinja', [], text, messages],
  ['chat_template_date=2026-11-26', [], { ...messages, readsDate: false }, { ...messages, readsDate: true }],
  ['chat_template_date=2026-11-26', [], text, messages],
  ['columns.tools=functions', [], text, messages],
  ['replay.columns.tools=functions', ['method=replay', 'replay.dataset_name=other.jsonl'], text, messages],
  ['max_rewritten_fraction=0.5', [], text, messages],
  ['assistant_only_loss=true', [], answered, messages],
  ['eval.sets.0.as_chat=true', [set('')], messages, text],
  ['eval.sets.0.system_prompt=Be brief.', [set('as_chat: false')], text, messages],
];

describe('every key of the schema', () => {
  const keyOf = (override: string) => override.slice(0, override.indexOf('=')).replace('.0.', '.*.');
  const isBlock = (path: string) => listSettings().some(other => other.path.startsWith(`${path}.`));
  const conditional = listSettings().filter(
    setting => setting['x-read-when'] !== undefined && !isBlock(setting.path),
  );

  it('is read by every run, or says when it is read', () => {
    const silent = listSettings().filter(setting => setting['x-read-when'] === undefined);
    expect(silent.map(({ path }) => path)).toEqual(expect.arrayContaining(alwaysRead));
    expect(silent.map(({ path }) => path).filter(path => !alwaysRead.includes(path))).toEqual([]);
  });

  it('that says when it is read has a case below', () => {
    const tried = new Set([...cases, ...dataCases].map(([key]) => keyOf(key)));
    const places = conditional.map(({ path }) => path.replace('retention.sets.*', 'eval.sets.*'));
    expect(places.filter(path => !tried.has(path) && path !== 'model_revision')).toEqual([]);
  });
});

describe('a key without an effect', () => {
  it.each(cases)('%s beside %j is refused, and with %j it is not', (key, without, within) => {
    const path = key.slice(0, key.indexOf('='));
    expect(refused([...without, key])).toContain(path);
    expect(refused([...within, key])).not.toContain(path);
  });

  it.each(dataCases)('%s %j is refused when the data say so', (key, others, refusing, accepting) => {
    const config = parseConfig(required, 'run.yaml', [...others, key]);
    const path = key.slice(0, key.indexOf('='));
    const refusedBy = (form: DataForm) => checkDataEffects(config, form).map(found => found.path.join('.'));
    expect(refusedBy(refusing)).toEqual([path]);
    expect(refusedBy(accepting)).not.toContain(path);
  });

  it('is judged by the shape of the training data, and of a set where a key hangs on it', async () => {
    const chat = [
      { role: 'user', content: 'q' },
      { role: 'assistant', content: 'a' },
    ];
    const [texts, chats] = [{ prompt: 'q', completion: 'a', answer: 'a' }, { messages: chat }].map(record =>
      temporaryFile('data.jsonl', `${JSON.stringify(record)}\n`),
    );
    const formOf = async (file: string | undefined, sets: string[]) => {
      const config = parseConfig(required, 'run.yaml', [`dataset_name=${file}`, 'test_size=0', ...sets]);
      return readDataForm(config, await openDataset(config, temporaryDirectory()), temporaryDirectory());
    };
    const setAt = (file: string | undefined, more: string) => `eval.sets=[{name: a, path: ${file}${more}}]`;
    expect(await formOf(texts, [setAt(chats, '')])).toEqual({
      isMessages: false,
      isConversation: false,
      setIsMessages: {},
    });
    expect(await formOf(chats, [setAt(texts, ', as_chat: true')])).toEqual({
      isMessages: true,
      isConversation: true,
      setIsMessages: { a: false },
    });
    const ofLmEval = 'retention.suites=[{name: "lm_eval:hellaswag", as_chat: true}]'; // it has no file of ours
    expect((await formOf(texts, [ofLmEval, 'system_prompt=x'])).setIsMessages).toEqual({
      'lm_eval-hellaswag': false,
    });
    expect(await formOf(texts, [setAt(chats, ''), 'system_prompt=x'])).toEqual({
      isMessages: false,
      isConversation: false,
      setIsMessages: { a: true },
    });
  });

  it('a revision of a directory', () => {
    const directory = temporaryFile('config.json', '{}').replace('/config.json', '');
    expect(refused([`model_name_or_path=${directory}`, 'model_revision=v2'])).toEqual(['model_revision']);
    expect(refused(['model_name_or_path=some/model', 'model_revision=v2'])).toEqual([]);
  });

  it('is named with its line, the reason, and what would make it count; all at once', () => {
    const yaml = 'lora_r: 16\nmethod: sft\ntms: {temperature: 1, student: {learning_rate: 1}}\n';
    expect(() => parseConfig(required + yaml, 'run.yaml')).toThrow(
      [
        'run.yaml: 3 problems',
        '  line 4, lora_r: found 16, expected nothing, because use_peft is false — it is read with use_peft: true; take it out (or --set lora_r=)',
        '  line 6, tms.temperature: found 1, expected nothing, because method is sft — it is read with method: tms; take it out (or --set tms.temperature=)',
        '  line 6, tms.student.learning_rate: found 1, expected nothing, because method is sft — it is read with method: tms; take it out (or --set tms.student.learning_rate=)',
      ].join('\n'),
    );
  });

  it('counts as given only when something is asked: not null, not an empty block', () => {
    expect(
      refused([], 'method: sft\ntms:\nlora_target_modules: null\neval: {sets: []}\ncolumns: {}\n'),
    ).toEqual([]);
  });

  it('can be taken out on the command line, a whole block too', () => {
    const yaml = 'num_train_epochs: 24\ntms: {num_checkpoints: 2, alpha: 0.5}\n';
    expect(refused(['max_steps=5'], yaml)).toEqual(['num_train_epochs']);
    expect(refused(['max_steps=5', 'num_train_epochs='], yaml)).toEqual([]);
    expect(refused([], `method: sft\n${yaml}`)).toEqual(['tms.num_checkpoints', 'tms.alpha']);
    expect(refused(['tms='], `method: sft\n${yaml}`)).toEqual([]);
    expect(refused(['num_train_epoch='], yaml)).toEqual(['num_train_epoch']);
  });

  it('is left out where the file has it for its own method and the command line chose another', () => {
    const yaml = 'tms: {num_checkpoints: 2, alpha: 0.5, student: {learning_rate: 1}}\n';
    expect(refused(['method=sft'], yaml)).toEqual([]);
    expect(refused(['method=sft'], `method: tms\n${yaml}`)).toEqual([]);
    const [left, plain] = [yaml, ''].map(text => parseConfig(required + text, 'run.yaml', ['method=sft']));
    expect(left).toEqual(plain);
    const other = parseConfig(required + yaml, 'run.yaml', ['method=sft', 'controls.base_samples=true']);
    expect(settingsOf(other, tms)).toEqual(settingsOf(plain as RunConfig, tms));
  });

  it('is not left out where the file or the command line itself has no use for it', () => {
    expect(refused(['method=sft'], 'method: sft\ntms: {alpha: 0.5}\n')).toEqual(['tms.alpha']);
    expect(refused(['method=sft', 'tms.alpha=0.5'], 'tms: {num_checkpoints: 2}\n')).toEqual(['tms.alpha']);
    expect(refused(['method=sft', 'tms={alpha: 0.5}'], 'tms: {num_checkpoints: 2}\n')).toEqual(['tms.alpha']);
    const never = 'tms: {max_redraws: 3, alpha: 0.5}\nmax_steps: 5\nnum_train_epochs: 3\n';
    expect(refused(['method=sft'], never)).toEqual(['tms.max_redraws', 'num_train_epochs']);
    expect(refused(['method=sft', 'seed=x'], 'tms: {alpha: 0.5}\n')).toEqual(['seed']);
  });

  it('is in no list of guessed settings', () => {
    const guessed = guessedSettings(parseConfig(required, 'run.yaml', ['max_steps=20', 'pld.size=0']));
    const paths = guessed.map(({ path }) => path);
    expect(paths).toContain('warmup_steps');
    expect(paths).toContain('pld.size');
    expect(paths).not.toContain('num_train_epochs');
    expect(paths).not.toContain('pld.splits');
    expect(paths).not.toContain('tms.max_redraws');
  });
});
