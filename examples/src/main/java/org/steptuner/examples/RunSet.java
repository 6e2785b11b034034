// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.List;
import java.util.Locale;

/** What the job can train: runs that are compared with each other. */
enum RunSet {
  /** Fixed rates and Mechanic. */
  MECHANIC(3, Run.all()),
  /** MetaOptimize from first step sizes that are far too small. */
  METAOPTIMIZE(5, MetaOptimizeRuns.all()),
  /** Muon, whose steps libtorch makes, at fixed rates and under Mechanic. */
  MUON(1, MuonRuns.all());

  private final int epochs;
  private final List<Run> runs;

  RunSet(int epochs, List<Run> runs) {
    this.epochs = epochs;
    this.runs = runs;
  }

  /** How many, unless the user says otherwise. */
  int epochs() {
    return epochs;
  }

  List<Run> runs() {
    return runs;
  }

  /** As on the command line. */
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
