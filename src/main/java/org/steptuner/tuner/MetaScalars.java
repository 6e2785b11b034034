// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.rule.Adam;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;

/**
 * The scalar half of MetaOptimize: one beta, the logarithm of a step size, which a meta rule moves along z (equation 9 of the paper).
 *
 * <p>z is the derivative of the loss by beta, or its negative in the form of the package, whose trace has the opposite sign.
 */
final class MetaScalars {
  private final MetaOptimize.Variant variant;
  private final Rule meta;
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
  double betaTrace = 1; // B: what its own past has made of beta; 1 in the L-approximation

  MetaScalars(MetaOptimize settings) {
    variant = settings.variant;
    meta = settings.meta;
    stepSize = settings.metaStepSize;
    epsilon = settings.epsilon();
    least = Math.log(settings.smallestStepSize);
    most = Math.log(settings.largestStepSize);
    largestChange = Math.log(settings.largestChange);
    beta = Math.log(settings.initialStepSize());
    gamma = settings.gamma();
    twoByTwo = settings.twoByTwo();
  }

  /** alpha. */
  double stepSize() {
    return Math.exp(beta);
  }

  /** b: how much of a step is the doing of beta. */
  double stepWeight() {
    return twoByTwo ? gamma * betaTrace + (1 - gamma) : 1;
  }

  /**
   * Takes z of step {@code step}, and {@code <h, H h>}, which only the 2x2 approximation looks at. Where one of them, or z^2, is not
   * finite nothing changes.
   */
  void update(double feedback, double traceProduct, long step) {
    z = feedback;
    if (!Double.isFinite(z * z) || !Double.isFinite(traceProduct)) return;
    if (twoByTwo) betaTrace = within(stepWeight() - gamma * stepSize * traceProduct, -1e15, 1e15);
    final double change = stepSize * (variant == MetaOptimize.Variant.PAPER_CODE ? paperCode(step) : packaged(step));
    beta = within(beta + within(change, -largestChange, largestChange), least, most);
  }

  private double paperCode(long step) {
    if (meta instanceof RMSProp rms) {
      v = rms.alpha() * v + z * z;
      return -z / Math.sqrt(MetaForm.correction(rms.alpha(), step) * v + epsilon);
    }
    if (meta instanceof Adam adam) {
      m = adam.beta1() * m + z;
      v = adam.beta2() * v + z * z;
      return -m / Math.sqrt(MetaForm.correction(adam.beta2(), step) * v + epsilon);
    }
    if (meta instanceof Lion lion) {
      final double blend = lion.beta1() * m + (1 - lion.beta1()) * z;
      m = lion.beta2() * m + (1 - lion.beta2()) * z;
      return -Math.signum(blend);
    }
    return -z;
  }

  private double packaged(long step) {
    if (meta instanceof RMSProp rms) {
      v = rms.alpha() * v + (1 - rms.alpha()) * z * z;
      return rms.epsilonInsideRoot() ? z / Math.sqrt(v + rms.epsilon()) : ratio(z, Math.sqrt(v) + rms.epsilon());
    }
    if (meta instanceof Adam adam) {
      m = adam.beta1() * m + (1 - adam.beta1()) * z;
      v = adam.beta2() * v + (1 - adam.beta2()) * z * z;
      final double root = Math.sqrt(v / (1 - Math.pow(adam.beta2(), step)));
      return ratio(m / (1 - Math.pow(adam.beta1(), step)), root + adam.epsilon());
    }
    if (meta instanceof Lion lion) {
      m = lion.beta2() * m + (1 - lion.beta2()) * z;
      return Math.signum(lion.beta1() * m + (1 - lion.beta1()) * z);
    }
    return z;
  }

  // The first z is always 0, which an epsilon of 0 would turn into 0 / 0.
  private static double ratio(double a, double b) {
    return b == 0 ? 0 : a / b;
  }

  private static double within(double value, double least, double most) {
    return Math.min(most, Math.max(least, value));
  }
}
