/** A study as a person writes it: what its runs have in common, the methods, what is crossed with them, and what is claimed. */
import { z } from 'zod';
import { ConfigError, type Path, type Problem, show, valueAt } from '../config/problems.ts';
import { nearest } from '../config/suggest.ts';
import { parseYaml } from '../config/yaml-file.ts';
import { readUserText } from '../files/user-file.ts';

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
  const study = checked(studySchema, input, source);
  const names = study.methods.map(({ name }) => name);
  const asked = [
    ...[study.reference, study.noise_floor].filter(name => name !== null),
    ...study.claims.flatMap(one => ('over' in one ? one.over : namesOf(one))),
  ];
  refuse(source, [
    ...repeated(names),
    ...unknownMethods(asked, names),
    ...study.claims.flatMap(directionFaults),
  ]);
  return study;
}

/** Read and check expectations; `names`: methods of the study. */
export function readExpectations(file: string, names: readonly string[]): readonly Expectation[] {
  const { expectations } = checked(expectationsSchema, readUserText(file, 'the expectations'), file);
  const faults = unknownMethods(expectations.flatMap(namesOf), names);
  refuse(file, [...faults, ...expectations.flatMap(directionFaults)]);
  return expectations;
}

function namesOf({ of, against }: Pick<Quantity, 'of' | 'against'>): string[] {
  return [of, ...(against === null ? [] : [against])];
}

function repeated(names: readonly string[]): Problem[] {
  const twice = names.filter((name, i) => names.indexOf(name) !== i);
  return [...new Set(twice)].map(name => problem(['methods'], show(name), 'a name that no other method has'));
}

function unknownMethods(asked: readonly string[], names: readonly string[]): Problem[] {
  const unknown = [...new Set(asked)].filter(name => !names.includes(name));
  return unknown.map(name =>
    problem([], show(name), `the name of a method of the study: ${names.join(', ')}`, hintOf(name, names)),
  );
}

function directionFaults(one: Direction & { claim?: string; expect?: string }): Problem[] {
  const given = [one.above, one.below, one.within].filter(value => value !== null);
  if (given.length === 1) return [];
  const name = one.claim ?? one.expect ?? '';
  return [problem([name], `${given.length} of above, below and within`, 'exactly one of them')];
}

function checked<S extends z.ZodObject>(schema: S, input: string, source: string): z.output<S> {
  const { value, lineOf } = parseYaml(input, source);
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.flatMap(flat).flatMap((issue): Problem[] => {
    const path = issue.path as Path;
    if (issue.code !== 'unrecognized_keys') {
      const found = valueAt(value, path);
      const what = found === undefined ? 'nothing' : show(found);
      return [{ ...problem(path, what, issue.message), line: lineOf(path) }];
    }
    const known = Object.keys(path.length === 0 ? schema.shape : {});
    return issue.keys.map(key => ({
      ...problem([...path, key], 'an unknown key', 'a key of a study (docs/study.md)', hintOf(key, known)),
      line: lineOf([...path, key]),
    }));
  });
  throw new ConfigError(source, problems);
}

/** Of a union, the problems of the alternative that comes nearest. */
function flat(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const nearestOne = issue.errors.toSorted((a, b) => a.length - b.length)[0] ?? [];
  return nearestOne.flatMap(inner => flat({ ...inner, path: [...issue.path, ...inner.path] }));
}

function refuse(source: string, problems: readonly Problem[]): void {
  if (problems.length > 0) throw new ConfigError(source, problems);
}

function hintOf(name: string, known: readonly string[]): string | null {
  const found = nearest(name, known);
  return found === null ? null : `did you mean ${found}?`;
}

function problem(path: Path, found: string, expected: string, hint: string | null = null): Problem {
  return { path, line: null, found, expected, hint };
}
