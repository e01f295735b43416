/** The numbers of a study as tables and sentences, for study.md and study.html alike. Pure. */
import { dash, duration, fixed, signed, withInterval } from '../report/format.ts';
import type { MethodRow, Study } from './analysis.ts';
import { placeText, settingsText } from './cells.ts';
import { crossedNotes } from './facts-text.ts';
import type { Found } from './quantities.ts';
import type { Measure } from './study-file.ts';

/** `texts`: columns that read from the left beside the first. */
export type StudyTable = {
  readonly id: string;
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly texts: readonly number[];
  readonly notes: readonly string[];
};

/** All that have something to show, in their order. */
export function studyTables(study: Study): StudyTable[] {
  const tables = [
    claimsTable(study),
    expectationsTable(study),
    methodsTable(study),
    differencesTable(study),
    setsTable(study),
    matchedTable(study),
    cellsTable(study),
  ];
  return tables.filter(({ rows }) => rows.length > 0);
}

function claimsTable({ claims }: Study): StudyTable {
  const rows = claims.flatMap(({ claim, asked, verdict, evidence }) => {
    const [only] = evidence;
    if (only === undefined) return [[claim, asked, verdict, '', '']];
    if (evidence.length === 1) return [[claim, asked, verdict, only.at, evidenceText(only)]];
    return [
      [claim, asked, verdict, 'all of these', empty],
      ...evidence.map(one => [empty, empty, one.verdict, one.at, evidenceText(one)]),
    ];
  });
  return {
    id: 'claims',
    title: 'Claims',
    head: ['claim', 'asked of the numbers', 'verdict', 'at', 'mean [95 % CI]; each replicate'],
    rows,
    texts: [1, 2, 3, 4],
    notes: [
      'Holds: the whole interval lies where the claim says, at every place; does not hold: at some place none of it does; below noise: neither, or there is only one replicate.',
      ...claims.flatMap(({ claim, note }) => (note === null ? [] : [`${claim}: ${note}`])),
    ],
  };
}

/** Of a cell that repeats the one above; nothing at all is a dash. */
const empty = '\u00a0';

function evidenceText(one: Study['claims'][number]['evidence'][number]): string {
  return `${estimateText({ ...one, isDoubtful: one.verdict === 'not measured' })}; ${one.values.map(value => signed(value)).join(', ')}`;
}

function expectationsTable({ expectations }: Study): StudyTable {
  return {
    id: 'expectations',
    title: 'Expectations',
    head: ['expected', 'asked of the means', 'met', 'found: mean (each replicate)'],
    rows: (expectations ?? []).map(one => [one.expect, one.asked, one.isMet ? 'yes' : 'no', one.found]),
    texts: [1, 2, 3],
    notes: [],
  };
}

const titles: Readonly<Record<Measure, string>> = {
  target: 'target accuracy',
  sampled_target: 'target, T=1',
  retention: 'Δ retention',
  pld: 'test PLD',
  drift: 'drift',
  kl_target: 'KL target',
  kl_retention: 'KL retention',
  text_loss: 'Δ text, bits a byte',
  kl_model_target: 'KL(model‖base) target',
  kl_model_retention: 'KL(model‖base) retention',
  entropy_target: 'entropy target',
  entropy_retention: 'entropy retention',
  distinct_target: 'distinct target',
  distinct_retention: 'distinct retention',
  gold_overlap: 'gold in targets',
};

/** Against the base. */
const isChange = (measure: Measure) => measure === 'retention' || measure === 'text_loss';

function methodsTable(study: Study): StudyTable {
  const shown = (Object.keys(titles) as Measure[]).filter(measure =>
    study.methods.some(row => row.measures[measure] !== null),
  );
  const cell = ({ measures }: MethodRow, measure: Measure) =>
    estimateText(measures[measure], isChange(measure) ? signed : fixed);
  const floor = study.methods.filter(({ method }) => method === study.noiseFloor);
  return {
    id: 'equal-recipe',
    title: 'At the end of equal recipes',
    head: ['method', 'recipe', 'n', ...shown.map(measure => titles[measure])],
    rows: study.methods.map(row => [
      row.method,
      settingsText(row.recipe),
      String(row.replicates),
      ...shown.map(measure => cell(row, measure)),
    ]),
    texts: [1],
    notes: [
      'Mean over replicates with its 95 % interval: of accuracies and of Δ retention the outer one of Student’s t over replicates and the score interval of the items; of other measures t alone. Two replicates have t = 12.7 and three 4.3: few replicates show little of others. One covers its items alone.',
      ...crossedNotes(study),
      ...floor.map(
        ({ recipe, measures }) =>
          `Noise floor, ${study.noiseFloor}${settingsText(recipe) === '' ? '' : ` at ${settingsText(recipe)}`}: Δ retention ${estimateText(measures.retention)}. Training as such, on nothing new, loses that much.`,
      ),
    ],
  };
}

function differencesTable({ differences, reference }: Study): StudyTable {
  return {
    id: 'differences',
    title: `Minus ${reference}, at the end of equal recipes`,
    head: ['method', 'recipe', 'n', 'Δ retention', 'target accuracy', 'retention of each replicate'],
    rows: differences.map(({ method, recipe, replicates, retention, target }) => [
      method,
      recipe,
      String(replicates),
      estimateText(retention),
      estimateText(target),
      (retention?.values ?? []).map(value => signed(value)).join(', '),
    ]),
    texts: [1],
    notes: [
      'Paired item by item and replicate by replicate. A recipe that the reference does not have is held against those that agree with it in every key which both have.',
    ],
  };
}

const alpha = 0.05;

function setsTable({ differences, reference }: Study): StudyTable {
  const names = differences[0]?.sets.map(({ name }) => name) ?? [];
  return {
    id: 'sets',
    title: `Each retention set, minus ${reference}`,
    head: ['method', 'recipe', ...names],
    rows:
      names.length < 2
        ? []
        : differences.map(({ method, recipe, sets }) => [
            method,
            recipe,
            ...sets.map(
              ({ estimate, adjusted }) =>
                `${signed(estimate.mean)}${estimate.isDoubtful ? ' ?' : adjusted < alpha ? ' *' : ''}`,
            ),
          ]),
    texts: [1],
    notes: [
      `*: the difference is there at 5 % by Holm over the ${names.length} sets of its row; p is the larger one of the t-test over replicates and the score test of the items.`,
    ],
  };
}

function matchedTable({ matched, reference }: Study): StudyTable {
  return {
    id: 'matched',
    title: 'At equal target accuracy',
    head: [
      'accuracy',
      'method',
      'reached',
      'target, test split',
      'Δ retention, test split',
      `minus ${reference}`,
      'chosen',
    ],
    rows: matched.flatMap(({ accuracy, rows }) =>
      rows
        .filter(({ replicates }) => replicates > 0)
        .map((row, i) => [
          i === 0 ? `≥ ${accuracy}` : empty,
          row.method,
          `${row.reached} of ${row.replicates}`,
          estimateText(row.target, fixed),
          estimateText(row.retention),
          estimateText(row.difference),
          chosenText(row),
        ]),
    ),
    texts: [1, 6],
    notes: [
      'For each replicate the recorded point (any recipe, any step) with the best retention among those that reach the accuracy, both on one half of the items; numbers are of the other half. Differences are of replicates in which both reach it.',
    ],
  };
}

/** `learning_rate 5e-5 @114 (2×)` */
function chosenText({ chosen }: Study['matched'][number]['rows'][number]): string {
  const texts = chosen.map(({ recipe, step }) =>
    [settingsText(recipe), `@${step}`].filter(Boolean).join(' '),
  );
  return [...new Set(texts)]
    .map(text => {
      const times = texts.filter(other => other === text).length;
      return times === 1 ? text : `${text} (${times}×)`;
    })
    .join('; ');
}

function cellsTable({ cells }: Study): StudyTable {
  return {
    id: 'cells',
    title: 'Cells',
    head: ['cell', 'status', 'target accuracy', 'Δ retention', 'time', 'directory'],
    rows: cells.map(row => [
      placeText(row),
      row.state.note === null ? row.state.status : `${row.state.status}: ${row.state.note}`,
      fixed(row.target),
      `${signed(row.retention)}${row.isDoubtful ? ' ?' : ''}`,
      row.state.seconds === null ? dash : duration(row.state.seconds),
      `cells/${row.id}`,
    ]),
    texts: [1, 5],
    notes: [],
  };
}

/** `−0.144 [−0.178, −0.115]` */
function estimateText(
  found: Pick<Found, 'mean' | 'interval' | 'isDoubtful'> | null,
  format: (value: number) => string = signed,
): string {
  if (found === null) return dash;
  const { mean, interval, isDoubtful } = found;
  return `${interval === null ? format(mean) : withInterval(mean, interval, format)}${isDoubtful ? ' ?' : ''}`;
}
