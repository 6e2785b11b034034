// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

/**
 * MetaOptimize written element by element in Java, with a beta for every block of elements: what the sweep and the scalars must agree
 * with.
 */
final class MetaReference {
  private static final double EPSILON = 1e-10;

  private final boolean packaged;
  private final Rule base;
  private final Rule meta;
  private final double decay;
  private final double eta;
  private final double gamma;
  private final int[] block;
  final double[] x;
  final double[] m;
  final double[] v;
  final double[] n; // the derivatives of m and v along h
  final double[] w;
  private final double[] h;
  final double[] beta;
  final double[] metaM;
  final double[] metaV;
  final double[] metaN;
  final double[] metaW;
  final double[] z;
  final double[] betaTrace;
  private MetaCurvature curvature = MetaCurvature.NONE;
  private boolean twoByTwo;
  private boolean stepSizeFirst;
  private int t;

  MetaReference(
      boolean packaged, Rule base, double decay, Rule meta, double eta, double gamma, double alpha, int[] block, double[] x) {
    this.packaged = packaged;
    this.base = base;
    this.decay = decay;
    this.meta = meta;
    this.eta = eta;
    this.gamma = gamma;
    this.block = block;
    this.x = x.clone();
    m = new double[x.length];
    v = new double[x.length];
    n = new double[x.length];
    w = new double[x.length];
    h = new double[x.length];
    int blocks = 0;
    for (int b : block) blocks = Math.max(blocks, b + 1);
    beta = new double[blocks];
    metaM = new double[blocks];
    metaV = new double[blocks];
    metaN = new double[blocks];
    metaW = new double[blocks];
    z = new double[blocks];
    betaTrace = new double[blocks];
    java.util.Arrays.fill(beta, Math.log(alpha));
    java.util.Arrays.fill(betaTrace, 1);
  }

  MetaReference curved(MetaCurvature kind, boolean withBetaTrace, boolean betaFirst) {
    curvature = kind;
    twoByTwo = withBetaTrace;
    stepSizeFirst = betaFirst;
    return this;
  }

  double[] trace() {
    return h;
  }

  void step(double[] g) {
    step(g, null);
  }

  /** @param given the Hessian times h, or the Hessian's diagonal */
  void step(double[] g, double[] given) {
    ++t;
    java.util.Arrays.fill(z, 0);
    for (int i = 0; i < x.length; ++i) z[block[i]] += h[i] * g[i];
    if (given != null) {
      curvedStep(g, given);
      return;
    }
    for (int i = 0; i < x.length; ++i) {
      final double alpha = Math.exp(beta[block[i]]);
      final double d = direction(i, g[i]);
      final double kept = gamma * (1 - alpha * decay) * h[i];
      if (packaged) {
        h[i] = kept + alpha * scaled(i, g[i]);
        x[i] = x[i] * (1 - alpha * decay) - alpha * d;
      } else {
        final double delta = alpha * (d + decay * x[i]);
        h[i] = kept - delta;
        x[i] -= delta;
      }
    }
    for (int b = 0; b < beta.length; ++b) beta[b] += packaged ? eta * metaPackaged(b) : -eta * metaPaper(b);
  }

  private void curvedStep(double[] g, double[] given) {
    final double[] product = new double[x.length]; // H h
    final double[] zAlong = new double[beta.length];
    for (int i = 0; i < x.length; ++i) {
      product[i] = curvature == MetaCurvature.PRODUCT ? given[i] : given[i] * h[i];
      zAlong[block[i]] += h[i] * product[i];
    }
    final double[] oldBeta = beta.clone();
    final double[] weight = new double[beta.length];
    for (int b = 0; b < beta.length; ++b) {
      final double d = metaPaper(b);
      beta[b] -= eta * d;
      weight[b] = twoByTwo ? gamma * betaTrace[b] + 1 - gamma : 1;
      if (twoByTwo) betaTrace[b] = weight[b] - gamma * eta * metaAlong(b, d, zAlong[b]);
    }
    for (int i = 0; i < x.length; ++i) {
      final double alpha = Math.exp((stepSizeFirst ? beta : oldBeta)[block[i]]);
      final double d = direction(i, g[i]);
      final boolean overshoots = curvature == MetaCurvature.DIAGONAL_RECTIFIED && 1 - alpha * decay - alpha * given[i] < 0;
      final double kept = overshoots ? 0 : h[i] - alpha * decay * h[i] - alpha * along(i, g[i], d, product[i]);
      final double step = -alpha * (d + decay * x[i]);
      x[i] += step;
      h[i] = gamma * kept + weight[block[i]] * step;
    }
  }

  /** How a direction d moves with the gradient, which moves by dg. The derivatives of m and v, discounted, are n and w. */
  private double along(int i, double g, double d, double dg) {
    if (base instanceof SGD sgd) {
      if (sgd.momentum() == 0) return dg;
      final double old = n[i];
      n[i] = gamma * (sgd.momentum() * old + (1 - sgd.momentum()) * dg);
      return old;
    }
    if (base instanceof Lion) return 0;
    final double discount = base instanceof RMSProp rms ? rms.alpha() : adam().beta2();
    final double dm = base instanceof RMSProp ? dg : adam().beta1() * n[i] + dg;
    final double dv = discount * w[i] + 2 * g * dg;
    n[i] = gamma * dm;
    w[i] = gamma * dv;
    return alongRoot(dm, d, dv, root(v[i], discount), discount);
  }

  private double metaAlong(int b, double d, double dz) {
    if (meta instanceof SGD) return dz;
    if (meta instanceof Lion) return 0;
    final double discount = meta instanceof RMSProp rms ? rms.alpha() : ((Adam) meta).beta2();
    final double dm = meta instanceof RMSProp ? dz : ((Adam) meta).beta1() * metaN[b] + dz;
    final double dv = discount * metaW[b] + 2 * z[b] * dz;
    metaN[b] = gamma * dm;
    metaW[b] = gamma * dv;
    return alongRoot(dm, d, dv, root(metaV[b], discount), discount);
  }

  // Of d = m / root, whose square is mu v + epsilon.
  private double alongRoot(double dm, double d, double dv, double root, double discount) {
    return dm / root - d * (1 - discount) / (1 - Math.pow(discount, t)) * dv / (2 * root * root);
  }

  /** Begins a step of the rules alone. */
  void next() {
    ++t;
  }

  /** The base rule's step at the rate 1, with the opposite sign. */
  double direction(int i, double g) {
    if (base instanceof SGD sgd) {
      if (sgd.momentum() == 0) return g;
      final double old = m[i];
      m[i] = packaged ? sgd.momentum() * old + g : sgd.momentum() * old + (1 - sgd.momentum()) * g;
      return packaged ? m[i] : old;
    }
    if (base instanceof RMSProp rms) {
      v[i] = rms.alpha() * v[i] + (packaged ? 1 - rms.alpha() : 1) * g * g;
      return packaged ? scaled(i, g) : g / root(v[i], rms.alpha());
    }
    if (base instanceof Lion lion) {
      final double d = Math.signum(lion.beta1() * m[i] + (1 - lion.beta1()) * g);
      m[i] = lion.beta2() * m[i] + (1 - lion.beta2()) * g;
      return d;
    }
    final Adam adam = adam();
    m[i] = adam.beta1() * m[i] + (packaged ? 1 - adam.beta1() : 1) * g;
    v[i] = adam.beta2() * v[i] + (packaged ? 1 - adam.beta2() : 1) * g * g;
    return packaged ? scaled(i, m[i] / (1 - Math.pow(adam.beta1(), t))) : m[i] / root(v[i], adam.beta2());
  }

  private double scaled(int i, double value) {
    if (base instanceof RMSProp rms) return value / (Math.sqrt(v[i]) + rms.epsilon());
    if (base instanceof Adam || base instanceof AdamW)
      return value / (Math.sqrt(v[i] / (1 - Math.pow(adam().beta2(), t))) + adam().epsilon());
    if (base instanceof Lion) return Math.signum(value);
    return value;
  }

  private Adam adam() {
    return base instanceof AdamW w ? new Adam(w.beta1(), w.beta2(), w.epsilon(), 0) : (Adam) base;
  }

  private double root(double sum, double discount) {
    return Math.sqrt((1 - discount) / (1 - Math.pow(discount, t)) * sum + EPSILON);
  }

  /** The meta rule's, for z. */
  double metaPaper(int b) {
    if (meta instanceof Adam adam) {
      metaM[b] = adam.beta1() * metaM[b] + z[b];
      metaV[b] = adam.beta2() * metaV[b] + z[b] * z[b];
      return metaM[b] / root(metaV[b], adam.beta2());
    }
    if (meta instanceof RMSProp rms) {
      metaV[b] = rms.alpha() * metaV[b] + z[b] * z[b];
      return z[b] / root(metaV[b], rms.alpha());
    }
    if (meta instanceof Lion lion) {
      final double old = metaM[b];
      metaM[b] = lion.beta2() * old + (1 - lion.beta2()) * z[b];
      return Math.signum(lion.beta1() * old + (1 - lion.beta1()) * z[b]);
    }
    return z[b];
  }

  private double metaPackaged(int b) {
    if (meta instanceof Adam adam) {
      metaM[b] = adam.beta1() * metaM[b] + (1 - adam.beta1()) * z[b];
      metaV[b] = adam.beta2() * metaV[b] + (1 - adam.beta2()) * z[b] * z[b];
      return metaM[b] / (1 - Math.pow(adam.beta1(), t)) / (Math.sqrt(metaV[b] / (1 - Math.pow(adam.beta2(), t))) + adam.epsilon());
    }
    if (meta instanceof RMSProp rms) {
      metaV[b] = rms.alpha() * metaV[b] + (1 - rms.alpha()) * z[b] * z[b];
      return z[b] / (Math.sqrt(metaV[b]) + rms.epsilon());
    }
    if (meta instanceof Lion lion) {
      metaM[b] = lion.beta2() * metaM[b] + (1 - lion.beta2()) * z[b];
      return Math.signum(lion.beta1() * metaM[b] + (1 - lion.beta1()) * z[b]);
    }
    return z[b];
  }
}
