/** The README of a model on the hub: what it gained and kept, and how to make it again. Pure. */
import { basename } from 'node:path';
import { stringify } from 'yaml';
import { resultLines, setLines } from './markdown.ts';
import type { Results } from './results.ts';
import { loadingLines } from './row-costs.ts';
import { analyse } from './rows.ts';

/** What is published; `repository`: its id on the hub. */
export type CardOptions = { readonly repository: string; readonly isAdapter: boolean };

/** Of the model that a run was made for. Paths of the machine are cut to their last part. */
export function modelCard(results: Results, { repository, isAdapter }: CardOptions): string {
  const { run, config, model } = results;
  const base = String(config?.model_name_or_path ?? 'unknown');
  const datasets = [
    ...new Set((run.data ?? []).filter(({ revision }) => revision !== null).map(({ path }) => path)),
  ];
  const analysis = analyse(results);
  return card({ base, isAdapter, datasets, tags: [...new Set(['tms', run.method])] }, [
    `# ${repository}`,
    `${withoutFolder(base)} fine-tuned with tms, method \`${run.method}\`${model === null ? '' : `: ${model.training.label}`}. ` +
      'What it forgot was measured while it learned, on the same items as its base:',
    '## Gained and kept',
    resultLines(analysis).join('\n'),
    setLines(analysis).join('\n'),
    '## Use',
    fenced(
      'python',
      (loadingLines(results) ?? []).map(line => line.replaceAll(model?.path ?? '\0', repository)).join('\n'),
    ),
    '## Made by',
    fenced('sh', 'npx tms run recipe.yaml'),
    'with recipe.yaml:',
    fenced('yaml', stringify(withoutFolders(config ?? {})).trimEnd()),
    [
      `- data digest \`${run.dataDigest}\`, base model \`${run.baseDigest}\`, configuration \`${run.configDigest}\``,
      ...(run.data ?? []).map(dataLine),
      `- tms ${run.tmsVersion}, run ${run.id} of ${run.startedAt.slice(0, 10)}${versions(results)}`,
    ].join('\n'),
  ]);
}

/** Of a directory that is no run's: only what its files say. */
export function plainCard(base: string | null, { repository, isAdapter }: CardOptions): string {
  const facts = { base, isAdapter, datasets: [], tags: ['tms'] };
  return card(facts, [
    `# ${repository}`,
    'Uploaded with tms. It was not measured by the run that made it, or that is not known.',
  ]);
}

type CardFacts = {
  readonly base: string | null;
  readonly isAdapter: boolean;
  readonly datasets: readonly string[];
  readonly tags: readonly string[];
};

function card({ base, isAdapter, datasets, tags }: CardFacts, parts: readonly string[]): string {
  // A directory of somebody's machine is no model of the hub.
  const isHubId = base !== null && /^[\w.-]+\/[\w.-]+$/.test(base);
  const heading = {
    ...(isHubId && { base_model: base }),
    library_name: isAdapter ? 'peft' : 'transformers',
    pipeline_tag: 'text-generation',
    ...(datasets.length > 0 && { datasets }),
    tags,
  };
  return `---\n${stringify(heading)}---\n\n${parts.filter(part => part !== '').join('\n\n')}\n`;
}

function dataLine({
  key,
  path,
  name,
  split,
  revision,
  rows,
}: NonNullable<Results['run']['data']>[number]): string {
  const at = revision === null ? '' : ` at ${revision}`;
  return `- ${key}: ${withoutFolder(path)}${name === null ? '' : ` (${name})`}, split ${split}${at}, ${rows} rows`;
}

function versions({ environment }: Results): string {
  const names = ['torch', 'transformers', 'peft'];
  const found = names.flatMap(name =>
    environment?.versions[name] ? [`${name} ${environment.versions[name]}`] : [],
  );
  return found.length === 0 ? '' : `, ${found.join(', ')}, ${environment?.device}`;
}

function withoutFolders(value: unknown): unknown {
  if (typeof value === 'string') return withoutFolder(value);
  if (Array.isArray(value)) return value.map(withoutFolders);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, withoutFolders(entry)]));
}

/** Paths from the root, the home or a folder above say where somebody's files lie. */
function withoutFolder(text: string): string {
  return /^(\/|~|\.\.?\/)/.test(text) && !/\s/.test(text) ? basename(text) : text;
}

function fenced(language: string, code: string): string {
  return code === '' ? '' : `\`\`\`${language}\n${code}\n\`\`\``;
}
