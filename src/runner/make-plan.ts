/** Configuration and data to everything that will happen, before anything does. Pure. */
import { type RunConfig, settingsOf } from '../config/schema.ts';
import type { IdWords } from '../data/random.ts';
import { knownMethods, methodNamed } from '../methods/index.ts';
import { blockOf, type Method } from '../methods/method.ts';
import { cautionsOf, refuseIdleTrainings } from '../plan/cautions.ts';
import { diskCost } from '../plan/disk.ts';
import { planMixture } from '../plan/draws.ts';
import { refuseTooLarge } from '../plan/fit-memory.ts';
import { type MemoryFacts, memoryCost } from '../plan/memory.ts';
import {
  type DataFacts,
  type MachineFacts,
  type MethodPlan,
  type Plan,
  PlanError,
  type PlannedTraining,
  secondsExpected,
  type TokenCost,
} from '../plan/plan.ts';
import { samplingPlan } from '../plan/sampling-plan.ts';
import { trainingPlan } from '../plan/training-plan.ts';
import { trainingName } from '../run/records.ts';
import { baseName } from '../run/trainings.ts';

/** The methods of a run: the one that was asked for, then its controls. */
export function methodsOf({ method, controls }: RunConfig): Method[] {
  const { method: main } = methodNamed(method);
  const beside = knownMethods()
    .map(known => known.method)
    .filter(other => other.name !== main.name && other.control !== undefined && controls[other.control]);
  return [main, ...beside];
}

/** `promptIdOf`: of a training example; `datasets`: examples of further data sets, by name. */
type ExampleFacts = {
  readonly promptIdOf: (example: number) => IdWords;
  readonly datasets?: Readonly<Record<string, number>>;
};

/** Throws `PlanError` when configuration and data do not fit. */
export function makePlan(
  config: RunConfig,
  data: DataFacts,
  { promptIdOf, datasets = {} }: ExampleFacts,
  machine: MachineFacts,
): Plan {
  if (data.trainExamples === 0) {
    throw new PlanError('no training examples are left', {
      fix: 'lower test_size, or give dataset_test_name',
    });
  }
  const methods = Object.fromEntries(
    methodsOf(config).map(method => [
      method.name,
      planMethod(config, method, { data, promptIdOf, datasets }),
    ]),
  );
  const trainings = trainingsOf(methods);
  const named = Object.entries(trainings).map(([name, plan]) => ({ name, plan }));
  refuseIdleTrainings(named);
  const tokens = tokenCost(data, { trainings, methods });
  const { completionLengths: _, ...facts } = data;
  const planned = { data: facts, trainings, methods };
  const seconds = machine.throughput === null ? null : secondsExpected(tokens, machine.throughput);
  const memory =
    machine.memory?.({ slots: slotsOf(data, methods), reference: referenceOf(trainings) }) ?? null;
  if (memory !== null) refuseTooLarge(memory, memory.device === 'cuda' ? 'the GPU' : 'this machine');
  return {
    method: config.method,
    ...planned,
    tokens,
    disk: machine.disk === null ? null : diskCost(config, planned, machine.disk),
    seconds,
    price:
      seconds === null || config.price_per_hour === null ? null : (seconds / 3600) * config.price_per_hour,
    memory: memory === null ? null : memoryCost(memory),
    cautions: cautionsOf(config, named),
  };
}

/** Those of all methods. Names are those of files, and a training's alone. */
function trainingsOf(methods: Readonly<Record<string, MethodPlan>>): Record<string, PlannedTraining> {
  const all = Object.entries(methods).flatMap(([method, plan]) =>
    Object.entries(plan?.trainings ?? {}).map(([name, training]) => ({ method, name, training })),
  );
  for (const [i, { method, name }] of all.entries()) {
    const isName = trainingName.safeParse(name).success && name !== baseName;
    const isTaken = all.slice(0, i).some(other => other.name === name);
    if (isName && !isTaken) continue;
    throw new PlanError(
      `the method ${method} names a training ${JSON.stringify(name)}${isTaken ? ', and so does another method of this run' : ''}`,
      { fix: `choose another name: small letters, digits and -, not ${baseName}` },
    );
  }
  return Object.fromEntries(all.map(({ name, training }) => [name, training]));
}

function planMethod(
  config: RunConfig,
  method: Method,
  { data, promptIdOf, datasets = {} }: ExampleFacts & { readonly data: DataFacts },
): MethodPlan {
  const facts = { ...data, block: blockOf(method), maxLength: config.max_length };
  return method.plan({
    settings: settingsOf(config, method),
    config,
    data,
    datasets,
    training: (
      {
        label,
        role,
        needs = [],
        startsFrom = 'base',
        trainsOn = 'gold',
        goldShare = null,
        sequencesPerVisit = 1,
        reference = null,
      },
      own,
    ) => ({
      label,
      role,
      needs,
      startsFrom,
      trainsOn,
      goldShare,
      sequencesPerVisit,
      reference,
      checkpoints: [],
      ...trainingPlan(config, data.trainExamples, own),
    }),
    sampling: settings => samplingPlan(settings, facts),
    mixture: (training, settings) => planMixture(training, { ...settings, seed: config.seed }, promptIdOf),
  });
}

/** Tokens of the longest prompt with an answer behind it. */
function slotsOf({ longestPrompt }: DataFacts, methods: Readonly<Record<string, MethodPlan>>): number {
  const longest = Object.values(methods).map(({ sampling }) => sampling?.maxNewTokens ?? 0);
  const answer = Math.max(0, ...longest);
  return answer === 0 ? 0 : longestPrompt.tokens + answer;
}

/** The reference models of the trainings of a run, one at a time; an average takes most. */
function referenceOf(trainings: Readonly<Record<string, PlannedTraining>>): MemoryFacts['reference'] {
  const rates = Object.values(trainings).flatMap(({ reference }) =>
    reference === null ? [] : [reference.rate],
  );
  return rates.length === 0 ? 'nothing' : Math.max(...rates) > 0 ? 'average' : 'copy';
}

function tokenCost(data: DataFacts, { trainings, methods }: Pick<Plan, 'trainings' | 'methods'>): TokenCost {
  const perExample = data.trainTokens / data.trainExamples;
  const perCompletion = (data.trainTokens - data.trainPromptTokens) / data.trainExamples;
  const trained = Object.entries(trainings).map(
    ([name, { visits, sequencesPerVisit }]) =>
      [name, Math.round(visits * sequencesPerVisit * perExample)] as const,
  );
  const asked = Object.values(methods);
  const sum = (of: (method: MethodPlan) => number) => asked.reduce((total, method) => total + of(method), 0);
  return {
    trained: Object.fromEntries(trained),
    generatedAtMost: sum(({ answers = 0, sampling }) =>
      sampling === undefined ? 0 : answers * (1 + sampling.redraws) * sampling.maxNewTokens,
    ),
    generatedExpected: Math.round(sum(({ answers = 0 }) => answers * perCompletion)),
  };
}
