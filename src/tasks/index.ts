/** All tasks by name, and an evaluation set made of one. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { answeredTasks } from './answered.ts';
import { choiceTasks } from './choices.ts';
import type { HubSource, Task } from './task.ts';

export type { HubSource, Task, TaskRow } from './task.ts';

/** Every task there is. */
export const tasks: Readonly<Record<TaskName, Task>> = { ...answeredTasks, ...choiceTasks };

export type TaskName = keyof typeof answeredTasks | keyof typeof choiceTasks;

/** Names of all tasks, in the order of the alphabet. */
export const taskNames = Object.keys(tasks).sort() as [TaskName, ...TaskName[]];

/** Those that can be asked with examples before each question. */
export const fewShotTasks = taskNames.filter(name => tasks[name].shots !== undefined);

/** The task of that name, or undefined. */
export function taskNamed(name: unknown): Task | undefined {
  return typeof name === 'string' && Object.hasOwn(tasks, name) ? tasks[name as TaskName] : undefined;
}

/** What an evaluation set of a task says where its author says nothing; its data come from the hub, where they are there. */
export function setOfTask(name: TaskName): Record<string, unknown> {
  const { settings, hub } = tasks[name];
  return {
    name,
    ...(hub && { path: hubPath(hub) }),
    ...settings,
    ...(settings.scorer === 'multiple_choice' && { answer_is: 'index' }),
  };
}

/** The file of a task in `path`, which names it or a folder of data sets. */
export function fileOfTask(task: Task, path: string): string {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  return isFolder ? join(path, task.file) : path;
}

/** A place on the hub as a path: `hub:openai/gsm8k/main@test`. */
export function hubPath({ path, name, split }: HubSource): string {
  return `hub:${path}${name === undefined ? '' : `/${name}`}@${split}`;
}

/** The other way round; null for the path of a file. */
export function hubSourceOf(path: string): HubSource | null {
  const [, owner, data, name, split] = /^hub:([^/@]+)\/([^/@]+)(?:\/([^@]+))?@(.+)$/.exec(path) ?? [];
  if (split === undefined) return null;
  return { path: `${owner}/${data}`, ...(name !== undefined && { name }), split };
}
