// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Map;
import java.util.function.DoubleSupplier;
import org.steptuner.DataType;
import org.steptuner.StepReport.Skip;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.SlotVector;
import org.steptuner.internal.engine.Sweep;

/** CDAT's step: u, its curvature, the rate, and only then what is written. */
final class CDATOptimizer extends DirectedOptimizer {
  private final int every;
  private final CurvatureSource source;
  private final Reduction.Term narrow; // how many tensors are not FLOAT64; null where nothing is displaced
  private final CDATScalars scalars;
  private final SlotVector product; // null where the trainer gives the scalar
  private final Sweep products;
  private final Sweep.Sum along; // <u, product>
  private final Reduction sums;
  private final DoubleSupplier alongUpdate = this::alongUpdate;
  private final Reduction.Term curvature;

  CDATOptimizer(Engine engine, CDAT settings) {
    super(engine, true, settings.source instanceof CurvatureSource.Difference);
    every = settings.every;
    source = settings.source;
    scalars = new CDATScalars(settings);
    final long notWide = parameters().tensors().stream().filter(tensor -> tensor.parameterType() != DataType.FLOAT64).count();
    narrow = source instanceof CurvatureSource.Difference ? together(() -> notWide) : null;
    final boolean vector = !(source instanceof CurvatureSource.Directional);
    if (vector) plan.addScratch("product");
    product = vector ? new SlotVector(plan, "product") : null;
    products = vector ? plan.bind("vector_products", "", Map.of("a", "direction", "b", "product")) : null;
    along = vector ? products.sum("product") : null;
    sums = reduction();
    curvature = sums.overall();
  }

  @Override
  double eta() {
    return scalars.eta;
  }

  @Override
  void setEta(double value) {
    scalars.eta = scalars.limited(value);
  }

  @Override
  protected boolean advance(long step) {
    if (!guard.guard()) return false;
    if ((step - 1) % every == 0 && !measure(step)) return false;
    apply(report.rate() * scalars.eta);
    return true;
  }

  private boolean measure(long step) {
    if (!observe()) return false;
    final boolean still = directionSquare() == 0;
    final double own = still ? 0 : sums.ask(alongUpdate);
    sums.collect();
    curvature.set(0, own);
    sums.reduce();
    double found = curvature.of(0);
    if (source instanceof CurvatureSource.Difference) found = still ? 0 : (found - slope()) / difference();
    if (guard.refuses(found, Skip.NON_FINITE_CURVATURE)) return false;
    if (guard.refusesRate(scalars.found(slope(), found), Skip.NON_FINITE_CURVATURE)) return false;
    scalars.accept(slope(), found);
    return true;
  }

  // <u, H u> or, for a difference, <g(x + h u), u>; of this process.
  private double alongUpdate() {
    if (source instanceof CurvatureSource.Directional directional) return directional.curvature().along(direction());
    plan.clearForTrainer("product");
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
    products.await();
    return along.total();
  }

  // The displacement is h u: see CDAT.finiteDifference.
  private double difference() {
    final double step = ((CurvatureSource.Difference) source).step();
    final double machineEpsilon = narrow.of(0) == 0 ? 0x1p-52 : 0x1p-23;
    final double length = Double.isNaN(step) ? Math.sqrt(machineEpsilon * (1 + Math.sqrt(parameterSquare()))) / 8 : step;
    return length / Math.sqrt(directionSquare());
  }

  @Override
  protected double wordsPerElement() {
    double measured = sweepWords();
    if (product != null) measured += 1 + products.words(); // zeros for the trainer
    if (source instanceof CurvatureSource.Difference) measured += keepWords() + 2 * trialWords();
    return guard.words() + (measured + (every - 1) * applyWords()) / every;
  }

  @Override
  protected void name(Scalars to) {
    super.name(to);
    to.one("n", () -> scalars.numerator, value -> scalars.numerator = value);
    to.one("d", () -> scalars.denominator, value -> scalars.denominator = value);
    to.one("n_avg", () -> scalars.meanNumerator, value -> scalars.meanNumerator = value);
    to.one("d_avg", () -> scalars.meanDenominator, value -> scalars.meanDenominator = value);
  }
}
