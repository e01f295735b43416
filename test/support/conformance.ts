/** What every backend must do, whatever stands behind the verbs: one suite for the toy, PyTorch and those to come. */
import { describe } from 'vitest';
import { damage } from './conformance/damage.ts';
import { dependencies } from './conformance/dependencies.ts';
import { loading } from './conformance/loading.ts';
import { losses } from './conformance/losses.ts';
import { lifetime, requests } from './conformance/requests.ts';
import { learning, sampling } from './conformance/sampling.ts';
import { saving } from './conformance/saving.ts';
import { entropies, scoring } from './conformance/scoring.ts';
import { type OpenBackend, type Subject, useSubject } from './conformance/subject.ts';
import { text } from './conformance/text.ts';
import { training } from './conformance/training.ts';

/** Declares the suite for the backend that `open` starts; it is started twice, and both are closed. */
export function describeConformance(name: string, open: OpenBackend): void {
  describe(name, () => {
    const subject = useSubject(open);
    ofSamplers(subject);
    entropies(subject);
    losses(subject);
    training(subject);
    learning(subject);
    dependencies(subject);
    saving(subject);
    damage(subject);
    lifetime(subject, open);
  });
}

/** The part of it for a backend that trains nothing. */
export function describeSamplerConformance(name: string, open: OpenBackend): void {
  describe(name, () => {
    const subject = useSubject(open);
    ofSamplers(subject);
    lifetime(subject, open);
  });
}

function ofSamplers(subject: Subject): void {
  loading(subject);
  text(subject);
  scoring(subject);
  sampling(subject);
  requests(subject);
}
