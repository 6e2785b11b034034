// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Map;
import java.util.function.DoubleSupplier;
import org.steptuner.DataType;
import org.steptuner.curvature.HessianVectorProduct;
import org.steptuner.curvature.ParameterVector;
import org.steptuner.internal.engine.Inspected;
import org.steptuner.internal.engine.Plan;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.SlotVector;
import org.steptuner.internal.engine.Sweep;

/**
 * The largest eigenvalue of the Hessian H, or of {@code P^-1/2 H P^-1/2}, by Lanczos' iteration from a pseudo-random vector, which is
 * always the same:
 *
 * <pre>
 * w = A v_k,  alpha_k = &lt;w, v_k&gt;,  r = w - alpha_k v_k - beta_(k-1) v_(k-1),  beta_k = |r|,  v_(k+1) = r / beta_k
 * </pre>
 *
 * The largest eigenvalue theta of the tridiagonal matrix of alpha and beta is within {@code beta_k |s_k|} of one of A, s being its
 * eigenvector. Vectors are not orthogonalised again. This yields copies of eigenvalues, but not wrong ones, and two vectors are enough for
 * any number of iterations. Forming the eigenvector, the sum of s_k v_k, repeats the iteration. Paige (1972); Parlett, "The Symmetric
 * Eigenvalue Problem", chapter 13.
 */
public final class LargestEigenvalue {
  private static final String[] LANCZOS = {"lanczos0", "lanczos1"};
  private static final int BUFFER = 1 << 16;

  private final Plan plan;
  private final Inspected optimizer;
  private final HessianVectorProduct hessian;
  private final double tolerance;
  private final boolean preconditioned;
  private final Tridiagonal tridiagonal;
  private final ParameterVector[] vectors = new ParameterVector[2];
  private final ParameterVector product;
  private final ParameterVector scaled; // null where nothing is preconditioned
  private final Overlap[] overlap = new Overlap[2]; // of w and v
  private final Combination[] residual = new Combination[2]; // of w, v, and the vector before v
  private final Sweep[] intoScaled = new Sweep[2];
  private final Sweep outOfProduct;
  private final DoubleSupplier[] multiplication = {() -> multiply(0), () -> multiply(1)};
  private final Combination[] intoEigenvector = new Combination[2];
  private final byte[] start = new byte[BUFFER];
  private final ByteBuffer startBuffer = ByteBuffer.wrap(start).order(ByteOrder.nativeOrder());

  /**
   * @param tolerance the relative error to stop at
   * @param mostIterations the number of products to stop at
   * @param preconditioned whether H is preconditioned by the square that the optimizer's rule keeps; the rule must have one
   * @param eigenvector whether {@link #eigenvector} will be asked for
   */
  public LargestEigenvalue(
      Inspected optimizer, HessianVectorProduct hessian, double tolerance, int mostIterations, boolean preconditioned,
      boolean eigenvector) {
    this.optimizer = optimizer;
    this.hessian = hessian;
    this.tolerance = tolerance;
    this.preconditioned = preconditioned;
    plan = optimizer.plan();
    tridiagonal = new Tridiagonal(mostIterations);
    for (String slot : LANCZOS) plan.addScratch(slot);
    plan.addScratch("product");
    if (preconditioned) plan.addScratch("scaled");
    if (eigenvector) plan.addScratch("eigenvector");
    product = new SlotVector(plan, "product");
    scaled = preconditioned ? new SlotVector(plan, "scaled") : null;
    final String w = preconditioned ? "scaled" : "product";
    for (int k = 0; k < 2; ++k) {
      final String v = LANCZOS[k];
      vectors[k] = new SlotVector(plan, v);
      overlap[k] = new Overlap(plan.bind("vector_products", "", Map.of("a", w, "b", v)));
      residual[k] = new Combination(plan.bind("vector_combination", "", Map.of("a", w, "b", v, "c", LANCZOS[1 - k])));
      if (preconditioned) intoScaled[k] = plan.bind("vector_precondition", "", Map.of("a", v, "b", "scaled"));
      if (eigenvector)
        intoEigenvector[k] = new Combination(plan.bind("vector_combination", "", Map.of("a", v, "b", v, "c", "eigenvector")));
    }
    outOfProduct = preconditioned ? plan.bind("vector_precondition", "", Map.of("a", "product", "b", "scaled")) : null;
  }

  /** The largest eigenvalue at the parameters as they are now; NaN where a product is not finite. */
  public double find() {
    tridiagonal.clear();
    begin();
    for (int k = 0;; ++k) {
      final int at = k % 2;
      overlap[at].sums.ask(multiplication[at]);
      final double alpha = overlap[at].product();
      final double beta = Math.sqrt(residual[at].combine(1, -alpha, k == 0 ? 0 : -tridiagonal.below(k - 1)));
      if (!Double.isFinite(alpha) || !Double.isFinite(beta)) return Double.NaN;
      tridiagonal.add(alpha, beta);
      final double theta = tridiagonal.largest();
      final double error = beta * Math.abs(tridiagonal.vector(k));
      if (error <= tolerance * Math.abs(theta) || beta == 0 || k + 1 == tridiagonal.capacity()) return theta;
      residual[at].combine(0, 0, 1 / beta);
    }
  }

  /** Forms the eigenvector to the result of {@link #find}, of length 1, in the slot "eigenvector". */
  public void eigenvector() {
    plan.fill("eigenvector", 0);
    begin();
    final int count = tridiagonal.size();
    for (int k = 0; k < count; ++k) {
      final int at = k % 2;
      intoEigenvector[at].combine(tridiagonal.vector(k), 0, 1);
      if (k + 1 == count) return;
      residual[at].sums.ask(multiplication[at]);
      residual[at].combine(1, -tridiagonal.diagonal(k), k == 0 ? 0 : -tridiagonal.below(k - 1));
      residual[at].combine(0, 0, 1 / tridiagonal.below(k));
    }
  }

  /** How many products the last {@link #find} took. */
  public int iterations() {
    return tridiagonal.size();
  }

  // The first vector, of length 1, and 0 for the one before it.
  private void begin() {
    fillStart();
    plan.fill(LANCZOS[1], 0);
    plan.fill("product", 0); // what is multiplied by 0 must be finite
    if (preconditioned) plan.fill("scaled", 0);
    final double square = residual[1].combine(0, 0, 1); // its third vector is the first one here
    residual[1].combine(0, 0, 1 / Math.sqrt(square));
  }

  // Gives 0, because the trainer is asked for numbers.
  private double multiply(int at) {
    if (!preconditioned) {
      plan.clearForTrainer("product");
      hessian.multiply(vectors[at], product);
      return 0;
    }
    precondition(intoScaled[at]);
    plan.clearForTrainer("product");
    hessian.multiply(scaled, product);
    precondition(outOfProduct);
    return 0;
  }

  private void precondition(Sweep sweep) {
    for (int segment = 0; segment < plan.segments(); ++segment) {
      optimizer.preconditioner(plan.group(segment), sweep);
      sweep.set(segment);
    }
    sweep.run();
    sweep.await(); // the trainer's work may be on another stream
  }

  /** The product of two vectors, over all processes. */
  private final class Overlap {
    private final Sweep sweep;
    private final Reduction sums = optimizer.reduction();
    private final Reduction.Term product;

    Overlap(Sweep sweep) {
      this.sweep = sweep;
      product = sums.overall(sweep.sum("product"));
    }

    double product() {
      return summed(sweep, sums, product);
    }
  }

  /** {@code c <- x a + y b + z c}, and |c|^2 over all processes. */
  private final class Combination {
    private final Sweep sweep;
    private final Reduction sums = optimizer.reduction();
    private final Reduction.Term square;

    Combination(Sweep sweep) {
      this.sweep = sweep;
      square = sums.overall(sweep.sum("square"));
    }

    double combine(double x, double y, double z) {
      sweep.put("x", x).put("y", y).put("z", z);
      sweep.setAll();
      return summed(sweep, sums, square);
    }
  }

  private static double summed(Sweep sweep, Reduction sums, Reduction.Term term) {
    sweep.run();
    sweep.await();
    sums.collect();
    sums.reduce();
    return term.of(0);
  }

  // Uniform in [-1, 1], by a hash of tensor and place: the same on every device.
  private void fillStart() {
    final int tensors = plan.parameters().tensors().size();
    for (int t = 0; t < tensors; ++t) {
      final boolean wide = vectors[0].type(t) == DataType.FLOAT64;
      final long bytes = plan.bytes(LANCZOS[0], t);
      long element = 0;
      for (long at = 0; at < bytes; at += BUFFER) {
        final int part = (int) Math.min(BUFFER, bytes - at);
        for (int i = 0; i < part; i += wide ? 8 : 4) {
          final double value = hash(t * 0x9E3779B97F4A7C15L + element++) * 0x1p-63;
          if (wide) startBuffer.putDouble(i, value);
          else startBuffer.putFloat(i, (float) value);
        }
        plan.write(LANCZOS[0], t, at, start, part);
      }
    }
  }

  // The finalizer of SplitMix64, Steele, Lea and Flood (2014).
  private static long hash(long seed) {
    long z = (seed + 1) * 0xD1B54A32D192ED03L;
    z = (z ^ z >>> 30) * 0xBF58476D1CE4E5B9L;
    z = (z ^ z >>> 27) * 0x94D049BB133111EBL;
    return z ^ z >>> 31;
  }
}
