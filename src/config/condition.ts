/** Under which condition a setting is read: declared with the setting, checked against what a person wrote. */
import type { z } from 'zod';

/** A question to the value of one key. Both sentences go into messages: what it should be, and why it is not. */
export type ValueTest = {
  readonly holds: (value: unknown) => boolean;
  readonly wanted: (key: string) => string;
  readonly because: (key: string, value: unknown) => string;
};

/** Keys that must all hold: from the top, or behind one dot in the setting's own block, behind two in the block around that. */
export type Condition = Readonly<Record<string, ValueTest>>;

/** Read where one of them holds. */
type Alternatives = readonly Condition[];

/** What a schema keeps: all of `rules` must hold. As JSON it is a sentence, for editors. */
export type ReadRules = { readonly rules: readonly Alternatives[]; readonly toJSON: () => string };

/** The setting is read only where one of the conditions holds. Said twice, both must. */
export function readWhen<S extends z.ZodType>(schema: S, ...alternatives: Condition[]): S {
  const meta = schema.meta() as { readonly 'x-read-when'?: ReadRules };
  const rules = readRules([...(meta['x-read-when']?.rules ?? []), alternatives]);
  return schema.meta({ ...meta, 'x-read-when': rules } as Record<string, unknown>) as S;
}

/** All of them must hold. */
export function readRules(rules: ReadRules['rules']): ReadRules {
  return { rules, toJSON: () => rules.map(describeAlternatives).join('; and ') };
}

/** Conditions in words. */
export function describeAlternatives(alternatives: readonly Condition[]): string {
  return alternatives.map(describeCondition).join(', or ');
}

function describeCondition(condition: Condition): string {
  return Object.entries(condition)
    .map(([key, test]) => test.wanted(nameOf(key)))
    .join(' and ');
}

/** A key as messages name it. */
export function nameOf(key: string): string {
  return key.replace(/^\.+/, '');
}

/** One of these values. */
export function is(...values: unknown[]): ValueTest {
  return {
    holds: value => values.includes(value),
    wanted: key => `${key}: ${values.map(written).join(' or ')}`,
    because: isValue,
  };
}

/** Any value but these. */
export function isNot(...values: unknown[]): ValueTest {
  return {
    holds: value => !values.includes(value),
    wanted: key => `${key} other than ${values.map(written).join(' and ')}`,
    because: isValue,
  };
}

/** A number above a limit. */
export function above(limit: number): ValueTest {
  return {
    holds: value => typeof value === 'number' && value > limit,
    wanted: key => `${key} above ${limit}`,
    because: isValue,
  };
}

/** A number up to a limit. */
export function atMost(limit: number): ValueTest {
  return {
    holds: value => typeof value === 'number' && value <= limit,
    wanted: key => `${key} of at most ${limit}`,
    because: isValue,
  };
}

/** Not null. */
export const isGiven: ValueTest = {
  holds: value => value !== null,
  wanted: key => `${key} given`,
  because: key => `${key} is not given`,
};

/** Null. */
export const isNotGiven: ValueTest = {
  holds: value => value === null,
  wanted: key => `no ${key}`,
  because: (key, value) => `${key} is given (${written(value)})`,
};

/** A list with such an entry; `what` names them in the plural. */
export function hasSome(what: string, isSuch: (entry: unknown) => boolean = () => true): ValueTest {
  return {
    holds: value => Array.isArray(value) && value.some(isSuch),
    wanted: () => what,
    because: () => `there are no ${what}`,
  };
}

/** A list with this entry. */
export function includes(entry: string): ValueTest {
  return {
    holds: value => Array.isArray(value) && value.includes(entry),
    wanted: key => `${entry} among ${key}`,
    because: key => `${key} is without ${entry}`,
  };
}

/** A fact about something beside the configuration, in words of its own. */
export function isTrue(wanted: string, because: string): ValueTest {
  return { holds: value => value === true, wanted: () => wanted, because: () => because };
}

function isValue(key: string, value: unknown): string {
  return `${key} is ${written(value)}`;
}

function written(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
}
