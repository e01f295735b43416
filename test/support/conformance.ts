/** What every backend must do, whatever stands behind the verbs: one suite for the toy, PyTorch and those to come. */
import { describe } from 'vitest';
import { damage } from './conformance/damage.ts';
import { dependencies } from './conformance/dependencies.ts';
import { loading } from './conformance/loading.ts';
import { losses } from './conformance/losses.ts';
import { lifetime, requests } from './conformance/requests.ts';
import { sampling } from './conformance/sampling.ts';
import { saving } from './conformance/saving.ts';
import { scoring } from './conformance/scoring.ts';
import { type OpenBackend, useSubject } from './conformance/subject.ts';
import { text } from './conformance/text.ts';
import { training } from './conformance/training.ts';

/** Declares the suite for the backend that `open` starts; it is started twice, and both are closed. */
export function describeConformance(name: string, open: OpenBackend): void {
  describe(name, () => {
    const subject = useSubject(open);
    loading(subject);
    text(subject);
    scoring(subject);
    losses(subject);
    training(subject);
    dependencies(subject);
    sampling(subject);
    saving(subject);
    damage(subject);
    requests(subject);
    lifetime(subject, open);
  });
}
