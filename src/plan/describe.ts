/** A plan as lines for a person: what happens, and what it takes. */

import type { MixturePlan } from './draws.ts';
import type { MemoryCost } from './memory.ts';
import { type Plan, trainedTokens } from './plan.ts';
import type { SamplingPlan } from './sampling-plan.ts';
import { reachOf, type TrainingPlan } from './training-plan.ts';

/** Lines of `tms plan`, without colours. */
export function describePlan(plan: Plan): string[] {
  const methods = Object.values(plan.methods);
  const trainings = Object.entries(plan.trainings);
  const width = Math.max(9, ...trainings.map(([name]) => name.length + 1));
  const points = new Set(trainings.map(([, { evaluationSteps }]) => evaluationSteps.join(', ')));
  return [
    `data      ${formatCount(plan.data.trainExamples)} training examples (${formatCount(plan.data.trainTokens)} tokens), ${formatCount(plan.data.testExamples)} held out`,
    ...methods.flatMap(({ trainings, lines = [], sampling }) => [
      ...Object.entries(trainings).map(
        ([name, training]) => `${name.padEnd(width)} ${describeTraining(training)}`,
      ),
      ...lines,
      ...(sampling === undefined ? [] : describeSampling(sampling, plan.data)),
    ]),
    `evaluate  at steps ${[...points].join('; ')} of ${points.size === 1 ? 'each training' : 'the trainings'}`,
    ...describeCost(plan),
    ...plan.cautions.map(caution => `caution   ${caution}`),
  ];
}

function describeTraining({ steps, stepsPerEpoch, order, schedule }: TrainingPlan): string {
  const epochs = Number((steps / stepsPerEpoch).toFixed(2));
  const warmup = schedule.warmupSteps === 0 ? '' : ` after ${schedule.warmupSteps} warm-up steps`;
  const { highest, stepsAboveZero } = reachOf(schedule);
  const rates = `reaches ${Number(highest.toPrecision(3))}, above 0 at ${formatCount(stepsAboveZero)} of ${formatCount(steps)} steps`;
  return `${formatCount(steps)} steps of ${order.batchSize} (${epochs} epochs), learning rate ${schedule.peak} ${schedule.type}${warmup} (${rates})`;
}

/** What a mixture generates and how much of it is gold answer. */
export function mixtureLines({
  lazy,
  count,
  fullCount,
  perCheckpoint,
  goldVisits,
  draws,
}: MixturePlan): string[] {
  const share = ((100 * goldVisits) / draws.visits).toFixed(1);
  const cost = lazy
    ? `the ${formatCount(count)} answers that are read, of ${formatCount(fullCount)}`
    : `all ${formatCount(count)} answers`;
  return [
    `          generate ${cost}; per checkpoint ${perCheckpoint.map(formatCount).join(', ')}`,
    `mixture   α = ${draws.alpha}${draws.alphaEnd === undefined ? '' : ` → ${draws.alphaEnd}`}: ${formatCount(goldVisits)} of ${formatCount(draws.visits)} visits (${share} %) train on the gold answer`,
  ];
}

function describeSampling(
  { maxNewTokens, longerGold, temperature, topP, stop, redraws }: SamplingPlan,
  { trainExamples, longestPrompt }: Plan['data'],
): string[] {
  const nucleus = topP === 1 ? '' : `, top-p ${topP}`;
  const stops = stop.length === 0 ? '' : `, before ${stop.map(text => JSON.stringify(text)).join(' or ')}`;
  const again = redraws === 0 ? '' : `, drawn again at most ${redraws} times`;
  const longer =
    longerGold === 0
      ? []
      : [
          `          ${formatCount(longerGold)} of ${formatCount(trainExamples)} gold answers are longer: an answer like them has no end, and gold takes its place`,
        ];
  return [
    `answers   at most ${formatCount(maxNewTokens)} tokens (the longest prompt has ${formatCount(longestPrompt.tokens)})${stops}, temperature ${temperature}${nucleus}${again}`,
    ...longer,
  ];
}

function describeCost({ tokens, disk, seconds, price, memory }: Plan): string[] {
  const trained = trainedTokens(tokens);
  const generated = `${formatCount(tokens.generatedExpected)} generated if answers are as long as gold answers (at most ${formatCount(tokens.generatedAtMost)})`;
  const stored =
    disk === null
      ? 'known when the model is'
      : `at most ${formatBytes(disk.bytesAtMost)}: weights ${formatBytes(disk.weightBytes)}, training states ${formatBytes(disk.stateBytes)}, answers ${formatBytes(disk.answerBytesAtMost)}, records ${formatBytes(disk.recordBytesAtMost)}; ${formatBytes(disk.inStoreAtMost)} of it in the store`;
  return [
    `tokens    ${formatCount(trained)} trained, ${generated}`,
    `disk      ${stored}`,
    ...(memory === null ? [] : [`memory    ${describeMemory(memory)}`]),
    `time      ${seconds === null ? 'known when throughput was measured' : `about ${formatDuration(seconds)} without evaluation`}`,
    ...(price === null ? [] : [`price     about ${price.toFixed(2)} (price_per_hour)`]),
  ];
}

/** A line for `tms plan`. */
export function describeMemory(cost: MemoryCost): string {
  const parts = [
    ['weights', cost.weightBytes],
    ['float32 originals', cost.masterBytes],
    ['gradients', cost.gradientBytes],
    ['moments', cost.momentBytes],
    ['activations', cost.activationBytes],
    ['head', cost.headBytes],
    ['gradients on their way', cost.passingBytes],
    ['reference model', cost.referenceBytes],
    ['Python and its allocator', cost.processBytes],
  ] as const;
  const said = parts.filter(([, bytes]) => bytes > 0).map(([name, bytes]) => `${name} ${formatBytes(bytes)}`);
  const sampling =
    cost.sampleBytes > 0 ? `; while it samples ${formatBytes(cost.sampleBytes)} beside the weights` : '';
  return `about ${formatBytes(cost.peakBytes)} of ${formatBytes(cost.deviceBytes)}: ${said.join(', ')}${sampling}`;
}

// Numbers with units, for people.

/** 1234567 as 1,234,567. */
export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Bytes with three digits and a decimal unit: 1.35 GB. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${unit === 0 ? value : Number(value.toPrecision(3))} ${units[unit]}`;
}

/** Seconds as 45 s, 12 min or 3 h 20 min. */
export function formatDuration(seconds: number): string {
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
