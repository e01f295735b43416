/** Rules that concern more than one key. */
import { type Path, type Problem, show } from './problems.ts';
import type { RunConfig } from './schema.ts';

type Finding = Omit<Problem, 'line'>;

/** Everything in a well-typed configuration that does not fit together. */
export function checkTogether(config: RunConfig): Finding[] {
  return [...checkTraining(config), ...checkData(config), ...checkSets(config)];
}

function checkTraining({ warmup_steps, warmup_ratio, max_steps, method, tms }: RunConfig): Finding[] {
  const findings: Finding[] = [];
  if (warmup_steps > 0 && warmup_ratio !== null) {
    findings.push(
      finding(['warmup_ratio'], show(warmup_ratio), 'nothing beside warmup_steps', 'keep one of the two'),
    );
  }
  if (warmup_steps > 1 && !Number.isInteger(warmup_steps)) {
    findings.push(
      finding(['warmup_steps'], show(warmup_steps), 'a whole number of steps, or a share below 1'),
    );
  }
  if (max_steps === 0)
    findings.push(finding(['max_steps'], '0', 'at least 1, or -1 to go by num_train_epochs'));
  if (method === 'tms' && max_steps > 0 && tms.num_checkpoints > max_steps) {
    const hint = 'each checkpoint needs a step of its own';
    findings.push(
      finding(
        ['tms', 'num_checkpoints'],
        show(tms.num_checkpoints),
        `at most max_steps (${max_steps})`,
        hint,
      ),
    );
  }
  return findings;
}

function checkData({ test_size, as_chat, columns }: RunConfig): Finding[] {
  const findings: Finding[] = [];
  if (test_size > 1 && !Number.isInteger(test_size)) {
    findings.push(finding(['test_size'], show(test_size), 'a share below 1, or a whole number of examples'));
  }
  if (columns.messages !== null && (columns.prompt !== null || columns.completion !== null)) {
    findings.push(
      finding(['columns', 'messages'], show(columns.messages), 'either messages, or prompt and completion'),
    );
  }
  if (columns.messages !== null && as_chat) {
    findings.push(finding(['as_chat'], 'true', 'false', 'messages are in chat form already'));
  }
  return findings;
}

function checkSets(config: RunConfig): Finding[] {
  const placed = (['eval', 'retention'] as const).flatMap(block =>
    config[block].sets.map((set, i) => ({ set, path: [block, 'sets', i] })),
  );
  return placed.flatMap(({ set, path }, i) => {
    const isTaken = placed.slice(0, i).some(earlier => earlier.set.name === set.name);
    const taken = finding([...path, 'name'], show(set.name), 'a name that no other set has');
    return [...(isTaken ? [taken] : []), ...checkScorer(set, path), ...checkChoice(set, path)];
  });
}

/** How options and answers are read stands only where they are. */
function checkChoice(set: RunConfig['eval']['sets'][number], path: Path): Finding[] {
  if (set.answer_is === null) return [];
  if (set.scorer !== 'multiple_choice')
    return [finding([...path, 'answer_is'], show(set.answer_is), `null, because scorer is ${set.scorer}`)];
  const isUnnamed = set.answer_is === 'label' && set.columns.labels === null;
  const expected = 'a column or a list of labels, because answer_is is label';
  return isUnnamed ? [finding([...path, 'columns', 'labels'], 'null', expected)] : [];
}

/** `command` and `module` stand exactly where the scorer of that name reads them. */
function checkScorer(set: RunConfig['eval']['sets'][number], path: Path): Finding[] {
  return (['command', 'module'] as const).flatMap(key => {
    const isGiven = set[key] !== null;
    if (isGiven === (set.scorer === key)) return [];
    const expected = isGiven ? `null, because scorer is ${set.scorer}` : `a value, because scorer is ${key}`;
    return [finding([...path, key], show(set[key]), expected)];
  });
}

function finding(path: Path, found: string, expected: string, hint: string | null = null): Finding {
  return { path, found, expected, hint };
}
