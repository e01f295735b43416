/** What the data say about keys that not every shape of them gives an effect. */
import { checkDataEffects, type DataForm } from '../config/effects.ts';
import { ConfigError } from '../config/problems.ts';
import type { RunConfig } from '../config/schema.ts';
import type { Dataset } from '../data/dataset.ts';
import { readRecords } from '../data/json-lines.ts';
import { seekableFile } from '../data/open-file.ts';
import { asksInMessages, fileOf, type SetSettings } from '../evaluation/read-set.ts';

/** A set is opened only where a key hangs on it; its first record decides. */
export async function readDataForm(
  config: RunConfig,
  { train }: Dataset,
  cacheDirectory: string,
): Promise<DataForm> {
  const isMessages = train.index.shape.includes('messages');
  const { system_prompt, chat_template_path, chat_template_date, chat_template_kwargs } = config;
  const asksChat =
    [system_prompt, chat_template_path, chat_template_date].some(value => value !== null) ||
    Object.keys(chat_template_kwargs).length > 0;
  const isOpen = asksChat && !isMessages && !config.as_chat;
  const sets = [...config.eval.sets, ...config.retention.sets];
  const known: (readonly [string, boolean])[] = [];
  for (const set of sets.filter(set => isOpen || set.as_chat !== null || set.system_prompt !== null))
    known.push([set.name, await isSetOfMessages(set, cacheDirectory)]);
  const isConversation = train.index.shape === 'messages';
  return { isMessages, isConversation, setIsMessages: Object.fromEntries(known) };
}

/** Throws `ConfigError` with every key that these data leave without an effect. */
export function refuseWithoutEffect(config: RunConfig, form: DataForm): void {
  const findings = checkDataEffects(config, form);
  if (findings.length === 0) return;
  throw new ConfigError(
    'the configuration does not fit the data',
    findings.map(found => ({ ...found, line: null })),
  );
}

async function isSetOfMessages(set: SetSettings, cacheDirectory: string): Promise<boolean> {
  if (set.task !== null || set.lm_eval !== null) return false;
  for await (const placed of readRecords(await seekableFile(fileOf(set), cacheDirectory)))
    return 'record' in placed && asksInMessages(placed.record, set.columns.prompt);
  return false;
}
