/** The public surface of the library. */
export { EnvironmentError, exitCodes, InterruptedError, TmsError, UsageError } from './errors.ts';
export { ensurePython, type SetupOptions, type SetupResult, setUpPython } from './python/setup.ts';
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
export type { Row } from './worker/ragged.ts';
export { type StartOptions, startWorker } from './worker/start.ts';
export { type DType, type Tensor, type Tensors, tensorOf } from './worker/tensor.ts';
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
