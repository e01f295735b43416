/** A study as a person writes it: what its runs have in common, the methods, what is crossed with them, and what is claimed. */
import { z } from 'zod';
import { ConfigError, type Path, type Problem, problemsOf } from '../config/problems.ts';
import { keysAt } from '../config/settings-list.ts';
import { nearest } from '../config/suggest.ts';
import { parseYaml } from '../config/yaml-file.ts';
import { readUserText } from '../files/user-file.ts';
import { claimFaults, type Fault, studyFaults } from './check-study.ts';

const text = z.string().min(1);
/** Keys of a run with values, as `--set` takes them; an empty text takes a key out. */
const settings = z.record(z.string(), z.unknown());
/** Crossed keys, or a list of points whose keys go together. */
const axes = z.union([z.record(z.string(), z.array(z.unknown()).min(1)), z.array(settings).min(1)]);

/** What a study compares, in the order of its tables. */
export const measures = [
  'target',
  'sampled_target',
  'retention',
  'pld',
  'drift',
  'kl_target',
  'kl_retention',
  'text_loss',
  'kl_model_target',
  'kl_model_retention',
  'entropy_target',
  'entropy_retention',
  'distinct_target',
  'distinct_retention',
  'gold_overlap',
] as const;
export type Measure = (typeof measures)[number];

/** Of one method, or of it minus another one, or minus `times` as much. */
const quantity = {
  of: text,
  against: text.nullable().default(null),
  times: z.number().default(1),
  measure: z.enum(measures),
  /** `end`: last points of equal recipes; `matched`: at equal target accuracy, the recipe chosen on the selection split. */
  at: z.enum(['end', 'matched']).default('end'),
  /** Recipes of the grid that are meant; all where none is named. */
  where: settings.default({}),
};

const direction = {
  above: z.number().nullable().default(null),
  below: z.number().nullable().default(null),
  within: z.tuple([z.number(), z.number()]).nullable().default(null),
};

const claim = z.strictObject({ claim: text, ...quantity, ...direction });
const correlation = z.strictObject({
  claim: text,
  correlation: z.tuple([z.enum(measures), z.literal('forgetting')]),
  over: z.array(text).min(1),
  ...direction,
});
/** `slack`: how far a single replicate may miss; null: any. */
const expectation = z.strictObject({
  expect: text,
  ...quantity,
  ...direction,
  slack: z.number().min(0).nullable().default(null),
});
export type Quantity = Omit<z.infer<typeof claim>, 'claim' | keyof typeof direction>;
export type Direction = Pick<z.infer<typeof claim>, keyof typeof direction>;
export type Claim = z.infer<typeof claim>;
export type CorrelationClaim = z.infer<typeof correlation>;
export type Expectation = z.infer<typeof expectation>;

const method = z.strictObject({ name: text, set: settings.default({}), grid: axes.nullable().default(null) });

const studySchema = z.strictObject({
  name: text.nullable().default(null),
  output_dir: text,
  run: text,
  set: settings.default({}),
  methods: z.array(method).min(1),
  grid: axes.default({}),
  replicates: axes.default({ seed: [0, 1, 2] }),
  /** Runs at once; null: as many as there are cores, or GPUs that are named. */
  jobs: z.int().min(1).max(1000).nullable().default(null),
  gpus: z.array(z.int().min(0)).min(1).nullable().default(null),
  /** What other methods are held against; null: the first. */
  reference: text.nullable().default(null),
  /** What shows how much is lost by training alone. */
  noise_floor: text.nullable().default(null),
  /** Target accuracies at which methods are compared; null: every .05 that some of them reach. */
  match: z.array(z.number().min(0).max(1)).min(1).nullable().default(null),
  claims: z.array(z.union([claim, correlation])).default([]),
});
export type StudyFile = z.infer<typeof studySchema>;

const expectationsSchema = z.strictObject({ expectations: z.array(expectation).min(1) });

/** Read and check a study. Throws `UsageError` where it cannot be read, `ConfigError` with every problem where it is wrong. */
export function readStudyFile(file: string): { readonly study: StudyFile; readonly input: string } {
  const input = readUserText(file, 'the study');
  return { study: parseStudy(input, file), input };
}

/** Check the text of a study. */
export function parseStudy(input: string, source: string): StudyFile {
  return checked(studySchema, { input, source }, studyFaults);
}

/** Read and check what is expected of a study. */
export function readExpectations(file: string, study: StudyFile): readonly Expectation[] {
  const input = readUserText(file, 'the expectations');
  const read = checked(expectationsSchema, { input, source: file }, ({ expectations }) =>
    expectations.flatMap((one, i) => claimFaults(['expectations', i], one, study)),
  );
  return read.expectations;
}

type Text = { readonly input: string; readonly source: string };

/** The value, or every problem with its line: those of its form, else those that `faultsOf` finds. */
function checked<S extends z.ZodObject>(
  schema: S,
  { input, source }: Text,
  faultsOf: (value: z.output<S>) => readonly Fault[],
): z.output<S> {
  const { value, lineOf } = parseYaml(input, source);
  const unknown = (path: Path): Problem => {
    const near = nearest(String(path.at(-1)), keysAt(path.slice(0, -1), schema));
    const hint = near === null ? null : `did you mean ${near}?`;
    return { path, line: lineOf(path), found: 'an unknown key', expected: 'a key of docs/study.md', hint };
  };
  const parsed = schema.safeParse(value);
  const problems = parsed.success
    ? faultsOf(parsed.data).map(found => ({ ...found, line: lineOf(found.path) }))
    : problemsOf(parsed.error.issues, value, { lineOf, unknown });
  if (problems.length > 0) throw new ConfigError(source, problems);
  return parsed.data as z.output<S>;
}
