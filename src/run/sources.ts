/** What the visits of a training came to: how much of the mixture that was asked for. Pure. */
import { type VisitSource, visitSources } from './records.ts';

export type SourceCounts = Readonly<Record<VisitSource, number>>;

export type Mixture = {
  readonly visits: number;
  /** Visits that drew an answer, whatever they trained on then. */
  readonly drawn: number;
  /** Of these, visits that trained on gold in its place. */
  readonly replaced: number;
  /** Share of all visits that trained on gold: the α in effect. */
  readonly alpha: number;
};

/** Counts of every source, none yet. */
export function noSources(): Record<VisitSource, number> {
  return Object.fromEntries(visitSources.map(source => [source, 0])) as Record<VisitSource, number>;
}

export function isAnswer(source: VisitSource): boolean {
  return source === 'answer' || source === 'unfinished-answer' || source === 'empty-answer';
}

/** The share of gold in effect is 0 of no visits. */
export function mixtureOf(sources: SourceCounts): Mixture {
  const sum = (isCounted: (source: VisitSource) => boolean) =>
    visitSources.filter(isCounted).reduce((total, source) => total + sources[source], 0);
  const visits = sum(() => true);
  const onGold = sum(source => !isAnswer(source) && source !== 'replay');
  return {
    visits,
    drawn: visits - sources.gold - sources.replay,
    replaced: onGold - sources.gold,
    alpha: visits === 0 ? 0 : onGold / visits,
  };
}

/** `7 unfinished, 5 empty`: why answers were replaced, or what was learned though unusable; null where nothing was. */
export function describeFaults(sources: SourceCounts, place: 'gold' | 'answer'): string | null {
  const words: readonly (readonly [VisitSource, string])[] =
    place === 'gold'
      ? [
          ['gold-for-unfinished', 'unfinished'],
          ['gold-for-empty', 'empty'],
          ['gold-for-too-long', 'longer than max_length'],
          ['gold-for-rejected', 'rejected'],
        ]
      : [
          ['unfinished-answer', 'unfinished'],
          ['empty-answer', 'empty'],
        ];
  const parts = words
    .filter(([source]) => sources[source] > 0)
    .map(([source, word]) => `${sources[source]} ${word}`);
  return parts.length === 0 ? null : parts.join(', ');
}
