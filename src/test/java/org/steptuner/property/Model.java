// SPDX-License-Identifier: Apache-2.0
package org.steptuner.property;

import java.util.Arrays;
import java.util.function.Supplier;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** Some optimizers as plain Java over one array, from the formulas of their pages: no sweeps, no tensors, no types. */
abstract class Model {
  private static final double RATE = 0.01;
  private static final double BETA1 = 0.8;
  private static final double BETA2 = 0.95;
  private static final double EPSILON = 1e-6;
  private static final double DECAY = 0.1;
  private static final double CLIP = 5;

  /** A model, and the library's optimizer that it is one of. */
  enum Kind {
    SGD_MOMENTUM(() -> FixedRate.of(RATE, sgd()), Momentum::new),
    ADAMW(() -> FixedRate.of(RATE, adamW()), () -> new Adam(RATE)),
    MECHANIC_SGD(() -> Mechanic.tuning(sgd()).baseRate(RATE), () -> new OptaxMechanic(new Momentum())),
    MECHANIC_ADAMW(() -> Mechanic.tuning(adamW()), () -> new OptaxMechanic(new Adam(1))),
    PRODIGY(() -> Prodigy.tuning(adamW()).initialRate(1e-4), PlainProdigy::new);

    private final Supplier<TunerBuilder<?>> builder;
    private final Supplier<Model> model;

    Kind(Supplier<TunerBuilder<?>> builder, Supplier<Model> model) {
      this.builder = builder;
      this.model = model;
    }

    TunerBuilder<?> builder(boolean clips) {
      final TunerBuilder<?> made = builder.get();
      if (clips) made.clipNorm(CLIP);
      return made;
    }

    Model model(boolean clips, double[] x) {
      final Model made = model.get();
      made.clips = clips;
      made.x = x;
      return made;
    }
  }

  boolean clips;
  double[] x;
  double scale = 1;
  int t;

  private static SGD sgd() {
    return SGD.defaults().momentum(0.9).weightDecay(0.02);
  }

  private static AdamW adamW() {
    return new AdamW(BETA1, BETA2, EPSILON, DECAY);
  }

  /** The base rule's step at x, for all elements. */
  abstract double[] update(double[] at, double[] g);

  /** A step with gradients that a multiplier has been applied to. */
  final void step(double[] gradients) {
    final double norm = Math.sqrt(dot(gradients, gradients));
    final double factor = clips ? Math.min(1, CLIP / (norm + 1e-6)) : 1;
    ++t;
    move(Arrays.stream(gradients).map(g -> g * factor).toArray());
  }

  void move(double[] g) {
    final double[] u = update(x, g);
    for (int i = 0; i < x.length; ++i) x[i] += u[i];
  }

  private static double dot(double[] a, double[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; ++i) sum += a[i] * b[i];
    return sum;
  }

  private static final class Momentum extends Model {
    private double[] buffer;

    @Override
    double[] update(double[] at, double[] g) {
      if (buffer == null) buffer = new double[g.length];
      final double[] u = new double[g.length];
      for (int i = 0; i < g.length; ++i) u[i] = -RATE * (buffer[i] = 0.9 * buffer[i] + g[i] + 0.02 * at[i]);
      return u;
    }
  }

  private static final class Adam extends Model {
    private final double rate;
    private double[] m;
    private double[] v;
    private int updates;

    Adam(double rate) {
      this.rate = rate;
    }

    @Override
    double[] update(double[] at, double[] g) {
      if (m == null) {
        m = new double[g.length];
        v = new double[g.length];
      }
      ++updates;
      final double[] u = new double[g.length];
      for (int i = 0; i < g.length; ++i) {
        m[i] = BETA1 * m[i] + (1 - BETA1) * g[i];
        v[i] = BETA2 * v[i] + (1 - BETA2) * g[i] * g[i];
        final double root = Math.sqrt(v[i] / (1 - Math.pow(BETA2, updates)));
        u[i] = -rate * (m[i] / (1 - Math.pow(BETA1, updates)) / (root + EPSILON) + DECAY * at[i]);
      }
      return u;
    }
  }

  /** Mechanic as optax has it: Delta is multiplied by S / (S + epsilon) before it is used. */
  private static final class OptaxMechanic extends Model {
    private static final double[] BETAS = {0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999};
    private final Model base;
    private final double[] s = new double[BETAS.length];
    private final double[] r = new double[BETAS.length];
    private final double[] v = new double[BETAS.length];
    private final double[] m = new double[BETAS.length];
    private double[] delta;
    private double[] reference;

    OptaxMechanic(Model base) {
      this.base = base;
      Arrays.fill(s, 1e-6);
      scale = 6e-6;
    }

    @Override
    double[] update(double[] at, double[] g) {
      return base.update(at, g);
    }

    @Override
    void move(double[] g) {
      if (delta == null) {
        delta = new double[x.length];
        reference = x.clone();
      }
      for (int i = 0; i < x.length; ++i) delta[i] *= scale / (scale + 1e-8);
      final double c = 0.01 * scale * Math.sqrt(dot(g, g)) / (Math.sqrt(dot(x, x)) + 1e-8);
      final double h = dot(delta, g) + c * dot(delta, x);
      scale = 0;
      for (int i = 0; i < BETAS.length; ++i) {
        final double clipped = Math.max(-m[i], Math.min(m[i], h));
        m[i] = Math.max(BETAS[i] * m[i], Math.abs(h) + 1e-8);
        v[i] = BETAS[i] * BETAS[i] * v[i] + h * h;
        r[i] = BETAS[i] * r[i] - clipped * s[i];
        s[i] = (1e-6 / BETAS.length * m[i] + Math.max(0, r[i])) / (Math.sqrt(v[i]) + 1e-8);
        scale += s[i];
      }
      final double[] u = update(x, g);
      for (int i = 0; i < x.length; ++i) {
        delta[i] += u[i];
        x[i] = reference[i] + scale * delta[i];
      }
    }
  }

  private static final class PlainProdigy extends Model {
    private static final double BETA3 = Math.sqrt(BETA2);
    private static final double INITIAL = 1e-4;
    private double[] start;
    private double[] m;
    private double[] v;
    private double[] s;
    private double largest = INITIAL;
    private double numerator;

    PlainProdigy() {
      scale = INITIAL;
    }

    @Override
    double[] update(double[] at, double[] g) {
      throw new UnsupportedOperationException("its steps are its own");
    }

    @Override
    void move(double[] g) {
      if (start == null) {
        start = x.clone();
        m = new double[x.length];
        v = new double[x.length];
        s = new double[x.length];
      }
      final double d = scale;
      double progress = 0;
      double norm = 0;
      for (int i = 0; i < x.length; ++i) {
        m[i] = BETA1 * m[i] + d * (1 - BETA1) * g[i];
        v[i] = BETA2 * v[i] + d * d * (1 - BETA2) * g[i] * g[i];
        s[i] = BETA3 * s[i] + d / INITIAL * d * g[i];
        progress += g[i] * (start[i] - x[i]);
        norm += Math.abs(s[i]);
      }
      if (norm == 0) return;
      numerator = BETA3 * numerator + d / INITIAL * d * progress;
      final double estimate = numerator / norm;
      if (scale == INITIAL) scale = Math.max(scale, estimate);
      largest = Math.max(largest, estimate);
      scale = largest;
      for (int i = 0; i < x.length; ++i) x[i] -= DECAY * d * x[i] + d * m[i] / (Math.sqrt(v[i]) + scale * EPSILON);
    }
  }
}
