// SPDX-License-Identifier: Apache-2.0
/** A trainer's module: what Step Tuner needs besides comes with it. */
module program {
  requires org.steptuner;
}
