/** Keys without an effect: each setting says when it is read, and what a person gave outside of that is a finding. */
import { type Condition, describeAlternatives, nameOf } from './condition.ts';
import { type Path, type Problem, show, valueAt } from './problems.ts';
import type { RunConfig } from './schema.ts';
import { asksAsChat } from './set-settings.ts';
import type { SettingMeta } from './setting.ts';
import { listSettings, type PlacedSetting, settingsIn } from './settings-list.ts';
/** What is known only when the data are read. */
export type DataForm = {
  /** Training examples are messages in the file, not text. */
  readonly isMessages: boolean;
  /** They are whole conversations, of which the last answer is split off. */
  readonly isConversation: boolean;
  /** Some chat is written by a template that reads the date; known once all are encoded. */
  readonly readsDate?: boolean;
  /** The same of evaluation sets, by name; of sets that are not there it is not known. */
  readonly setIsMessages: Readonly<Record<string, boolean>>;
};

type Finding = Omit<Problem, 'line'>;

/** A finding for every key of `input`, what a person wrote, that is not read; `config` is what became of it. */
export function checkEffects(input: unknown, config: RunConfig): Finding[] {
  return findingsFor(settingsIn(input).filter(isAsked), contextOf(config, null));
}

/**
 * A finding for every key whose value is not its default and that these data, not the other keys, leave without an effect: those that
 * others do are found in what a person wrote, where what a task fills in does not stand.
 */
export function checkDataEffects(config: RunConfig, form: DataForm): Finding[] {
  const withoutData = contextOf(config, null);
  const read = settingsIn(config).filter(
    placed => !placed.isDefault() && brokenRule(placed, withoutData) === null,
  );
  return findingsFor(read, contextOf(config, form));
}

/** Whether a key, a path of the schema without list entries, is read in this run. */
function isRead(config: RunConfig, path: string): boolean {
  const parts = path.split('.');
  const context = contextOf(config, null);
  return settingsIn(config).every(
    placed => !placed.path.every((part, i) => part === parts[i]) || brokenRule(placed, context) === null,
  );
}

/** A copy without the keys that are not read: as a file it says the same, and no key in it is a finding. */
export function onlyRead(config: RunConfig, form: DataForm | null): unknown {
  const context = contextOf(config, form);
  const copy: unknown = structuredClone(config);
  for (const placed of settingsIn(config)) {
    if (brokenRule(placed, context) === null) continue;
    const block = valueAt(copy, placed.path.slice(0, -1)) as Record<string, unknown> | undefined;
    if (block !== undefined) delete block[placed.path.at(-1) as string];
  }
  return copy;
}

/** Nothing where a default says the same: `key: null`, an empty list or block. */
function isAsked({ value, isDefault, isBlock }: PlacedSetting): boolean {
  const isNothing = value === null || (typeof value === 'object' && Object.keys(value).length === 0);
  return !(isNothing && (isBlock || isDefault()));
}

function findingsFor(given: readonly PlacedSetting[], context: unknown): Finding[] {
  const findings: Finding[] = [];
  for (const placed of given.filter(({ isBlock }) => !isBlock)) {
    const broken = brokenRule(placed, context);
    const isBelowAnother = findings.some(({ path }) => path.every((part, i) => placed.path[i] === part));
    if (broken !== null && !isBelowAnother) findings.push(finding(placed, broken, context));
  }
  return findings;
}

function finding(
  { path, value, isBlock }: PlacedSetting,
  { nearest, within }: Broken,
  context: unknown,
): Finding {
  const reasons = failures(nearest, path, context).map(([key, test]) =>
    test.because(nameOf(key), valueAtKey(key, path, context)),
  );
  return {
    path,
    found: isBlock ? 'a block of keys' : show(value),
    expected: `nothing, because ${reasons.join(' and ')}`,
    hint: `it is read with ${describeAlternatives(within)}; take it out (or --set ${path.join('.')}=)`,
  };
}

/** The condition that comes nearest to holding, and all that this value of the setting could be read under. */
type Broken = { readonly nearest: Condition; readonly within: readonly Condition[] };

/** Null where the setting is read, or where that is not known yet. */
function brokenRule({ path, meta }: { path: Path; meta: SettingMeta }, context: unknown): Broken | null {
  for (const alternatives of meta['x-read-when']?.rules ?? []) {
    const distances = alternatives.map(condition => distance(condition, path, context));
    const least = Math.min(...distances);
    if (least === 0) continue;
    const within = alternatives.filter((_, i) => (distances[i] as number) < otherValue);
    const nearest = alternatives[distances.indexOf(least)] as Condition;
    return { nearest, within: within.length > 0 ? within : alternatives };
  }
  return null;
}

/** What a condition on the setting's own value counts for: another value is not what the person asked for. */
const otherValue = 100;

/** How many tests fail. */
function distance(condition: Condition, path: Path, context: unknown): number {
  const own = path.join('.');
  return failures(condition, path, context).reduce(
    (sum, [key]) => sum + (key === own || key === `.${path.at(-1)}` ? otherValue : 1),
    0,
  );
}

function failures(condition: Condition, path: Path, context: unknown) {
  return Object.entries(condition).filter(([key, test]) => {
    const value = valueAtKey(key, path, context);
    return value !== undefined && !test.holds(value);
  });
}

function valueAtKey(key: string, path: Path, context: unknown): unknown {
  const name = nameOf(key);
  const dots = key.length - name.length;
  return valueAt(context, [...(dots > 0 ? path.slice(0, -dots) : []), ...name.split('.')]);
}

/** The configuration with the facts beside its keys: `facts` at the top and in each set. Without facts those are undefined. */
function contextOf(config: RunConfig, form: DataForm | null): unknown {
  if (form === null) return config;
  const trainingIsChat = form.isMessages || config.as_chat;
  const placed = (block: 'eval' | 'retention') => {
    const sets = config[block].sets.map(set => {
      const isMessages = form.setIsMessages[set.name];
      const isChat = isMessages || asksAsChat(set, trainingIsChat);
      return { ...set, facts: isMessages === undefined ? undefined : { isText: !isMessages, isChat } };
    });
    return { ...config[block], sets };
  };
  const [target, retention] = [placed('eval'), placed('retention')];
  const isChat = trainingIsChat || [...target.sets, ...retention.sets].some(set => set.facts?.isChat);
  return {
    ...config,
    eval: target,
    retention,
    facts: {
      isText: !form.isMessages,
      isChat,
      isConversation: form.isConversation,
      trainsOnChats: trainingIsChat,
      readsDate: form.readsDate,
    },
  };
}

/** A setting in effect that the paper does not state. */
export type GuessedSetting = {
  readonly path: string;
  readonly value: unknown;
  /** Where a value can come from instead. */
  readonly basis: string;
  readonly description: string;
};

/** Every setting that this run reads and that the paper leaves open, with its value. */
export function guessedSettings(config: RunConfig): GuessedSetting[] {
  return listSettings().flatMap(({ path, description, 'x-guessed': basis }) => {
    if (basis === undefined || !isRead(config, path)) return [];
    return [{ path, value: valueAt(config, path.split('.')), basis, description }];
  });
}
