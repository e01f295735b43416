/** The public surface of the library. */
export { z } from 'zod';
export { type Graded, type GradeSettings, grade } from './api/grade.ts';
export { loadConfig, plan, type RunSettings, run } from './api/runs.ts';
export { answerSettings, scorerSettings, unusableSettings } from './config/answer-settings.ts';
export { datasetSettings } from './config/data-settings.ts';
export type { RunConfig } from './config/schema.ts';
export { ours } from './config/setting.ts';
export { EnvironmentError, exitCodes, InterruptedError, TmsError, UsageError } from './errors.ts';
export {
  defineMethod,
  type Finding,
  type Method,
  type MethodRun,
  type PlanContext,
  type TrainingFacts,
} from './methods/method.ts';
export { mixtureLines } from './plan/describe.ts';
export type { MixturePlan, MixtureSettings } from './plan/draws.ts';
export { drawExample } from './plan/draws.ts';
export type { MethodPlan, Plan, PlannedTraining } from './plan/plan.ts';
export { PlanError } from './plan/plan.ts';
export type { SamplingPlan } from './plan/sampling-plan.ts';
export type { Visit } from './plan/training-plan.ts';
export { checkpointSteps } from './plan/training-plan.ts';
export { ensurePython, type SetupOptions, type SetupResult, setUpPython } from './python/make-environment.ts';
export { type Results, readResults } from './report/results.ts';
export type { Harvest } from './training/harvest.ts';
export { clippedPolicyGradient, type Loss, meanOverTokens, weightsIn } from './training/loss.ts';
export { type Policy, type PolicyAnswer, weighed } from './training/policy.ts';
export type { Rewards } from './training/rewards.ts';
export { fixedTargets, goldRow, goldSequence, type StepTargets, type Targets } from './training/targets.ts';
export type { Trainer, Weights } from './training/trainer.ts';
export type { Training } from './training/training.ts';
export type { Call, CallOptions, Channel, Reply } from './worker/channel.ts';
export { Connection, type ConnectionOptions } from './worker/connection.ts';
export {
  type ComponentSums,
  type ErrorCode,
  errorCodes,
  type ModelInfo,
  type Params,
  type Progress,
  protocolVersion,
  type Result,
  type VerbName,
} from './worker/protocol.ts';
export { type StartOptions, startWorker } from './worker/start.ts';
export type { Row } from './worker/tensors.ts';
export { type DType, type Tensor, type Tensors, tensorOf } from './worker/tensors.ts';
export {
  type Answer,
  completionOnly,
  type Encoded,
  type EncodeWarning,
  type Example,
  type GenerateOptions,
  type GradientOptions,
  type Gradients,
  type LoadOptions,
  type Message,
  type StepOptions,
  type TrainingSequence,
  Worker,
  withAnswer,
} from './worker/worker.ts';
export { WorkerError } from './worker/worker-error.ts';
