// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import com.google.gson.JsonObject;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.steptuner.DataType;
import org.steptuner.Device;

/** A case: what was run, on what problem, and what came of it. */
final class GoldenCase {
  private static final int TWINS = 5;

  // Beyond the root of the largest float32 squares overflow, and the library rightly refuses the step.
  private static final double LARGEST_FLOAT32_NORM = 1e18;

  private final JsonObject optimizer;
  private final Problem problem;
  private final Recording recording;
  private final Map<DataType, Drift> drifts = new EnumMap<>(DataType.class);

  /**
   * Reads a case.
   *
   * @throws UnsupportedException if the library does not have what was run
   * @throws IllFormedException if a field is missing, unknown or of the wrong form
   * @throws IllegalArgumentException if the library refuses a hyperparameter
   */
  GoldenCase(JsonObject file, GoldenDirectory directory) {
    final Fields fields = new Fields("case", file);
    final Fields hyperparameters = fields.object("optimizer");
    // Before anything else: of a kind that is not supported, nothing more is known.
    OptimizerFactory.candidates(hyperparameters, DataType.FLOAT64);
    if (fields.has("dtype") && !fields.text("dtype").equals("float64"))
      throw new UnsupportedException("a recording of dtype '" + fields.text("dtype") + "'");
    optimizer = file.getAsJsonObject("optimizer");
    final double l2 = hyperparameters.number("l2", 0);
    problem = Problem.of(fields.text("mode"), new Fields("data", directory.data(fields.text("data"))), l2);
    recording = Recording.of(fields);
    if (recording.lastStep(Double.MAX_VALUE) == 0) throw new IllFormedException("there is no finite step to compare");
  }

  /** Runs all candidates beside the recording; by label. */
  Map<String, Comparison> compare(DataType type, Device device) {
    final int lastStep = recording.lastStep(type == DataType.FLOAT64 ? Double.MAX_VALUE : LARGEST_FLOAT32_NORM);
    if (lastStep == 0) throw new UnsupportedException(type + ", which cannot hold the numbers of this run");
    final Drift drift = drifts.computeIfAbsent(type, key -> drift(key, lastStep));
    final Map<String, Comparison> comparisons = new LinkedHashMap<>();
    for (Candidate candidate : candidates(optimizer, type)) {
      final Trial.Run run = Trial.run(candidate, problem, recording, lastStep, type, device);
      final Tolerance tolerance = new Tolerance(recording, type, drift, candidate.lost());
      final Comparison comparison = new Comparison(tolerance);
      // Where rounding rules the run, it may leave the range of float32 though the recording does not.
      final boolean lost = type == DataType.FLOAT32 && run.made() < lastStep && tolerance.state(run.made() + 1) == Tolerance.ANY;
      if (!run.stopped().isEmpty() && !lost) comparison.fail(run.stopped());
      final int until = lost ? run.made() : lastStep;
      final int elements = problem.start().length;
      if (comparisons.isEmpty())
        Errors.visit(drift.self(), run.trajectory(), elements, until, comparison.repetition());
      Errors.visit(recording, run.trajectory(), elements, until, comparison);
      if (!comparison.compared()) {
        if (comparison.passed() && tolerance.hopeless(recording.firstStep()))
          throw new UnsupportedException(type + ": the recorded sensitivity says that it cannot follow this run");
        comparison.fail("nothing could be compared: the run drifts away from itself before the first recorded step");
      }
      comparisons.put(candidate.label(), comparison);
    }
    return comparisons;
  }

  private Drift drift(DataType type, int lastStep) {
    final List<Candidate> twins = new ArrayList<>();
    for (int seed = 1; seed <= TWINS; ++seed) {
      final JsonObject beside = Perturbed.hyperparameters(optimizer, seed, Drift.unit(type) / 2);
      twins.add(candidates(beside, type).get(0));
    }
    return Drift.measure(candidates(optimizer, type).get(0), twins, problem, recording, lastStep, type);
  }

  private static List<Candidate> candidates(JsonObject optimizer, DataType type) {
    return OptimizerFactory.candidates(new Fields("optimizer", optimizer), type);
  }
}
