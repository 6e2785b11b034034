// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

import java.util.ArrayList;
import java.util.List;

/**
 * Toy models of learning rate and sharpness at the edge of stability: Roulet et al., "Stepping on the Edge: Curvature Aware Learning Rate
 * Tuners" (2024), sections 2.3 and 3.2, after Damian, Nichani and Lee (2022). A loss is seen in the direction of its largest curvature
 * lambda, where the parameters are at a distance x from the minimum, p = x^2; and, in the third model, in one more direction of constant
 * curvature nu, at a squared distance g. Sharpness grows by itself (a) and shrinks where x is large (b):
 *
 * <pre>
 * p &lt;- (1 - eta lambda)^2 p,    lambda &lt;- lambda + eta (a - b p),    y = eta lambda - 2            equations 4 and 5
 * </pre>
 *
 * and y = 0 is the edge of stability. The behaviour depends on the choice of eta. At a constant eta, lambda swings about 2 / eta; the
 * swings widen, so the model holds only for a while. With an eta kept below the edge, y never becomes positive, p vanishes, and lambda
 * keeps growing. With CDAT, y returns to the edge by itself.
 */
public final class EdgeModel {
  /**
   * The state of a model at one step.
   *
   * @param x the signed distance, which only {@link #constantRate} has; NaN in the others
   * @param p the squared distance x^2
   * @param lambda the sharpness
   * @param eta the rate
   * @param g the squared distance in the direction of curvature nu; NaN in models without that direction
   */
  public record State(double x, double p, double lambda, double eta, double g) {
    /** The sharpness relative to the edge, eta lambda - 2. */
    public double y() {
      return eta * lambda - 2;
    }
  }

  private final double a;
  private final double b;

  private EdgeModel(double a, double b) {
    this.a = a;
    this.b = b;
  }

  /**
   * A model with its two constants.
   *
   * @param a the growth of the sharpness per unit of rate; finite
   * @param b the decrease of the sharpness per unit of rate and of p; finite and not negative
   */
  public static EdgeModel of(double a, double b) {
    if (!Double.isFinite(a)) throw new IllegalArgumentException("a must be finite, not " + a);
    if (!(b >= 0 && b <= Double.MAX_VALUE)) throw new IllegalArgumentException("b must be finite and not negative, not " + b);
    return new EdgeModel(a, b);
  }

  /**
   * Gradient descent at a constant rate, equation 4.
   *
   * @param rate eta, finite and positive
   * @param x the distance at the start, finite
   * @param lambda the sharpness at the start, finite and positive
   * @param steps 0 or more
   * @return {@code steps + 1} states, the first one included
   */
  public List<State> constantRate(double rate, double x, double lambda, int steps) {
    check("rate", rate);
    check("lambda", lambda);
    final List<State> states = begin(new State(finite("x", x), x * x, lambda, rate, Double.NaN), steps);
    for (State now = states.get(0); states.size() <= steps; states.add(now)) {
      final double moved = (1 - now.eta * now.lambda) * now.x;
      now = new State(moved, moved * moved, sharpened(now), rate, Double.NaN);
    }
    return states;
  }

  /**
   * A tuner that keeps below the edge, equation 6: {@code eta = 2 (1 - epsilon) / lambda} after the first step, so that y is {@code -2
   * epsilon}. (The paper's text says {@code -epsilon}.)
   *
   * @param epsilon the relative distance to the edge, finite
   * @param rate eta of the first step, finite and positive
   * @param p the squared distance at the start, finite and positive
   * @param lambda the sharpness at the start, finite and positive
   * @param steps 0 or more
   * @return {@code steps + 1} states, the first one included
   */
  public List<State> belowTheEdge(double epsilon, double rate, double p, double lambda, int steps) {
    finite("epsilon", epsilon);
    final List<State> states = begin(new State(Double.NaN, check("p", p), check("lambda", lambda), check("rate", rate), Double.NaN), steps);
    for (State now = states.get(0); states.size() <= steps; states.add(now)) {
      final double next = sharpened(now);
      now = new State(Double.NaN, contracted(now), next, 2 * (1 - epsilon) / next, Double.NaN);
    }
    return states;
  }

  /**
   * CDAT on two directions, equation 10:
   *
   * <pre>
   * eta &lt;- sigma (lambda^2 p + nu^2 g) / (lambda^3 p + nu^3 g),    g &lt;- (1 - eta nu)^2 g
   * </pre>
   *
   * where the right sides have the values of the state before.
   *
   * @param sigma of CDAT, finite and positive
   * @param nu the constant curvature of the second direction, finite and positive
   * @param rate eta of the first step, finite and positive
   * @param p the squared distance at the start, finite and positive
   * @param g the squared distance in the second direction at the start, finite and positive
   * @param lambda the sharpness at the start, finite and positive
   * @param steps 0 or more
   * @return {@code steps + 1} states, the first one included
   */
  public List<State> cdat(double sigma, double nu, double rate, double p, double g, double lambda, int steps) {
    check("sigma", sigma);
    check("nu", nu);
    final List<State> states =
        begin(new State(Double.NaN, check("p", p), check("lambda", lambda), check("rate", rate), check("g", g)), steps);
    for (State now = states.get(0); states.size() <= steps; states.add(now)) {
      final double square = now.lambda * now.lambda * now.p;
      final double eta = sigma * (square + nu * nu * now.g) / (now.lambda * square + nu * nu * nu * now.g);
      final double shrinkage = 1 - now.eta * nu;
      now = new State(Double.NaN, contracted(now), sharpened(now), eta, shrinkage * shrinkage * now.g);
    }
    return states;
  }

  private double sharpened(State now) {
    return now.eta * (a - b * now.p) + now.lambda;
  }

  private static double contracted(State now) {
    final double factor = 1 + now.y();
    return factor * factor * now.p;
  }

  private static List<State> begin(State first, int steps) {
    if (steps < 0) throw new IllegalArgumentException("steps must not be negative, but are " + steps);
    final List<State> states = new ArrayList<>();
    states.add(first);
    return states;
  }

  private static double check(String name, double value) {
    if (!(value > 0 && value <= Double.MAX_VALUE)) throw new IllegalArgumentException(name + " must be finite and positive, not " + value);
    return value;
  }

  private static double finite(String name, double value) {
    if (!Double.isFinite(value)) throw new IllegalArgumentException(name + " must be finite, not " + value);
    return value;
  }
}
