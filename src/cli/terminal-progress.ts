/** Progress of a run: one live line where a person watches, a plain line now and then where nobody does. */
import type { Progress } from '../training/run.ts';
import type { Terminal } from './terminal.ts';

const liveIntervalMs = 100;
const plainIntervalMs = 15_000;

export function terminalProgress(terminal: Terminal): Progress & { clear(): void } {
  let current = { stage: '', start: 0, tokens: 0, drawn: 0 };
  let isLive = false;
  const clear = () => {
    if (isLive) terminal.redraw('');
    isLive = false;
  };
  return {
    clear,
    say(line) {
      clear();
      terminal.note(line);
    },
    update(stage, done, total, tokens) {
      const now = performance.now();
      if (stage !== current.stage) current = { stage, start: now, tokens: 0, drawn: now };
      current.tokens += tokens;
      const isDue = now - current.drawn >= (terminal.isInteractive ? liveIntervalMs : plainIntervalMs);
      if (!isDue && !(terminal.isInteractive && done >= total)) return;
      current.drawn = now;
      draw(
        progressLine({ stage, done, total, tokens: current.tokens, seconds: (now - current.start) / 1000 }),
      );
    },
  };

  function draw(line: string): void {
    isLive = terminal.isInteractive;
    if (isLive) terminal.redraw(line.slice(0, terminal.columns - 1));
    else terminal.note(line);
  }
}

type State = { stage: string; done: number; total: number; tokens: number; seconds: number };

/** `train sft  120/456  1,234 tokens/s  0:35 left`. */
function progressLine({ stage, done, total, tokens, seconds }: State): string {
  const speed =
    tokens > 0 && seconds > 0.5 ? `  ${Math.round(tokens / seconds).toLocaleString('en')} tokens/s` : '';
  const left =
    done >= total / 20 && done < total && seconds > 1
      ? `  ${clock((seconds / done) * (total - done))} left`
      : '';
  return `${stage}  ${done}/${total}${speed}${left}`;
}

function clock(seconds: number): string {
  const whole = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const pad = (value: number) => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}
