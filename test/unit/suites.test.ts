import { describe, expect, test } from 'vitest';
import { configToYaml, parseConfig } from '../../src/config/load.ts';
import { ConfigError } from '../../src/config/problems.ts';

const run = 'model_name_or_path: m\noutput_dir: out\ndataset_name: d.jsonl\n';

function retentionOf(yaml: string) {
  return parseConfig(`${run}retention:\n  ${yaml}`, 'run.yaml').retention;
}

function refusalOf(yaml: string): string {
  try {
    retentionOf(yaml);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return 'nothing';
}

describe('a suite', () => {
  test('is the evaluation set of a task, whose data are on the hub unless it says where', () => {
    const { sets, suites } = retentionOf('suites: [arc_challenge, { name: mmlu, path: mine, limit: 7 }]');
    expect(suites).toEqual([]);
    expect(sets).toMatchObject([
      {
        name: 'arc_challenge',
        task: 'arc_challenge',
        path: 'hub:allenai/ai2_arc/ARC-Challenge@test',
        as_chat: false,
      },
      { name: 'mmlu', task: 'mmlu', path: 'mine', limit: 7, scorer: 'multiple_choice' },
    ]);
  });

  test('has its data in the folder of all suites, behind the sets that are written out', () => {
    const { sets } = retentionOf(
      'sets: [{ name: own, path: own.jsonl }]\n  suites: [safetybench, { name: piqa, path: p.jsonl }]\n  suites_path: ../data',
    );
    expect(sets.map(({ name, path }) => [name, path])).toEqual([
      ['own', 'own.jsonl'],
      ['safetybench', '../data'],
      ['piqa', 'p.jsonl'],
    ]);
  });

  test('of lm-eval is a task of its own or of a folder, asked as lm-eval asks', () => {
    const { sets } = retentionOf(
      'suites: ["lm_eval:arc_easy", { name: "lm_eval:My.Task", path: tasks, num_fewshot: 2, metric: acc_norm }]',
    );
    expect(sets).toMatchObject([
      { name: 'lm_eval-arc_easy', lm_eval: 'arc_easy', path: 'lm_eval', num_fewshot: null, task: null },
      { name: 'lm_eval-my-task', lm_eval: 'My.Task', path: 'tasks', num_fewshot: 2, metric: 'acc_norm' },
    ]);
  });

  test('is what it stands for in the resolved configuration, which reads the same again', () => {
    const config = parseConfig(`${run}retention: { suites: [arc_easy] }`, 'run.yaml');
    expect(parseConfig(configToYaml(config), 'resolved.yaml')).toEqual(config);
  });

  test.each([
    ['suites: [arc_chalenge]', 'line 5, retention.suites.0', 'did you mean arc_challenge?'],
    ['suites: [arc_easy, safetybench]', 'retention.suites.1', 'a folder that has safetybench/test_en.jsonl'],
    ['suites: [{ path: x }]', 'retention.suites.0', 'a block with its name'],
    ['suites: [quite_unknown_thing]', 'retention.suites.0', 'lm_eval:NAME is a task of lm-eval'],
    ['suites: [{ name: mmlu, limt: 3 }]', 'retention.suites.0.limt', 'did you mean limit?'],
    ['suites: [nothing_such, { name: mmlu, limit: 0 }]', 'retention.suites.1.limit', 'at least 1'],
    [
      'sets: [{ name: own, path: own.jsonl }]\n  suites: [{ name: mmlu, limit: 0 }]',
      'retention.suites.0.limit',
      'at least 1',
    ],
    ['sets: { name: own, path: own.jsonl }\n  suites: [mmlu]', 'retention.sets', 'expected a list'],
    ['suites_path: 5\n  suites: [mmlu]', 'retention.suites_path', 'a text'],
    ['suites: [null]', 'retention.suites.0', 'a block with its name'],
    [
      'suites: [{ name: "lm_eval:arc_easy", as_chat: true }]\nchat_template_kwargs: { enable_thinking: false }',
      'retention.suites.0.as_chat',
      'chat_template_kwargs is given',
    ],
    ['suites: [mmlu, mmlu]', 'retention.suites.1.name', 'a name that no other set has'],
    ['suites: [{ name: mmlu, metric: acc }]', 'retention.suites.0.metric', 'lm_eval is not given'],
  ])('%s is refused at its own place', (yaml, place, said) => {
    const message = refusalOf(yaml);
    expect(message).toContain(place);
    expect(message).toContain(said);
  });
});
