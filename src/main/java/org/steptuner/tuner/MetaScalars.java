// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.internal.Exponential;
import org.steptuner.rule.Coefficients;

/**
 * The scalar half of MetaOptimize: one beta, the logarithm of a step size, which a meta rule moves along z (equation 9 of the paper).
 *
 * <p>z is the derivative of the loss by beta, or its negative in the form of the package, whose trace has the opposite sign.
 */
final class MetaScalars {
  private final MetaOptimize.Variant variant;
  private final String meta; // the formula of the meta rule, and its hyperparameters
  private final double alpha;
  private final double beta1;
  private final double beta2;
  private final double insideRoot; // the rule's own epsilon, of the package's form
  private final double outsideRoot;
  private final double stepSize; // eta
  private final double epsilon;
  private final double least; // bounds of beta
  private final double most;
  private final double largestChange; // of beta
  private final double gamma;
  private final boolean twoByTwo;

  double beta;
  double m;
  double v;
  double z; // the last one
  double betaTrace = 1; // B: the trace of beta itself; 1 in the L-approximation
  double mTrace; // those of m and v
  double vTrace;
  double meanCorrection = 1; // of a step: see correct
  double squareCorrection = 1;
  private double knownBeta = Double.NaN; // of which the step size is known
  private double knownStepSize;

  MetaScalars(MetaOptimize settings) {
    variant = settings.variant;
    meta = settings.meta.kernel();
    final Hyperparameters of = Hyperparameters.of(settings.meta);
    alpha = of.orZero("alpha");
    beta1 = of.orZero("beta1");
    beta2 = of.orZero("beta2");
    insideRoot = of.orZero("epsilonInside");
    outsideRoot = of.orZero("epsilon") + of.orZero("epsilonOutside");
    stepSize = settings.metaStepSize;
    epsilon = settings.epsilon();
    least = StrictMath.log(settings.smallestStepSize);
    most = StrictMath.log(settings.largestStepSize);
    largestChange = StrictMath.log(settings.largestChange);
    beta = StrictMath.log(settings.initialStepSize());
    gamma = settings.gamma();
    twoByTwo = settings.twoByTwo();
  }

  /** Puts the settings of what computes the same on devices. */
  void putSettings(Coefficients to) {
    to.put("packaged", variant == MetaOptimize.Variant.PACKAGE ? 1 : 0).put("alpha", alpha).put("beta1", beta1).put("beta2", beta2);
    to.put("insideRoot", insideRoot).put("outsideRoot", outsideRoot).put("metaStepSize", stepSize).put("epsilon", epsilon);
    to.put("least", least).put("most", most).put("largestChange", largestChange).put("gamma", gamma);
  }

  /** Takes beta back from a checkpoint, within the bounds that there are now. */
  void restore(double value) {
    beta = within(value, least, most);
  }

  /** alpha. */
  double stepSize() {
    if (beta != knownBeta) {
      knownBeta = beta;
      knownStepSize = Exponential.of(beta);
    }
    return knownStepSize;
  }

  /** b: the weight of a step in the trace h. */
  double stepWeight() {
    return twoByTwo ? gamma * betaTrace + (1 - gamma) : 1;
  }

  /** Finds what corrects the averages m and v in step {@code step}: a divisor in the form of the package, mu in the paper's. */
  void correct(long step) {
    if (!corrects()) return;
    final boolean packaged = variant == MetaOptimize.Variant.PACKAGE;
    final double discount = meta.equals("adam") ? beta2 : alpha;
    meanCorrection = packaged ? 1 - Math.pow(beta1, step) : 1;
    squareCorrection = packaged ? 1 - Math.pow(discount, step) : MetaForm.correction(discount, step);
  }

  private boolean corrects() {
    return meta.equals("adam") || meta.equals("rmsprop") && variant == MetaOptimize.Variant.PAPER_CODE;
  }

  /**
   * Takes z of the step that was corrected for last, and {@code <h, H h>}, which only the 2x2 approximation looks at. Where one of them, or
   * z^2, is not finite nothing changes.
   */
  void update(double feedback, double traceProduct) {
    z = feedback;
    if (!Double.isFinite(z * z) || !Double.isFinite(traceProduct)) return;
    final double metaStep = variant == MetaOptimize.Variant.PAPER_CODE ? paperCode() : packaged();
    if (twoByTwo) betaTrace = held(stepWeight() + gamma * stepSize * alongTrace(metaStep, traceProduct));
    final double change = stepSize * metaStep;
    beta = within(beta + within(change, -largestChange, largestChange), least, most);
  }

  private double paperCode() {
    switch (meta) {
      case "rmsprop" -> {
        v = alpha * v + z * z;
        return -z / Math.sqrt(squareCorrection * v + epsilon);
      }
      case "adam" -> {
        m = beta1 * m + z;
        v = beta2 * v + z * z;
        return -m / Math.sqrt(squareCorrection * v + epsilon);
      }
      case "lion" -> {
        final double blend = beta1 * m + (1 - beta1) * z;
        m = beta2 * m + (1 - beta2) * z;
        return -Math.signum(blend);
      }
      default -> {
        return -z;
      }
    }
  }

  // The derivative of the meta rule's step along h, by that of z. The traces of m and v are stored discounted.
  private double alongTrace(double metaStep, double dz) {
    switch (meta) {
      case "rmsprop" -> {
        return alongRoot(held(dz), metaStep, dz, alpha);
      }
      case "adam" -> {
        final double dm = held(beta1 * mTrace + dz);
        mTrace = gamma * dm;
        return alongRoot(dm, metaStep, dz, beta2);
      }
      default -> {
        return -dz;
      }
    }
  }

  private double alongRoot(double dm, double metaStep, double dz, double discount) {
    final double dv = held(discount * vTrace + 2 * z * dz);
    vTrace = gamma * dv;
    final double square = squareCorrection * v + epsilon;
    return -(dm / Math.sqrt(square) + metaStep * held(squareCorrection * dv / (2 * square)));
  }

  private double packaged() {
    switch (meta) {
      case "rmsprop" -> {
        v = alpha * v + (1 - alpha) * z * z;
        return insideRoot > 0 ? z / Math.sqrt(v + insideRoot) : ratio(z, Math.sqrt(v) + outsideRoot);
      }
      case "adam" -> {
        m = beta1 * m + (1 - beta1) * z;
        v = beta2 * v + (1 - beta2) * z * z;
        return ratio(m / meanCorrection, Math.sqrt(v / squareCorrection) + outsideRoot);
      }
      case "lion" -> {
        m = beta2 * m + (1 - beta2) * z;
        return Math.signum(beta1 * m + (1 - beta1) * z);
      }
      default -> {
        return z;
      }
    }
  }

  // The first z is always 0, which an epsilon of 0 would turn into 0 / 0.
  private static double ratio(double a, double b) {
    return b == 0 ? 0 : a / b;
  }

  // What grows without end is held where the sweeps hold it.
  private static double held(double value) {
    return within(value, -1e15, 1e15);
  }

  private static double within(double value, double least, double most) {
    return Math.min(most, Math.max(least, value));
  }
}
