/** The part of a generated text that answers the question, in plain characters. Pure. */
import { numbersIn } from './numbers.ts';

/** LaTeX, HTML and the calculator marks of GSM8K as the characters they stand for. */
export function plainText(text: string): string {
  return rewrites.reduce((said, [pattern, plain]) => said.replace(pattern, plain), text);
}

const rewrites: readonly (readonly [pattern: RegExp, plain: string])[] = [
  [/<<[^<>]*>>(?=\s*[-−$\d.])/g, ''],
  [/<<[^<>]*=([^<>=]*)>>/g, '$1'],
  [/&nbsp;|\\ |\\quad/g, ' '],
  [/&minus;/g, '−'],
  [/<\/?(?:b|strong|em|i)>/gi, '**'],
  [/(\d)\{,\}\\?!?(?=\d)/g, '$1,'],
  [/(\d),\\!(?=\d{3})/g, '$1,'],
  [/(\d)\\[,;:](?=\d{3})/g, '$1 '],
  [/\\[,;:!]/g, ' '],
  [/\\([$%&#])/g, '$1'],
  [/\\[()[\]]/g, ' '],
  [/\\(?:times|cdot)\b/g, '×'],
  [/\\div\b/g, '÷'],
  [/\\(?:approx|simeq)\b/g, '≈'],
  [/(\d)\s*\\[dtc]?frac\s*\{?(\d+)\}?\s*\{?(\d+)\}?/g, '$1 $2/$3'],
  [/\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}/g, '$1/$2'],
  [/\\[dtc]?frac\s*(\d)\s*(\d)/g, '$1/$2'],
  [/\\(?:text|mathbf|mathrm|textbf|mbox|bf)\s*\{([^{}]*)\}/g, '$1'],
  [/\\(?:left|right|displaystyle)\b/g, ''],
  [/(\d)\s*([½⅓⅔¼¾⅛])/g, '$1 $2'],
  [/½/g, '1/2'],
  [/⅓/g, '1/3'],
  [/⅔/g, '2/3'],
  [/¼/g, '1/4'],
  [/¾/g, '3/4'],
  [/⅛/g, '1/8'],
  [/(?<![\d,])\$?(\d[\d,]{0,20}) dollars?,? and (\d\d) cents?\b/gi, '$$$1.$2'],
  [/(?<![\d,])\$?(\d[\d,]{0,20}) dollars?,? and (\d) cents?\b/gi, '$$$1.0$2'],
];

const end =
  /<\|?(?:endoftext|im_(?:end|start)|eot_id|start_header_id|(?:end|start)_of_turn|end|user)\|?>|<\/s>/g;
const thoughtEnd = '</think>';
const name = '(?:question|q|problem|exercise|human|user|instruction|input|student|query)';
const count = String.raw`#?\d+(?:\.\d+)*`;
const question = new RegExp(
  [
    String.raw`\n[ \t>#*_-]*(?:${name}\s*(?:${count})?[\s*_]*[:.](?!\d)|${name}\s*${count}[*_]*[ \t]*(?:\n|$)`,
    String.raw`|(?:user|human)[ \t]*(?:\n|$)|(?:example|task)\s*${count}\s*[*_]*:)|(?<=[.!?]\s+)(?:q|question)\s*(?:${count})?:`,
  ].join(''),
  'gi',
);

/** Behind the thoughts, before a turn ends or the next question begins; a beginning without numbers has not answered yet. */
export function answerPart(text: string): string {
  const thought = text.lastIndexOf(thoughtEnd);
  const spoken = thought < 0 ? text : text.slice(thought + thoughtEnd.length);
  const said = hasNumber(spoken) ? spoken : text;
  const cuts = [...said.matchAll(end), ...said.matchAll(question)].map(({ index }) => index);
  const first = cuts
    .sort((a, b) => a - b)
    .find(cut => hasNumber(said.slice(0, cut)) && !isRestated(said.slice(0, cut)));
  return said.slice(0, first);
}

/** The same whatever is asked for: behind the thoughts, before a turn ends or the next question begins. */
export function spokenPart(text: string): string {
  const thought = text.lastIndexOf(thoughtEnd);
  const said = thought < 0 ? text : text.slice(thought + thoughtEnd.length);
  const cuts = [...said.matchAll(end), ...said.matchAll(question)].map(({ index }) => index);
  const first = cuts
    .sort((a, b) => a - b)
    .find(cut => /\w/.test(said.slice(0, cut)) && !isRestated(said.slice(0, cut)));
  return said.slice(0, first);
}

/** The place of the brace that closes the one at `open`, null where none does; `\{` and `\}` are no braces. */
export function closingBrace(text: string, open: number): number | null {
  let depth = 0;
  for (let at = open; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '{') depth++;
    else if (text[at] === '}' && --depth === 0) return at;
  }
  return null;
}

function hasNumber(text: string): boolean {
  return numbersIn(text).some(({ isLabel }) => !isLabel);
}

/** Is this no more than the question, said again before its answer? */
function isRestated(text: string): boolean {
  return (
    new RegExp(String.raw`^\W*${name}\b`, 'i').test(text) && !/\n\W*(?:answer|a|solution)\b\W/i.test(text)
  );
}
