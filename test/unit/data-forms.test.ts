import { describe, expect, it } from 'vitest';
import { describeIndexed } from '../../src/data/dataset.ts';
import { indexExamples } from '../../src/data/example-index.ts';
import { ExampleReader } from '../../src/data/example-reader.ts';
import { seekableFile } from '../../src/data/open-file.ts';
import { temporaryDirectory, temporaryFile } from '../support/temporary-directory.ts';

const options = {
  columns: { prompt: null, completion: null, messages: null },
  as_chat: false,
  system_prompt: null,
  duplicates: 'keep' as const,
};

async function examplesOf(path: string) {
  const index = await indexExamples(await seekableFile(path, temporaryDirectory()), options);
  const reader = await ExampleReader.open(index, options);
  try {
    const examples = await reader.readRange(0, index.count);
    return {
      said: describeIndexed(index).map(line => line.replace(/^.*\//, '').replace(/; digest.*/, '')),
      examples,
    };
  } finally {
    await reader.close();
  }
}
const jsonl = (...records: object[]) =>
  temporaryFile('a.jsonl', records.map(record => JSON.stringify(record)).join('\n'));

describe('records of other tools', () => {
  // The first example of alpaca_data.json (tatsu-lab), and its first with an input; the prompt as in LLaMA-Factory's data/README.md.
  it('of Alpaca are a prompt and a completion, the input below the instruction', async () => {
    const path = temporaryFile(
      'alpaca.json',
      JSON.stringify([
        { instruction: 'Give three tips for staying healthy.', input: '', output: '1. Eat a balanced diet' },
        {
          instruction: 'Identify the odd one out.',
          input: 'Twitter, Instagram, Telegram',
          output: 'Telegram',
        },
      ]),
    );
    expect(await examplesOf(path)).toEqual({
      said: [
        'alpaca.json: Alpaca (instruction, input, output), read as prompt and completion as text; 2 examples',
      ],
      examples: [
        { prompt: 'Give three tips for staying healthy.', completion: '1. Eat a balanced diet' },
        { prompt: 'Identify the odd one out.\nTwitter, Instagram, Telegram', completion: 'Telegram' },
      ],
    });
  });

  it('of ShareGPT are messages', async () => {
    const turns = [
      { from: 'human', value: 'Hi' },
      { from: 'gpt', value: 'Hello' },
      { from: 'human', value: '2 + 2?' },
      { from: 'gpt', value: '4' },
    ];
    const { said, examples } = await examplesOf(
      jsonl({ id: 'x', system: 'Be brief.', conversations: turns }),
    );
    expect(said[0]).toBe('a.jsonl: ShareGPT (conversations: from, value), read as messages; 1 examples');
    expect(examples).toEqual([
      {
        prompt: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'Hi' },
          { role: 'assistant', content: 'Hello' },
          { role: 'user', content: '2 + 2?' },
        ],
        completion: [{ role: 'assistant', content: '4' }],
      },
    ]);
  });

  it('are refused with their lines where they cannot be said so', async () => {
    const alpaca = { instruction: 'a', input: '', output: 'b' };
    const chat = [
      { from: 'human', value: 'a' },
      { from: 'function_call', value: '{}' },
    ];
    const read = examplesOf(
      jsonl(
        alpaca,
        { ...alpaca, history: [['q', 'a']] },
        { ...alpaca, output: 3 },
        { conversations: chat },
        { question: 'q' },
      ),
    );
    const error = await read.catch((caught: Error) => caught);
    const lines = (error as Error).message.split('\n').slice(1);
    expect(lines).toEqual([
      expect.stringMatching(/line 2: history is given, which only `messages` can say/),
      expect.stringMatching(/line 3: output is a number, not a text/),
      expect.stringMatching(/line 4: conversations\[1\] is from "function_call"; human, user, gpt/),
      expect.stringMatching(/line 5: neither `prompt` nor `messages`; there are: question/),
    ]);
    const mixed = examplesOf(jsonl(alpaca, { prompt: 'a', completion: 'b' }));
    await expect(mixed).rejects.toThrow(
      'line 2: mixed shapes: prompt and completion as text, but line 1 is Alpaca (instruction, input, output)',
    );
  });
});

describe('a CSV file', () => {
  // Python: csv.writer(...).writerows([['prompt', 'completion', 'n'], ['a, "b"', 'c\nd', '007'], ['é', 'f', '']])
  const written = 'prompt,completion,n\r\n"a, ""b""","c\nd",007\r\né,f,\r\n';

  it('is read as texts, digit by digit, as csv of Python wrote it', async () => {
    const { said, examples } = await examplesOf(temporaryFile('a.csv', `\uFEFF${written}`));
    expect(said).toEqual(['a.csv: prompt and completion as text; 2 examples']);
    expect(examples).toEqual([
      { prompt: 'a, "b"', completion: 'c\nd' },
      { prompt: 'é', completion: 'f' },
    ]);
  });

  it('names the line of the file of a row that is wrong', async () => {
    await expect(examplesOf(temporaryFile('a.csv', `${written}x,y\r\n`))).rejects.toThrow(
      'line 5: 2 values for 3 columns',
    );
    await expect(examplesOf(temporaryFile('a.csv', 'prompt,completion\na,"b\n'))).rejects.toThrow(
      'the text in quotes that begins in line 2 has no end',
    );
    await expect(examplesOf(temporaryFile('a.csv', 'prompt,prompt\na,b\n'))).rejects.toThrow(
      'two columns named "prompt"',
    );
  });
});
