// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import org.steptuner.tuner.TunerBuilder;

/**
 * One way in which the library can be asked to do what a case did; every one of them must agree with the recording.
 *
 * @param label tells it from the case's other candidates; empty where there is one only
 * @param lost what the reference loses by cancellation and this arrangement does not
 * @param blocks the tensors of each parameter group; null for one group
 * @param trainer what the builder asks for losses and curvature; null where it does not
 */
record Candidate(String label, TunerBuilder<?> builder, Lost lost, double[][] blocks, TrainerSide trainer) {
  Candidate(String label, TunerBuilder<?> builder, Lost lost, double[][] blocks) {
    this(label, builder, lost, blocks, null);
  }

  Candidate(String label, TunerBuilder<?> builder, Lost lost) {
    this(label, builder, lost, null);
  }

  /** What a reference computes as a difference of two nearly equal x; see {@link Tolerance}. */
  enum Lost {
    NOTHING,
    /** The base's step: x after it less x before. */
    STEP,
    /** Also the sum of the steps, Delta: x less the reference point. */
    DELTA
  }
}
