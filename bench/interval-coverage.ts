/**
 * How often the 95 % interval of a change of accuracy covers the true one, and how wide it is: the percentile bootstrap alone, the
 * score interval alone, and the interval of the report. `npx tsx bench/interval-coverage.ts [TRIALS]`, 1000 by default.
 */
import { randomAt, unit } from '../src/data/random.ts';
import { changeOf } from '../src/metrics/retention.ts';
import {
  bootstrapInterval,
  type Flipped,
  type Interval,
  pairedScoreIntervalOfMean,
} from '../src/metrics/statistics.ts';
import { markdownTable } from '../src/report/table.ts';

type Chances = { readonly items: number; readonly gain: number; readonly loss: number };
type Row = { readonly name: string; readonly sets: readonly Chances[] };

const trials = Number(process.argv[2] ?? 1000);

const alike = (count: number, items: number, gain: number, loss: number): Row => ({
  name: `${count} × ${items}; ${gain} / ${loss}`,
  sets: Array.from({ length: count }, () => ({ items, gain, loss })),
});
const sizes = [20, 40, 80, 400];
const smallestLoses = (gain: number, loss: number): Row => ({
  name: `${sizes.join(', ')}; ${gain} / ${loss}, the smallest loses .2`,
  sets: sizes.map(items => ({ items, gain, loss: items === 20 ? 0.2 : loss })),
});

const rows: readonly Row[] = [
  alike(1, 64, 0, 0.01),
  alike(1, 64, 0.005, 0.02),
  alike(1, 64, 0, 0.03),
  alike(1, 200, 0.005, 0.01),
  alike(3, 40, 0, 0.01),
  alike(8, 40, 0, 0.01),
  alike(8, 40, 0.01, 0.03),
  alike(8, 40, 0.03, 0.15),
  {
    name: `${sizes.join(', ')}; 0.01 / 0.03`,
    sets: sizes.map(items => ({ items, gain: 0.01, loss: 0.03 })),
  },
  smallestLoses(0, 0),
  smallestLoses(0.01, 0.01),
  smallestLoses(0.01, 0.03),
];

const head = ['sets × items; chance of a gain / of a loss', 'bootstrap', 'width', 'without width', 'score'];
const lines = rows.map(row => {
  const results = measure(row);
  const [bootstrap, score, report] = (['bootstrap', 'score', 'report'] as const).map(kind => results[kind]);
  return [
    row.name,
    share(bootstrap?.covered),
    share(bootstrap?.width),
    share(bootstrap?.pointLike),
    share(score?.covered),
    share(score?.width),
    share(report?.covered),
    share(report?.width),
  ];
});
for (const line of markdownTable([[...head, 'width', 'report', 'width'], ...lines])) console.log(line);

type Tally = { covered: number; width: number; pointLike: number };

/** Shares of the trials, and the mean width. */
function measure({ sets }: Row): Record<'bootstrap' | 'score' | 'report', Tally> {
  const random = randomAt(20261126, 'coverage');
  const truth = sets.reduce((sum, { gain, loss }) => sum + gain - loss, 0) / sets.length;
  const tally = { bootstrap: newTally(), score: newTally(), report: newTally() };
  for (let trial = 0; trial < trials; trial += 1) {
    const found = sets.map(one => draw(one, () => unit(random)));
    note(tally.bootstrap, bootstrapInterval(found.map(differences), trial), truth);
    note(tally.score, pairedScoreIntervalOfMean(found), truth);
    note(tally.report, changeOf(found, trial).interval, truth);
  }
  return tally;
}

function newTally(): Tally {
  return { covered: 0, width: 0, pointLike: 0 };
}

function note(tally: Tally, { low, high }: Interval, truth: number): void {
  tally.covered += Number(low <= truth && truth <= high) / trials;
  tally.width += (high - low) / trials;
  tally.pointLike += Number(low === high) / trials;
}

function draw({ items, gain, loss }: Chances, uniform: () => number): Flipped {
  let [gained, lost] = [0, 0];
  for (let i = 0; i < items; i += 1) {
    const u = uniform();
    if (u < gain) gained += 1;
    else if (u < gain + loss) lost += 1;
  }
  return { gained, lost, items };
}

function differences({ gained, lost, items }: Flipped): number[] {
  return Array.from({ length: items }, (_, i) => (i < gained ? 1 : i < gained + lost ? -1 : 0));
}

function share(value: number | undefined): string {
  return (value ?? Number.NaN).toFixed(3);
}
