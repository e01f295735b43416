/** Short answers compared as the official scripts of HotpotQA and TriviaQA do. Pure. */
import { spokenPart } from './answer-part.ts';

/** `!"#$…`: what Python calls punctuation. */
const punctuation = /[!-/:-@[-`{-~]/g;
const article = /\b(?:a|an|the)\b/g;

/** HotpotQA's: small letters, no punctuation, no articles, single spaces. */
export function hotpotForm(text: string): string {
  return spaced(text.toLowerCase().replace(punctuation, '').replace(article, ' '));
}

/** TriviaQA's: the same, but punctuation becomes a space, typographic quotes too. */
export function triviaForm(text: string): string {
  const said = text.replaceAll('_', ' ').toLowerCase();
  return spaced(
    said
      .replace(punctuation, ' ')
      .replace(/[‘’´`]/g, ' ')
      .replace(article, ' '),
  );
}

/** The same in that form; where nothing is left of either ("The The"), as they were written. */
export function haveSameForm(form: (text: string) => string, one: string, other: string): boolean {
  const [said, wanted] = [form(one), form(other)];
  if (said !== '' || wanted !== '') return said === wanted;
  return one.trim() !== '' && one.trim().toLowerCase() === other.trim().toLowerCase();
}

/** Harmonic mean of the shares of common words; of yes, no and noanswer only whole answers count. */
export function wordOverlap(answer: string, gold: string): number {
  const [said, wanted] = [hotpotForm(answer), hotpotForm(gold)];
  const isWord = (text: string) => ['yes', 'no', 'noanswer'].includes(text);
  if ((isWord(said) || isWord(wanted)) && said !== wanted) return 0;
  const left = wanted.split(' ').filter(word => word !== '');
  const words = said.split(' ').filter(word => word !== '');
  const [saidCount, wantedCount] = [words.length, left.length];
  let common = 0;
  for (const word of words) {
    const place = left.indexOf(word);
    if (place < 0) continue;
    common++;
    left.splice(place, 1);
  }
  return common === 0 ? 0 : (2 * common) / (saidCount + wantedCount);
}

const lead =
  /^\W*(?:(?:so|thus|therefore|hence),?\s+)?(?:the\s+)?(?:final\s+|correct\s+|short\s+)?answer\s*(?:is\b\s*:?|:)\s*/i;

/** The answer itself: behind thoughts and "Answer:", its first line. */
export function shortAnswer(text: string): string {
  const [first = ''] = spokenPart(text).trim().replace(lead, '').split('\n');
  return first.replace(/^[\s*_"“]+|[\s*_"”]+$/g, '');
}

/** The first word of a text, without the marks around it. */
export function firstWord(text: string): string {
  const [word = ''] = text.trim().split(/\s+/);
  return word.replace(/^[^\p{L}\p{N}]+|[^\p{L}\p{N}]+$/gu, '');
}

function spaced(text: string): string {
  return text
    .split(/\s+/)
    .filter(word => word !== '')
    .join(' ');
}
