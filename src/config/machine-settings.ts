import { z } from 'zod';
import { is, isGiven, readWhen } from './condition.ts';
import { answeredSomewhere } from './evaluation-settings.ts';
import { affects, few, ours, positive, text } from './setting.ts';

const endpoint = z.strictObject({
  address: ours(
    z.string().regex(/^tcp:\/\/[^:/]+:\d+$/, 'expected tcp://HOST:PORT'),
    'Where it waits: tcp://HOST:PORT.',
  ),
  key: ours(z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits'), 'Its public key.'),
});

/** What generates the answers. */
export const samplerSettings = z
  .strictObject({
    backend: affects(
      'numerics',
      ours(
        z.enum(['torch', 'vllm']).default('torch'),
        'Engine that generates: torch, by default inside the training process, or vllm, beside it (`tms setup --vllm`).',
      ),
    ),
    python: affects(
      'nothing',
      readWhen(
        ours(
          text.nullable().default(null),
          'Python interpreter that has vLLM; null: the environment of `tms setup --vllm`.',
        ),
        { 'sampler.backend': is('vllm') },
      ),
    ),
    gpu_memory_utilization: affects(
      'nothing',
      readWhen(
        ours(
          z.number().gt(0).max(1).nullable().default(null),
          'Part of its GPU’s memory that vLLM takes for weights, keys and values; null: vLLM’s own default. Less where the trainer shares the GPU.',
        ),
        { 'sampler.backend': is('vllm') },
      ),
    ),
    workers: affects(
      'numerics',
      ours(
        few.nullable().default(null),
        'Processes that only sample, beside the one that trains; null: that one samples, too; with vllm there is one.',
      ),
    ),
    keep_alive: affects(
      'nothing',
      readWhen(
        ours(
          z.boolean().default(true),
          'false: samplers end whenever they have answered and start when they are asked again, so that the memory of a GPU that they share ' +
            'with the trainer is free between; nothing is then sampled while training goes on.',
        ),
        { '.workers': isGiven },
        { '.backend': is('vllm') },
      ),
    ),
    endpoints: affects(
      'numerics',
      ours(
        z.array(endpoint).min(1).nullable().default(null),
        'Samplers on other machines, each waiting there by `tms worker --listen`, which prints what stands here; output_dir and TMS_HOME ' +
          'must be there under the same paths. null: none.',
      ),
    ),
    max_rows: affects(
      'numerics',
      readWhen(
        ours(positive.nullable().default(null), 'Answers generated side by side; null: as many as fit.'),
        { method: is('tms') },
        { 'controls.base_samples': is(true) },
        ...answeredSomewhere,
      ),
    ),
    strict: affects(
      'numerics',
      ours(
        z.boolean().nullable().default(null),
        'true: an answer never depends on what is generated beside it, or the run is refused; false: it may; null: as determinism says.',
      ),
    ),
  })
  .prefault({});

/** Who places samplers, and where. */
export const placementSettings = z
  .strictObject({
    engine: affects(
      'nothing',
      ours(
        z.enum(['local', 'ray']).default('local'),
        'local: on this machine, each sampler with GPUs of its own; ray: on the nodes of a Ray cluster (`tms setup --with ray`), which must see ' +
          'output_dir, TMS_HOME and the Python environment under the same paths.',
      ),
    ),
    address: affects(
      'nothing',
      readWhen(
        ours(
          text.default('auto'),
          'Address of the Ray cluster; auto: the one that this machine is a node of.',
        ),
        {
          '.engine': is('ray'),
        },
      ),
    ),
    samplers: ours(
      z
        .strictObject({
          count: affects(
            'numerics',
            ours(few.nullable().default(null), 'Samplers to place; null: none, see sampler.workers.'),
          ),
          gpus: affects(
            'nothing',
            readWhen(ours(z.int().min(0).max(64).default(1), 'GPUs of each; 0: it computes on a CPU.'), {
              '.count': isGiven,
            }),
          ),
        })
        .prefault({}),
      'What to place.',
    ),
  })
  .prefault({});

/** The Python process: where and in what pieces the same numbers are computed. */
export const workerSettings = z
  .strictObject({
    python: affects(
      'nothing',
      ours(
        text.nullable().default(null),
        'Python interpreter of the worker; null: TMS_PYTHON, else the environment of `tms setup`.',
      ),
    ),
    device: affects(
      'numerics',
      ours(text.default('auto'), 'cpu, cuda, cuda:1, …; auto: a GPU where there is one.'),
    ),
    token_budget: affects(
      'numerics',
      ours(
        positive.nullable().default(null),
        'Padded tokens of one micro-batch; null: 2,048 on a CPU, on a GPU what its memory holds, halved when it runs out (not with ' +
          'determinism: strict).',
      ),
    ),
    threads: affects(
      'numerics',
      ours(few.nullable().default(null), 'CPU threads of torch; null: torch’s choice.'),
    ),
  })
  .prefault({});

/** How far a repetition may differ. */
export const determinismSetting = affects(
  'numerics',
  ours(
    z.enum(['auto', 'off', 'seeded', 'strict']).default('auto'),
    'strict: bit-equal weights and answers on the same machine (weights alone with sampler.strict false); seeded: same draws, last ' +
      'bits may differ; off: fastest; auto: strict on a CPU, seeded on a GPU.',
  ),
);
