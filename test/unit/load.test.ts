import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { guessedSettings } from '../../src/config/effects.ts';
import { configToYaml, loadConfig, parseConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/config/problems.ts';
import { settingsOf } from '../../src/config/schema.ts';
import { UsageError } from '../../src/errors.ts';
import { tms } from '../../src/methods/tms.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';

const required = 'model_name_or_path: model\ndataset_name: data.jsonl\noutput_dir: out\n';

/** The lines below the heading of the refusal. */
function temporaryBytes(text: string, encoding: BufferEncoding): string {
  const file = temporaryFile('run.yaml', '');
  writeFileSync(file, Buffer.from(text, encoding));
  return file;
}

function refusal(text: string, sets: string[] = []): string[] {
  try {
    parseConfig(text, 'run.yaml', sets);
  } catch (error) {
    if (error instanceof ConfigError)
      return error.message
        .split('\n')
        .slice(1)
        .map(line => line.trim());
    throw error;
  }
  return [];
}

describe('parseConfig', () => {
  it('fills in TRL’s defaults and our own', () => {
    const config = parseConfig(required, 'run.yaml');
    expect(config).toMatchObject({
      method: 'tms',
      learning_rate: 2e-5,
      num_train_epochs: 3,
      per_device_train_batch_size: 8,
      max_length: 1024,
      lora_r: 16,
      lora_alpha: 32,
      gradient_checkpointing: null,
      torch_compile: null,
      seed: 42,
      tms: { num_checkpoints: 10, alpha: 0.25, samples_per_prompt: 1, temperature: 1, unfinished: 'gold' },
    });
  });

  it('is frozen to the bottom', () => {
    const config = parseConfig(required, 'run.yaml');
    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.isFrozen(settingsOf(config, tms).student)).toBe(true);
    expect(Object.isFrozen(config.eval.temperatures)).toBe(true);
  });

  it('puts --set over the file, the last one winning', () => {
    const config = parseConfig(`${required}tms:\n  alpha: 0.1\n`, 'run.yaml', [
      'tms.alpha=0.2',
      'tms.alpha=0.3',
    ]);
    expect(settingsOf(config, tms).alpha).toBe(0.3);
  });

  it('reads 1e-4 as a number and off as a word, unlike YAML 1.1', () => {
    const config = parseConfig(`${required}learning_rate: 1e-4\ndeterminism: off\n`, 'run.yaml');
    expect([config.learning_rate, config.determinism]).toEqual([0.0001, 'off']);
  });

  it('reports everything at once: lines, what was found, what was expected, what was meant', () => {
    const text = [
      'model_name_or_path: model',
      'output_dir: out',
      'datset_name: data.jsonl',
      'learning_rate: "1e-4"',
      'lr_scheduler_type: cosin',
      'max_steps: 10',
      'max_completion_length: 64',
      'tms:',
      '  alpha: 1.5',
      '  alhpa: 0.5',
      '  num_checkpoints: 20',
      'forget: {}',
    ].join('\n');
    expect(refusal(text, ['tms.top_p=7'])).toEqual([
      'dataset_name: found nothing, expected a text — this key is required',
      'tms.top_p: found 7, expected at most 1',
      'line 3, datset_name: found an unknown key, expected a key of the schema — did you mean dataset_name?',
      'line 4, learning_rate: found "1e-4", expected a number — remove the quotes',
      'line 5, lr_scheduler_type: found "cosin", expected one of constant, constant_with_warmup, linear, cosine — did you mean cosine?',
      'line 7, max_completion_length: found an unknown key, expected a key of the schema — did you mean tms.max_new_tokens?',
      'line 9, tms.alpha: found 1.5, expected at most 1',
      'line 10, tms.alhpa: found an unknown key, expected a key of the schema — did you mean alpha?',
      'line 11, tms.num_checkpoints: found 20, expected at most max_steps (10) — each checkpoint needs a step of its own',
      'line 12, forget: found an unknown key, expected a key of the schema — did you mean retention?',
    ]);
  });

  it.each([
    ['tms: {alpha: -0.1}', 'line 4, tms.alpha: found -0.1, expected at least 0'],
    ['tms: {top_p: 0}', 'line 4, tms.top_p: found 0, expected above 0'],
    ['seed: -1', 'line 4, seed: found -1, expected at least 0'],
    ['seed: 1.5', 'line 4, seed: found 1.5, expected a whole number'],
    ['eval_points: 1', 'line 4, eval_points: found 1, expected at least 2'],
    ['use_peft: yes please', 'line 4, use_peft: found "yes please", expected true or false'],
    ['tms: 3', 'line 4, tms: found 3, expected a block of keys'],
    ['run_name: ""', 'line 4, run_name: found "", expected a text that is not empty'],
    [
      'warmup_steps: 2.5',
      'line 4, warmup_steps: found 2.5, expected a whole number of steps, or a share below 1',
    ],
    [
      '{warmup_steps: 5, warmup_ratio: 0.1}',
      'warmup_steps: found 5, expected nothing, because warmup_ratio is given (0.1) — it is read with lr_scheduler_type other than constant and no warmup_ratio; take it out (or --set warmup_steps=)',
    ],
    ['max_steps: 0', 'line 4, max_steps: found 0, expected at least 1, or -1 to go by num_train_epochs'],
    [
      'test_size: 2.5',
      'line 4, test_size: found 2.5, expected a share below 1, or a whole number of examples',
    ],
    [
      'columns: {messages: a, prompt: b}',
      'line 4, columns.prompt: found "b", expected nothing, because columns.messages is given (a) — it is read with no columns.messages; take it out (or --set columns.prompt=)',
    ],
    [
      'chat_template_kwargs: {a: 1}',
      'line 4, chat_template_kwargs.a: found 1, expected a text, true, false or null',
    ],
    [
      'lr_scheduler_type: cosin',
      'line 4, lr_scheduler_type: found "cosin", expected one of constant, constant_with_warmup, linear, cosine — did you mean cosine?',
    ],
  ])('refuses %s', (line, message) => {
    const text = line.startsWith('{') ? required : `${required}${line}\n`;
    const sets = line.startsWith('{') ? ['warmup_steps=5', 'warmup_ratio=0.1'] : [];
    expect(refusal(text, sets)).toEqual([message]);
  });

  it('checks answer_is: multiple choice only, and a label with labels', () => {
    const sets = [
      '{name: a, path: a.jsonl, answer_is: index}',
      '{name: b, path: b.jsonl, scorer: multiple_choice, answer_is: label}',
      '{name: c, path: c.jsonl, scorer: multiple_choice, answer_is: label, columns: {labels: [A, B]}}',
      '{name: d, path: d.jsonl, scorer: multiple_choice, answer_is: index_from_1, columns: {choices: [x, y]}}',
    ];
    expect(refusal(`${required}eval:\n  sets:\n${sets.map(set => `    - ${set}\n`).join('')}`)).toEqual([
      expect.stringMatching(
        /eval.sets.0.answer_is: found "index", expected nothing, because scorer is exact_match/,
      ),
      expect.stringMatching(/eval.sets.1.columns.labels: found null, expected a column or a list of labels/),
    ]);
  });

  it('checks sets: names once, a scorer with what it needs', () => {
    const set = (name: string, more = '') => `    - {name: ${name}, path: a.jsonl${more}}\n`;
    const sets = `eval:\n  sets:\n${set('a')}${set('b', ', scorer: command')}retention:\n  sets:\n${set('a')}${set('c', ', module: m.js')}`;
    expect(refusal(required + sets)).toEqual([
      'line 7, eval.sets.1.command: found null, expected a value, because scorer is command',
      'line 10, retention.sets.0.name: found "a", expected a name that no other set has',
      'line 11, retention.sets.1.module: found "m.js", expected nothing, because scorer is exact_match — it is read with scorer: module; take it out (or --set retention.sets.1.module=)',
    ]);
  });

  it.each([
    ['num_train_epochs: 1e9', 'at most 1000000'],
    ['max_steps: 9e15', 'at most 1000000000'],
    ['eval_points: 900000000', 'at most 10000'],
    ['tms: {num_checkpoints: 1e6}', 'at most 10000'],
    ['tms: {samples_per_prompt: 1e8}', 'at most 10000'],
    ['worker: {threads: 1e6}', 'at most 10000'],
    ['learning_rate: .nan', 'a number'],
    ['weight_decay: .inf', 'a number'],
    ['seed: 4294967296', 'at most 4294967295'],
  ])('bounds %s', (line, expected) => {
    expect(refusal(`${required}${line}\n`)).toEqual([expect.stringMatching(`expected ${expected}$`)]);
  });

  it('shows a number that is none as what it is', () => {
    expect(refusal(`${required}learning_rate: .nan\n`)).toEqual([
      'line 4, learning_rate: found NaN, expected a number',
    ]);
  });

  const bomb = [...'bcdefghij'].map(
    (name, i) => `${name}: &${name} [${Array(10).fill(`*${'abcdefghij'[i]}`).join(',')}]\n`,
  );
  it.each([
    ['aliases that multiply', `a: &a [${Array(10).fill('x').join(',')}]\n${bomb.join('')}`],
    ['an alias of nothing', 'seed: *x\n'],
    ['lists nested a hundred thousand deep', `seed: ${'['.repeat(1e5)}`],
    [
      'blocks nested three thousand deep',
      `x:\n${Array.from({ length: 3000 }, (_, i) => `${' '.repeat(i + 1)}a:\n`).join('')}`,
    ],
    ['a tag that makes an object', 'seed: !!js/function "x"\n'],
    ['a set', 'tms: !!set {a, b}\n'],
    ['twenty thousand keys', Array.from({ length: 20_000 }, (_, i) => `k${i}: 1\n`).join('')],
    ['keys of every object', '__proto__: {a: 1}\nconstructor: {prototype: 1}\n'],
    ['two documents', '---\nseed: 1\n'],
  ])('refuses %s as a problem of the file', (_, yaml) => {
    const problems = refusal(required + yaml);
    expect(problems.length).toBeGreaterThan(0);
    expect(problems.length).toBeLessThan(60);
    for (const problem of problems) expect(problem.length).toBeLessThan(300);
  });

  it.each([
    ['eval.sets.900000000={name: a}', 'found entry 900000000, expected at most 1, one past the last'],
    ['eval.sets.2.limit=1', 'found entry 2, expected at most 1, one past the last'],
    ['__proto__.polluted=1', '__proto__: found an unknown key, expected a key of the schema'],
    ['tms.__proto__.polluted=1', 'tms.__proto__: found an unknown key, expected a key of the schema'],
    [`${'a.'.repeat(1e5)}b=1`, /^found "a\.a.*…, expected key=value/],
    [`seed=${'['.repeat(1e5)}`, /^found "seed=\[.*…, expected a value that is valid YAML/],
  ])('refuses --set %s', (override, message) => {
    const sets = 'eval: {sets: [{name: a, path: a.jsonl}]}\n';
    expect(refusal(required + sets, [override])).toEqual([expect.stringMatching(message)]);
    expect(({} as { polluted?: number }).polluted).toBeUndefined();
  });

  it('appends to a list with the index behind its last entry', () => {
    const sets = 'eval: {sets: [{name: a, path: a.jsonl}]}\n';
    const config = parseConfig(required + sets, 'run.yaml', ['eval.sets.1={name: b, path: b.jsonl}']);
    expect(config.eval.sets.map(({ name }) => name)).toEqual(['a', 'b']);
  });

  it('names the line of broken YAML', () => {
    expect(refusal('seed: 1\nseed: 2\n\tmethod: sft\n')).toEqual([
      'line 2: found seed for the second time, expected each key once — remove one of the two',
      'line 3: found Tabs are not allowed as indentation, expected valid YAML — indent with spaces',
    ]);
  });

  it('refuses a file that is not a block of keys', () => {
    expect(refusal('- 1\n')).toEqual(['found [1], expected a block of keys']);
  });
});

describe('loadConfig', () => {
  it('reads a file', () => {
    expect(loadConfig(temporaryFile('run.yaml', required), ['seed=7']).seed).toBe(7);
  });

  it.each([
    [
      'that is not there',
      () => '/nowhere/run.yaml',
      /^cannot read the configuration \/nowhere\/run.yaml: .*no such file/,
    ],
    ['that is a folder', temporaryDirectory, /^cannot read the configuration .*: .*a folder, not a file/],
    ['below a file', () => join(temporaryFile('a', ''), 'run.yaml'), /a part of the path is a file/],
    ['with a name of 5,000 letters', () => 'a'.repeat(5000), /the name is too long/],
    ['whose name holds a zero', () => 'a\0b', /^cannot read the configuration/],
    ['that never ends', () => '/dev/zero', /^the configuration \/dev\/zero has more than 16 MiB/],
    [
      'in Latin-1',
      () => temporaryBytes('seed: 1\nrun_name: caf\xe9\n', 'latin1'),
      /is not UTF-8 \(line 2\)$/,
    ],
    ['in UTF-16', () => temporaryBytes('\ufeffseed: 1\n', 'utf16le'), /is not UTF-8 \(line 1\)$/],
  ])('refuses a file %s', (_, place, message) => {
    expect(() => loadConfig(place())).toThrow(UsageError);
    expect(() => loadConfig(place())).toThrow(message);
  });

  it('reads a file with a byte order mark', () => {
    expect(loadConfig(temporaryBytes(`\ufeff${required}`, 'utf8')).seed).toBe(42);
  });
});

describe('configToYaml', () => {
  it.each([
    [['tms.alpha=0.5', 'chat_template_kwargs={think: false}']],
    [['method=sft', 'max_steps=3', 'warmup_ratio=0.1', 'dtype=bfloat16', 'save_steps=0']],
    [['use_peft=true', 'optim=muon', 'dataset_test_name=t.jsonl', 'pld.size=0', 'tms.temperature=0']],
    [['eval={sets: [{name: a, path: a.jsonl, scorer: multiple_choice}]}', 'columns.messages=m']],
  ])('gives the same configuration back, however many keys are without effect: %j', sets => {
    const config = parseConfig(required, 'run.yaml', sets);
    expect(parseConfig(configToYaml(config), 'again')).toEqual(config);
  });

  it('has every key that is read with its value, defaults too', () => {
    const yaml = configToYaml(parseConfig(required, 'run.yaml', ['method=sft']));
    expect(yaml).toContain('learning_rate: 0.00002\n');
    expect(yaml).not.toContain('lora_r');
    expect(yaml).not.toContain('alpha');
  });
});

describe('guessedSettings', () => {
  it('lists what the paper does not state with the value in effect', () => {
    const guessed = guessedSettings(parseConfig(required, 'run.yaml', ['tms.temperature=0.7']));
    expect(guessed.find(({ path }) => path === 'tms.temperature')).toMatchObject({ value: 0.7 });
    const paths = guessed.map(({ path }) => path);
    expect(paths).toContain('learning_rate');
    expect(paths).toContain('tms.student.num_train_epochs');
    expect(paths).not.toContain('tms.alpha');
    expect(paths).not.toContain('tms.num_checkpoints');
    expect(paths).not.toContain('output_dir');
  });

  it('leaves out the settings of tms where the method does not read them', () => {
    const guessed = guessedSettings(parseConfig(`${required}method: sft\n`, 'run.yaml'));
    expect(guessed.filter(({ path }) => path.startsWith('tms.'))).toEqual([]);
    expect(guessed.length).toBeGreaterThan(5);
    const control = guessedSettings(
      parseConfig(`${required}method: sft\ncontrols: {base_samples: true}\n`, 'run.yaml'),
    );
    expect(control.map(({ path }) => path).filter(path => path.startsWith('base_answers.'))).toEqual([
      'base_answers.temperature',
      'base_answers.top_p',
      'base_answers.max_new_tokens',
    ]);
  });
});

describe('samplers', () => {
  it('are said to be so many in one place, and Ray is told how many', () => {
    const endpoint = `{address: "tcp://10.0.0.5:5555", key: ${'0f'.repeat(32)}}`;
    expect(refusal(required, [`sampler.endpoints=[${endpoint}]`, 'sampler.workers=2'])).toEqual([
      'sampler.workers: found 2, expected null, because sampler.endpoints says which samplers there are',
    ]);
    expect(refusal(required, ['sampler.workers=2', 'placement.samplers.count=2'])).toEqual([
      'sampler.workers: found 2, expected null, because placement.samplers.count says which samplers there are',
    ]);
    expect(refusal(required, ['placement.engine=ray'])).toEqual([
      'placement.samplers.count: found null, expected the number of samplers that Ray is to place',
    ]);
    expect(refusal(required, ['sampler.endpoints=[{address: here, key: abc}]'])).toEqual([
      'sampler.endpoints.0.address: found "here", expected tcp://HOST:PORT',
      'sampler.endpoints.0.key: found "abc", expected 64 hexadecimal digits',
    ]);
    expect(refusal(required, [`sampler.endpoints=[${endpoint}]`])).toEqual([]);
  });
});
