/** Everything that the pages of a study are made of: study.json. Pure. */
import { holm } from '../metrics/t-test.ts';
import type { Gate } from '../report/gate.ts';
import type { EnvironmentRecord } from '../run/records.ts';
import { changedInputs, endlessAnswers } from './cautions.ts';
import type { CellState } from './cell-state.ts';
import type { Cell } from './cells.ts';
import { type JudgedClaim, type JudgedExpectation, judgeClaim, judgeExpectation } from './claims.ts';
import { type MatchedLevel, matchedAt, usualLevels } from './matched.ts';
import { doubtfulSets, type Outcome } from './outcomes.ts';
import type { Settings } from './points.ts';
import {
  counterpartsOf,
  differenceEstimate,
  estimate,
  type Found,
  lastPoints,
  pairsOf,
  recipePairText,
  recipesOf,
  setEstimates,
} from './quantities.ts';
import { type Expectation, type Measure, measures, type StudyFile } from './study-file.ts';

/** A cell as it stands; numbers of its last point, null where there are none. */
export type CellRow = Pick<Cell, 'id' | 'method' | 'recipe' | 'replicate'> & {
  readonly state: CellState;
  readonly target: number | null;
  readonly retention: number | null;
  /** Whether too many answers have no end for `retention` to mean anything. */
  readonly isDoubtful: boolean;
};

/** A method at the end of one recipe. */
export type MethodRow = {
  readonly method: string;
  readonly recipe: Settings;
  readonly replicates: number;
  readonly measures: Readonly<Record<Measure, Found | null>>;
};

/** A method minus the reference at the end of the same recipe (in words), or of one that agrees with it; `sets` with p-values by Holm over them. */
export type DifferenceRow = {
  readonly method: string;
  readonly recipe: string;
  readonly replicates: number;
  readonly retention: Found | null;
  readonly target: Found | null;
  readonly sets: readonly { readonly name: string; readonly estimate: Found; readonly adjusted: number }[];
};

export type Study = {
  readonly format: 1;
  readonly name: string;
  readonly reference: string;
  readonly noiseFloor: string | null;
  readonly command: string;
  /** Why numbers may not belong together. */
  readonly cautions: readonly string[];
  readonly begun: string | null;
  readonly ended: string | null;
  readonly tmsVersion: string;
  readonly environment: EnvironmentRecord | null;
  readonly trainings: { readonly all: number; readonly stored: number };
  /** Names of evaluation sets that chose a point in some cell: left out of all. */
  readonly selectionSets: readonly string[];
  /** Cells of the study; `cells` are those that were meant. */
  readonly total: number;
  readonly cells: readonly CellRow[];
  readonly methods: readonly MethodRow[];
  readonly differences: readonly DifferenceRow[];
  readonly matched: readonly MatchedLevel[];
  readonly claims: readonly JudgedClaim[];
  /** Null where none were asked for. */
  readonly expectations: readonly JudgedExpectation[] | null;
  /** What retention.max_drop makes of each cell that has one. */
  readonly gates: readonly { readonly id: string; readonly gate: Gate }[];
};

/** What is known beside the numbers. */
export type StudyFacts = {
  readonly file: StudyFile;
  readonly name: string;
  readonly command: string;
  readonly tmsVersion: string;
  readonly states: readonly (readonly [Cell, CellState])[];
  readonly total: number;
  readonly expectations: readonly Expectation[] | null;
};

/** Analyse what has finished. */
export function analyseStudy(outcomes: readonly Outcome[], facts: StudyFacts): Study {
  const { file, name, command, tmsVersion, states, total, expectations } = facts;
  const methods = file.methods.map(one => one.name);
  const reference = file.reference ?? methods[0] ?? '';
  const levels = file.match ?? usualLevels(outcomes);
  const [first] = outcomes;
  const times = (of: (outcome: Outcome) => string | null) => outcomes.flatMap(one => of(one) ?? []).sort();
  return {
    format: 1,
    name,
    reference,
    noiseFloor: file.noise_floor,
    command,
    cautions: [...changedInputs(outcomes), ...endlessAnswers(outcomes)],
    begun: times(({ run }) => run.startedAt)[0] ?? null,
    ended: times(({ run }) => run.finishedAt).at(-1) ?? null,
    tmsVersion,
    environment: first?.environment ?? null,
    trainings: {
      all: outcomes.reduce((sum, one) => sum + one.trainings, 0),
      stored: outcomes.reduce((sum, one) => sum + one.stored, 0),
    },
    selectionSets: first?.selectionSets ?? [],
    total,
    cells: states.map(([cell, state]) => cellRow(cell, state, outcomes)),
    methods: methods.flatMap(method => methodRows(method, outcomes)),
    differences: methods
      .filter(method => method !== reference)
      .flatMap(method => differenceRows(method, reference, outcomes)),
    matched: levels.map(level => matchedAt(outcomes, level, { methods, reference })),
    claims: file.claims.map(claim => judgeClaim(claim, outcomes, levels)),
    expectations: expectations?.map(one => judgeExpectation(one, outcomes, levels)) ?? null,
    gates: outcomes.flatMap(({ cell, gate }) => (gate === null ? [] : [{ id: cell.id, gate }])),
  };
}

function cellRow(cell: Cell, state: CellState, outcomes: readonly Outcome[]): CellRow {
  const { id, method, recipe, replicate } = cell;
  const outcome = outcomes.find(one => one.cell.id === id);
  const point = outcome?.last.point;
  const isDoubtful =
    outcome !== undefined && doubtfulSets(outcome, [outcome.base, outcome.last.record]).length > 0;
  const [target, retention] = [point?.target?.mean ?? null, point?.change?.mean ?? null];
  return { id, method, recipe, replicate, state, target, retention, isDoubtful };
}

function methodRows(method: string, outcomes: readonly Outcome[]): MethodRow[] {
  return recipesOf(outcomes.filter(({ cell }) => cell.method === method)).map(recipe => {
    const points = lastPoints(outcomes, method, recipe);
    const found = measures.map(measure => [measure, estimate(points, measure)] as const);
    const row = { method, recipe, replicates: points.length };
    return { ...row, measures: Object.fromEntries(found) as MethodRow['measures'] };
  });
}

function differenceRows(method: string, reference: string, outcomes: readonly Outcome[]): DifferenceRow[] {
  const recipes = (name: string) => recipesOf(outcomes.filter(({ cell }) => cell.method === name));
  const matches = recipes(method).flatMap(recipe =>
    counterpartsOf(recipe, recipes(reference)).map(other => [recipe, other] as const),
  );
  return matches.flatMap(([recipe, other]) => {
    const pairs = pairsOf(lastPoints(outcomes, method, recipe), lastPoints(outcomes, reference, other));
    if (pairs.length === 0) return [];
    const sets = setEstimates(pairs);
    const adjusted = holm(sets.map(({ estimate: one }) => one.p ?? 1));
    return [
      {
        method,
        recipe: recipePairText(recipe, other),
        replicates: pairs.length,
        retention: differenceEstimate(pairs, 'retention'),
        target: differenceEstimate(pairs, 'target'),
        sets: sets.map((set, i) => ({ ...set, adjusted: adjusted[i] ?? 1 })),
      },
    ];
  });
}
