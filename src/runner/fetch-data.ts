/** Data that a configuration names on the hub, or as a directory, as files: for all that reads them they were always files. */
import { join } from 'node:path';
import type { RunConfig } from '../config/schema.ts';
import { type FetchPlace, fetchSplits, type HubSplit } from '../data/hub.ts';
import type { SetSettings } from '../evaluation/read-set.ts';
import { isDataset } from '../files/data-format.ts';
import { readRecord } from '../files/read-record.ts';
import { blockOf } from '../methods/method.ts';
import { type DataSource, runRecord } from '../run/records.ts';
import { type HubSource, hubSourceOf, taskNamed } from '../tasks/index.ts';
import { methodsOf } from './make-plan.ts';

/** The configuration with files in place of data sets, and where those are from. */
export type LocalData = { readonly config: RunConfig; readonly sources: readonly DataSource[] };

/** A key that names a data set, and how the file is put in its place. */
type Wanted = {
  readonly key: string;
  readonly split: HubSplit;
  readonly replace: (config: RunConfig, file: string) => RunConfig;
};

/**
 * Fetch every data set that is named. A run that goes on, or repeats another, takes the commits with which that began (`begunIn`, by
 * default output_dir), whatever became of the branch since. Throws `DataError`.
 */
export async function fetchData(
  config: RunConfig,
  { begunIn = config.output_dir, ...place }: FetchPlace & { readonly begunIn?: string },
): Promise<LocalData> {
  const begun = readRecord(join(begunIn, 'run.json'), runRecord).value?.data ?? [];
  const wanted = [...trainingSplits(config), ...methodSplits(config), ...setSplits(config)];
  const pinned = wanted.map(({ key, split }) => {
    const known = begun.find(source => source.key === key && source.path === split.path);
    return { ...split, revision: known?.revision ?? split.revision };
  });
  const fetched = await fetchSplits(pinned, place);
  let local = config;
  const sources = wanted.map(({ key, split, replace }, i): DataSource => {
    const { file, revision, rows } = fetched[i] as (typeof fetched)[number];
    local = replace(local, file);
    return { key, path: split.path, name: split.name ?? null, split: split.split, revision, rows };
  });
  return { config: local, sources };
}

function trainingSplits(config: RunConfig): Wanted[] {
  const { dataset_name, dataset_test_name, dataset_test_split, dataset_streaming } = config;
  const [path, revision] = [dataset_name, config.dataset_revision];
  const isRemote = isDataset(dataset_name);
  const ofTraining = { path, name: config.dataset_config, revision };
  const firstRows = dataset_streaming ? config.max_train_samples : null;
  const train = { ...ofTraining, split: config.dataset_train_split, firstRows };
  const sameTest = isRemote && dataset_test_name === null && dataset_test_split !== null;
  const test = sameTest
    ? { ...ofTraining, split: dataset_test_split }
    : { path: dataset_test_name ?? '', split: dataset_test_split ?? 'test' };
  const hasTest = sameTest || (dataset_test_name !== null && isDataset(dataset_test_name));
  return [
    ...(isRemote ? [wantedKey('dataset_name', train)] : []),
    ...(hasTest ? [wantedKey('dataset_test_name', test)] : []),
  ];
}

function wantedKey(key: 'dataset_name' | 'dataset_test_name', split: HubSplit): Wanted {
  const rest = key === 'dataset_name' ? ofNoFile : { dataset_test_split: null };
  return { key, split, replace: (config, file) => ({ ...config, ...rest, [key]: file }) };
}

/** Of a file they say nothing. */
const ofNoFile = {
  dataset_config: null,
  dataset_train_split: 'train',
  dataset_test_split: null,
  dataset_revision: 'main',
  dataset_streaming: false,
};

/** Further data sets, in the blocks of methods with the keys of `datasetSettings`. */
function methodSplits(config: RunConfig): Wanted[] {
  return methodsOf(config).flatMap(method => {
    const name = blockOf(method) as keyof RunConfig;
    const block = config[name] as Partial<Record<string, unknown>> | undefined;
    const path = block?.dataset_name;
    if (method.datasets === undefined || typeof path !== 'string' || !isDataset(path)) return [];
    const split = {
      path,
      name: block?.dataset_config as string | null,
      split: block?.dataset_split as string,
      revision: block?.dataset_revision as string,
    };
    const replace = (whole: RunConfig, file: string) => ({
      ...whole,
      [name]: {
        ...(whole[name] as object),
        dataset_name: file,
        dataset_config: null,
        dataset_split: 'train',
        dataset_revision: 'main',
      },
    });
    return [{ key: `${name}.dataset_name`, split, replace }];
  });
}

/** Evaluation sets whose path says `hub:…`, and the examples before their questions. */
function setSplits(config: RunConfig): Wanted[] {
  return (['eval', 'retention'] as const).flatMap(block =>
    config[block].sets.flatMap((set, i) => {
      const replace = (key: 'path' | 'fewshot_path') => (whole: RunConfig, file: string) => {
        const sets = whole[block].sets.map((other, j) => (i === j ? { ...other, [key]: file } : other));
        return { ...whole, [block]: { ...whole[block], sets } };
      };
      const key = `${block}.sets.${set.name}`;
      const [split, shots] = [hubSourceOf(set.path), shotsOf(set)];
      return [
        ...(split === null ? [] : [{ key, split, replace: replace('path') }]),
        ...(shots === null
          ? []
          : [{ key: `${key}.fewshot`, split: shots, replace: replace('fewshot_path') }]),
      ];
    }),
  );
}

function shotsOf({ task, path, num_fewshot, fewshot_path }: SetSettings): HubSource | null {
  const shots = taskNamed(task)?.shots;
  if (shots === undefined || (num_fewshot ?? 0) === 0) return null;
  if (fewshot_path !== null) return hubSourceOf(fewshot_path);
  return hubSourceOf(path) === null ? null : shots.hub;
}
