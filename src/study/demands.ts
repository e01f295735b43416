/** What was demanded of a study, and whether it holds: expectations, and the gates of cells. Pure. */
import { checkTexts, gateCases } from '../report/gate.ts';
import type { JunitCase } from '../report/junit.ts';
import type { Study } from './analysis.ts';

/** Each expectation, and each check of each gate, for a system that reads JUnit: those that hold, too. */
export function demandCases({ expectations, gates }: Study): JunitCase[] {
  return [
    ...(expectations ?? []).map(
      ({ expect, asked, isMet, found }): JunitCase => ({
        name: expect,
        state: isMet ? 'passed' : 'failed',
        type: 'expectation',
        text: `${asked}: ${found}`,
      }),
    ),
    ...gates.flatMap(({ id, gate }) => gateCases(gate).map(one => ({ ...one, name: `${id}, ${one.name}` }))),
  ];
}

/** What does not hold, a sentence each. */
export function unmetDemands({ expectations, gates }: Study): string[] {
  const unmet = (expectations ?? []).filter(({ isMet }) => !isMet);
  const failed = gates.filter(({ gate }) => gate.outcome === 'failed');
  return [
    ...unmet.map(({ expect, asked, found }) => `${expect} (${asked}): found ${found}`),
    ...failed.map(
      ({ id, gate }) =>
        `${id} dropped by more than retention.max_drop ${gate.maxDrop}: ${checkTexts(gate, 'failed').join(', ')}`,
    ),
  ];
}
