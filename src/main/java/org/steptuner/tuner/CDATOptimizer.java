// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Map;
import org.steptuner.DataType;
import org.steptuner.ParameterSet;
import org.steptuner.StepReport.Skip;
import org.steptuner.internal.SlotVector;
import org.steptuner.internal.Sweep;

/** CDAT's step: u, its curvature, the rate, and only then what is written. */
final class CDATOptimizer extends DirectedOptimizer {
  private final double sigma;
  private final double ema;
  private final double epsilon;
  private final double maxRate;
  private final boolean greedy;
  private final int every;
  private final CurvatureSource source;
  private final double machineEpsilon;
  private final SlotVector product; // null where the trainer gives the scalar
  private final Sweep products;
  private final double[] total = new double[1];
  private double numerator;
  private double denominator;
  private double meanNumerator;
  private double meanDenominator;

  CDATOptimizer(CDAT settings, ParameterSet parameters) {
    super(
        settings, parameters, settings.every > 1 ? settings.needsNorm() : settings.clips(), true,
        settings.source instanceof CurvatureSource.Difference);
    sigma = settings.sigma;
    ema = settings.ema;
    epsilon = settings.epsilon;
    maxRate = settings.maxRate;
    greedy = settings.greedy;
    every = settings.every;
    source = settings.source;
    machineEpsilon =
        parameters.tensors().stream().allMatch(tensor -> tensor.parameterType() == DataType.FLOAT64) ? 0x1p-52 : 0x1p-23;
    if (source instanceof CurvatureSource.Directional) {
      product = null;
      products = null;
      return;
    }
    try {
      plan.addScratch("product");
      product = new SlotVector(plan, "product");
      products = plan.bind("vector_products", "", Map.of("a", "direction", "b", "product"));
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
  }

  @Override
  boolean advance(long step) {
    if (!guard()) return false;
    if ((step - 1) % every == 0 && !measure(step)) return false;
    apply(step, report.rate * eta);
    return true;
  }

  private boolean measure(long step) {
    if (!observe(step)) return false;
    total[0] = directionSquare == 0 ? 0 : curvature();
    reduce(total, 1);
    if (source instanceof CurvatureSource.Difference) total[0] = directionSquare == 0 ? 0 : (total[0] - slope) / difference();
    if (refuses(total[0], Skip.NON_FINITE_CURVATURE)) return false;
    final double n = greedy ? -slope : Math.max(-slope, 0);
    final double d = greedy ? total[0] : Math.abs(total[0]) + epsilon;
    final double meanN = ema * meanNumerator + (1 - ema) * n;
    final double meanD = ema * meanDenominator + (1 - ema) * d;
    final double found = meanN == 0 ? 0 : Math.min(sigma * (meanN / meanD), maxRate);
    if (refuses(found, Skip.NON_FINITE_CURVATURE)) return false;
    numerator = n;
    denominator = d;
    meanNumerator = meanN;
    meanDenominator = meanD;
    eta = found;
    return true;
  }

  // <u, H u> or, for a difference, <g(x + h u), u>; of this process.
  private double curvature() {
    if (source instanceof CurvatureSource.Directional directional) return directional.curvature().along(direction());
    plan.fill("product", 0);
    if (source instanceof CurvatureSource.Product hessian) {
      hessian.hessian().multiply(direction(), product);
    } else {
      keep();
      try {
        displace(difference());
        ((CurvatureSource.Difference) source).gradient().gradient(product);
      } finally {
        displace(0);
      }
    }
    products.run();
    final double[] sums = products.sums();
    double sum = 0;
    for (int row = 0; row < sums.length; row += 3) sum += sums[row];
    return sum;
  }

  // The displacement is h u: see CDAT.finiteDifference.
  private double difference() {
    final double step = ((CurvatureSource.Difference) source).step();
    final double length = Double.isNaN(step) ? Math.sqrt(machineEpsilon * (1 + Math.sqrt(parameterSquare))) / 8 : step;
    return length / Math.sqrt(directionSquare);
  }

  @Override
  public double wordsPerElement() {
    double measured = sweepWords();
    if (product != null) measured += 1 + products.words(); // zeros for the trainer
    if (source instanceof CurvatureSource.Difference) measured += keepWords() + 2 * trialWords();
    return (guarded() ? 1 : 0) + (measured + (every - 1) * applyWords()) / every;
  }

  @Override
  void saveScalars(Map<String, double[]> to) {
    super.saveScalars(to);
    to.put("n", new double[] {numerator});
    to.put("d", new double[] {denominator});
    to.put("n_avg", new double[] {meanNumerator});
    to.put("d_avg", new double[] {meanDenominator});
  }

  @Override
  void restoreScalars(Map<String, double[]> from) {
    super.restoreScalars(from);
    numerator = from.get("n")[0];
    denominator = from.get("d")[0];
    meanNumerator = from.get("n_avg")[0];
    meanDenominator = from.get("d_avg")[0];
  }
}
