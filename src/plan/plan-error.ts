import { UsageError } from '../errors.ts';

/** Configuration and data do not fit together. */
export class PlanError extends UsageError {}
