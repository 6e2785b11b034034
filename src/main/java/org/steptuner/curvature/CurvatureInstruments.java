// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.steptuner.Optimizer;
import org.steptuner.StepReport;
import org.steptuner.internal.LargestEigenvalue;
import org.steptuner.internal.engine.Instrumented;
import org.steptuner.internal.engine.Plan;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.Sweep;

/**
 * Measures the curvature of a loss along a run, as in the figures of Roulet et al., "Stepping on the Edge: Curvature Aware Learning Rate
 * Tuners" (2024). Measuring changes neither parameters nor state.
 *
 * <pre>{@code
 * CurvatureInstruments instruments = CurvatureInstruments.on(optimizer, hessian);
 * for (...) {
 *   double loss = trainer.lossAndGradients();
 *   instruments.beforeStep();
 *   optimizer.step(loss);
 *   instruments.afterStep();
 * }
 * CurvatureInstruments.write(Path.of("curvature.csv"), instruments.readings());
 * }</pre>
 *
 * <p>The sharpness is the largest eigenvalue of the Hessian of the loss, by Lanczos' iteration on the trainer's Hessian-vector products.
 * The preconditioned sharpness is that of {@code P^-1/2 H P^-1/2}, where RMSProp or Adam divides its direction by P: the edge of stability
 * of those rules (Cohen et al., "Adaptive Gradient Methods at the Edge of Stability", 2022).
 *
 * <p>Memory: six words per element, seven where the rule preconditions; they are freed with the optimizer. A reading takes twice as many
 * Hessian-vector products as the eigenvalue needs, some dozens, because finding the eigenvector repeats them. The preconditioned eigenvalue
 * needs its own products in addition.
 *
 * <p>If several processes train together, all of them must measure at the same points of the run.
 */
public final class CurvatureInstruments {
  /**
   * What was measured at a step. A value that could not be measured is NaN.
   *
   * @param step the number of the step
   * @param loss the loss given to the step
   * @param rate the rate used, learned or given, before a group's factor
   * @param sharpness lambda_max(H) at the parameters before the step
   * @param preconditionedSharpness lambda_max(P^-1/2 H P^-1/2) there, with the P of the step before; NaN at the first step, and with rules
   *     that do not divide by a root of squares
   * @param alignment the absolute value of the cosine between the step and the eigenvector of the sharpness
   * @param angle the angle between this step and that of the reading before, in radians
   * @param products the Hessian-vector products that finding the sharpness took
   */
  public record Reading(
      long step, double loss, double rate, double sharpness, double preconditionedSharpness, double alignment, double angle, int products) {
    /** The rate times the sharpness: near 2 when gradient descent is at the edge of stability. */
    public double edge() {
      return rate * sharpness;
    }

    /** The rate times the preconditioned sharpness. */
    public double preconditionedEdge() {
      return rate * preconditionedSharpness;
    }
  }

  private final Optimizer optimizer;
  private final Instrumented inside;
  private final Plan plan;
  private final LargestEigenvalue largest;
  private final LargestEigenvalue preconditioned; // null where the rule has no square
  private final Sweep keep;
  private final Sweep way;
  private final Sweep overlap;
  private final Angle turn; // between this step and the one before
  private final Angle alignment; // of the step and the eigenvector
  private final List<Reading> readings = new ArrayList<>();
  private double sharpness = Double.NaN;
  private double preconditionedSharpness = Double.NaN;
  private boolean ready;

  private CurvatureInstruments(Optimizer optimizer, HessianVectorProduct hessian, double tolerance, int mostProducts) {
    this.optimizer = optimizer;
    inside = (Instrumented) optimizer;
    plan = inside.plan();
    plan.addScratch("marked");
    plan.addScratch("update");
    largest = new LargestEigenvalue(inside, hessian, tolerance, mostProducts, false, true);
    preconditioned = inside.preconditions() ? new LargestEigenvalue(inside, hessian, tolerance, mostProducts, true, false) : null;
    keep = plan.bind("reference", "", Map.of("reference", "marked"));
    way = plan.bind("newton_window", "", Map.of("reference", "marked", "way", "update"));
    overlap = plan.bind("vector_products", "", Map.of("a", "update", "b", "eigenvector"));
    turn = new Angle(way, "beforeSquare", "nowSquare");
    alignment = new Angle(overlap, "aSquare", "bSquare");
    way.put("inverseRate", -1);
    way.setAll();
  }

  /**
   * Instruments of a relative accuracy of 1e-3 in the eigenvector, with at most 100 products.
   *
   * @param optimizer one of this library
   * @param hessian of the loss at the parameters as they are in memory
   */
  public static CurvatureInstruments on(Optimizer optimizer, HessianVectorProduct hessian) {
    return on(optimizer, hessian, 1e-3, 100);
  }

  /**
   * Instruments on an optimizer of this library.
   *
   * @param optimizer one of this library
   * @param hessian of the loss at the parameters as they are in memory
   * @param tolerance the residual of the eigenvector relative to the eigenvalue, positive; the error of the eigenvalue is smaller
   * @param mostProducts the largest number of products for an eigenvalue, 1 or more
   * @throws IllegalArgumentException if the optimizer is not of this library, or a value is out of its range
   * @throws IllegalStateException if the optimizer is closed or in use
   */
  public static CurvatureInstruments on(Optimizer optimizer, HessianVectorProduct hessian, double tolerance, int mostProducts) {
    Objects.requireNonNull(optimizer, "optimizer");
    Objects.requireNonNull(hessian, "hessian");
    if (!(optimizer instanceof Instrumented inside))
      throw new IllegalArgumentException("optimizer must be one of this library, not " + optimizer.getClass().getName());
    if (!(tolerance > 0 && tolerance <= Double.MAX_VALUE))
      throw new IllegalArgumentException("tolerance must be finite and positive, not " + tolerance);
    if (mostProducts < 1) throw new IllegalArgumentException("mostProducts must be 1 or more, not " + mostProducts);
    final CurvatureInstruments[] made = new CurvatureInstruments[1];
    inside.exclusively(() -> made[0] = new CurvatureInstruments(optimizer, hessian, tolerance, mostProducts));
    return made[0];
  }

  /** The largest eigenvalue of the Hessian at the parameters as they are now; NaN if a product is not finite. */
  public double sharpness() {
    final double[] found = new double[1];
    inside.exclusively(() -> found[0] = largest.find());
    return found[0];
  }

  /**
   * The largest eigenvalue of {@code P^-1/2 H P^-1/2} at the parameters as they are now, with {@code P = (1 - beta1^t) (sqrt(v) / sqrt(1 -
   * beta2^t) + epsilon)} for Adam and AdamW and {@code P = sqrt(v) + epsilon}, or {@code sqrt(v + epsilon)}, for RMSProp, as the last step
   * left v; NaN before the first step.
   *
   * @throws IllegalStateException if the rule is none of these
   */
  public double preconditionedSharpness() {
    if (preconditioned == null) throw new IllegalStateException("the optimizer's rule does not divide by a root of squares");
    final double[] found = {Double.NaN};
    if (optimizer.steps() > 0) inside.exclusively(() -> found[0] = preconditioned.find());
    return found[0];
  }

  /** Measures the curvature at the current parameters and keeps a copy of them. Call it before each step to be measured. */
  public void beforeStep() {
    inside.exclusively(
        () -> {
          sharpness = largest.find();
          if (Double.isFinite(sharpness)) largest.eigenvector();
          preconditionedSharpness = preconditioned == null || optimizer.steps() == 0 ? Double.NaN : preconditioned.find();
          keep.run();
          ready = true;
        });
  }

  /**
   * Measures the step that was made since {@link #beforeStep}.
   *
   * @return what was measured; it is also added to {@link #readings}
   * @throws IllegalStateException if {@link #beforeStep} was not called before the step
   */
  public Reading afterStep() {
    if (!ready) throw new IllegalStateException("call beforeStep before the step");
    final double[] seen = new double[2];
    inside.exclusively(
        () -> {
          seen[0] = Math.acos(Math.max(-1, Math.min(1, turn.cosine())));
          seen[1] = Double.isFinite(sharpness) ? Math.abs(alignment.cosine()) : Double.NaN;
          ready = false;
        });
    final StepReport report = optimizer.report();
    final Reading reading =
        new Reading(
            report.step(), report.loss(), report.rate() * report.learnedScale(), sharpness, preconditionedSharpness, seen[1], seen[0],
            largest.iterations());
    readings.add(reading);
    return reading;
  }

  /** The angle between two vectors, from their product and squares, which a sweep sums. */
  private final class Angle {
    private final Sweep sweep;
    private final Reduction sums = inside.reduction();
    private final Reduction.Term product;
    private final Reduction.Term square;
    private final Reduction.Term otherSquare;

    Angle(Sweep sweep, String square, String otherSquare) {
      this.sweep = sweep;
      product = sums.overall(sweep.sum("product"));
      this.square = sums.overall(sweep.sum(square));
      this.otherSquare = sums.overall(sweep.sum(otherSquare));
    }

    /** The cosine of the angle; NaN if one of the vectors is 0. */
    double cosine() {
      sweep.run();
      sweep.await();
      sums.collect();
      sums.reduce();
      return product.of(0) / (Math.sqrt(square.of(0)) * Math.sqrt(otherSquare.of(0)));
    }
  }

  /** All readings so far, as an unmodifiable list. */
  public List<Reading> readings() {
    return Collections.unmodifiableList(readings);
  }

  /**
   * Writes readings as comma-separated values with a header line.
   *
   * @param file where to write
   * @param readings one line each
   * @throws UncheckedIOException if it cannot be written
   */
  public static void write(Path file, List<Reading> readings) {
    final StringBuilder text =
        new StringBuilder("step,loss,rate,sharpness,edge,preconditionedSharpness,preconditionedEdge,alignment,angle\n");
    for (Reading r : readings)
      text.append(r.step).append(',').append(r.loss).append(',').append(r.rate).append(',').append(r.sharpness).append(',')
          .append(r.edge()).append(',').append(r.preconditionedSharpness).append(',').append(r.preconditionedEdge()).append(',')
          .append(r.alignment).append(',').append(r.angle).append('\n');
    try {
      Files.writeString(file, text);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot write " + file + ": " + e.getMessage(), e);
    }
  }
}
