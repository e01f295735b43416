/** A plan as lines for a person: what happens, and what it takes. */
import type { AnswerPlan, Plan } from './plan.ts';
import type { SamplingPlan } from './sampling-plan.ts';
import { reachOf } from './schedule.ts';
import type { TrainingPlan } from './training-plan.ts';
import { formatBytes, formatCount, formatDuration } from './units.ts';

/** Lines of `tms plan`, without colours. */
export function describePlan(plan: Plan): string[] {
  return [
    `data      ${formatCount(plan.data.trainExamples)} training examples (${formatCount(plan.data.trainTokens)} tokens), ${formatCount(plan.data.testExamples)} held out`,
    `sft       ${describeTraining(plan.sft)}`,
    ...(plan.answers === null
      ? []
      : [
          `harvest   checkpoints at steps ${plan.checkpointSteps.join(', ')}`,
          ...describeAnswers(plan.answers),
        ]),
    ...(plan.sampling === null ? [] : describeSampling(plan.sampling, plan.data)),
    ...(plan.control === null
      ? []
      : [`control   ${describeTraining(plan.control)}, on the base's own answers`]),
    ...(plan.student === null ? [] : [`student   ${describeTraining(plan.student)}`]),
    `evaluate  at steps ${plan.sft.evaluationSteps.join(', ')} of each training`,
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

function describeAnswers({
  lazy,
  count,
  fullCount,
  perCheckpoint,
  referenceVisits,
  draws,
}: AnswerPlan): string[] {
  const share = ((100 * referenceVisits) / draws.visits).toFixed(1);
  const cost = lazy
    ? `the ${formatCount(count)} answers that are read, of ${formatCount(fullCount)}`
    : `all ${formatCount(count)} answers`;
  return [
    `          generate ${cost}; per checkpoint ${perCheckpoint.map(formatCount).join(', ')}`,
    `mixture   α = ${draws.alpha}: ${formatCount(referenceVisits)} of ${formatCount(draws.visits)} visits (${share} %) train on the reference`,
  ];
}

function describeSampling(
  { maxNewTokens, longerReferences, temperature, topP, stop, redraws }: SamplingPlan,
  { trainExamples, longestPrompt }: Plan['data'],
): string[] {
  const nucleus = topP === 1 ? '' : `, top-p ${topP}`;
  const stops = stop.length === 0 ? '' : `, before ${stop.map(text => JSON.stringify(text)).join(' or ')}`;
  const again = redraws === 0 ? '' : `, drawn again at most ${redraws} times`;
  const longer =
    longerReferences === 0
      ? []
      : [
          `          ${formatCount(longerReferences)} of ${formatCount(trainExamples)} references are longer: an answer like them has no end, and gold takes its place`,
        ];
  return [
    `answers   at most ${formatCount(maxNewTokens)} tokens (the longest prompt has ${formatCount(longestPrompt.tokens)})${stops}, temperature ${temperature}${nucleus}${again}`,
    ...longer,
  ];
}

function describeCost({ tokens, disk, seconds }: Plan): string[] {
  const trained = tokens.sftTokens + tokens.studentTokensExpected + tokens.controlTokensExpected;
  const generated = `${formatCount(tokens.generatedTokensExpected)} generated if answers are as long as references (at most ${formatCount(tokens.generatedTokensAtMost)})`;
  const stored =
    disk === null
      ? 'known when the model is'
      : `at most ${formatBytes(disk.bytesAtMost)}: weights ${formatBytes(disk.weightBytes)}, training states ${formatBytes(disk.stateBytes)}, answers ${formatBytes(disk.answerBytesAtMost)}, records ${formatBytes(disk.recordBytesAtMost)}; ${formatBytes(disk.inStoreAtMost)} of it in the store`;
  return [
    `tokens    ${formatCount(trained)} trained, ${generated}`,
    `disk      ${stored}`,
    `time      ${seconds === null ? 'known when throughput was measured' : `about ${formatDuration(seconds)} without evaluation`}`,
  ];
}
