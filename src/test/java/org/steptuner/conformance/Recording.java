// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeMap;

/**
 * What a reference implementation did. Row i of every array belongs to step {@code steps[i]}.
 *
 * @param steps increasing, from 1
 * @param parameterSum sum of all parameters after the step
 * @param parameterNorm their Euclidean norm
 * @param lossBefore loss before the step; empty where none was recorded
 * @param scalars the tuner's scalars after the step, one or more values each, by name
 * @param parameters all parameters after some steps, by step
 * @param sensitivity by how much, relatively, the reference's loss drifts from itself within the first 50, 150 and all steps when
 *     only the order of the data's rows changes; empty where it was not recorded
 */
record Recording(
    int[] steps,
    double[] parameterSum,
    double[] parameterNorm,
    double[] lossBefore,
    Map<String, double[][]> scalars,
    TreeMap<Integer, double[]> parameters,
    double[] sensitivity) {
  private static final String SENSITIVITY = "rounding_sensitivity_max_rel_loss_diff_first50_150_all";

  static Recording of(Fields fields) {
    final int[] steps = fields.integers("recorded_steps");
    for (int i = 0; i < steps.length; ++i)
      if (steps[i] <= (i == 0 ? 0 : steps[i - 1]))
        throw new IllFormedException("recorded_steps must increase from 1 or more: " + Arrays.toString(steps));
    final double[] loss = fields.has("loss_before_step") ? perStep(fields, "loss_before_step", steps) : new double[0];
    final Map<String, double[][]> scalars = new LinkedHashMap<>();
    if (fields.has("scalars")) {
      final Fields recorded = fields.object("scalars");
      for (String name : recorded.names()) {
        // A number where a list is expected means unused.
        if (!recorded.isArray(name)) continue;
        final double[][] rows = recorded.rows(name, true);
        if (rows.length != steps.length) throw wrongLength("scalars." + name, rows.length, steps.length);
        scalars.put(name, rows);
      }
    }
    final TreeMap<Integer, double[]> parameters = new TreeMap<>();
    if (fields.has("params_flat_after_step")) {
      final Fields recorded = fields.object("params_flat_after_step");
      for (String step : recorded.names()) parameters.put(stepNumber(step), recorded.numbers(step));
    }
    final double[] sensitivity = fields.has(SENSITIVITY) ? fields.numbers(SENSITIVITY) : new double[0];
    if (sensitivity.length != 0 && sensitivity.length != 3) throw wrongLength(SENSITIVITY, sensitivity.length, 3);
    return new Recording(
        steps, perStep(fields, "param_sum", steps), perStep(fields, "param_l2", steps), loss, scalars, parameters, sensitivity);
  }

  /**
   * The last step at which anything is to be compared: a run that leaves the finite numbers, or a bound, is compared up to there.
   *
   * @param largestNorm the bound of the parameters' norm
   */
  int lastStep(double largestNorm) {
    int last = 0;
    for (int i = 0; i < steps.length; ++i) {
      if (!(parameterNorm[i] <= largestNorm)) return last;
      last = steps[i];
    }
    return parameters.isEmpty() ? last : Math.max(last, parameters.lastKey());
  }

  int firstStep() {
    return parameters.isEmpty() ? steps[0] : Math.min(steps[0], parameters.firstKey());
  }

  private static double[] perStep(Fields fields, String name, int[] steps) {
    final double[] values = fields.numbers(name);
    if (values.length != steps.length) throw wrongLength(name, values.length, steps.length);
    return values;
  }

  private static int stepNumber(String text) {
    try {
      final int step = Integer.parseInt(text);
      if (step >= 1) return step;
    } catch (NumberFormatException e) {
      // reported below
    }
    throw new IllFormedException("params_flat_after_step must have step numbers as keys, not '" + text + "'");
  }

  private static IllFormedException wrongLength(String name, int length, int expected) {
    return new IllFormedException(name + " must have " + expected + " elements, not " + length);
  }
}
