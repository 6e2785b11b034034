// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.steptuner.internal.engine.WholeFile;

/**
 * A schedule for the next run, computed from the gradient norms of the last one. Defazio, Cutkosky, Mehta and Mishchenko, "When, Why and
 * How Much? Adaptive Learning Rate Scheduling by Refinement" (2023).
 *
 * <pre>
 * factor_t = w_t (w_{t+1} + ... + w_T)
 * w_t = |g_t|_2^-2   for SGD and other rules whose step is proportional to the gradient
 * w_t = |g_t|_1^-1   for Adam and other rules whose step is not
 * </pre>
 *
 * The norms may be smoothed by a running median first ({@link #smoothed()}). Constant norms give the linear decay to 0. The factors are
 * scaled so that the largest is 1. The factor of the last step is 0.
 *
 * <pre>{@code
 * GradientNorms norms = new GradientNorms();
 * ...                                                    // in every step: norms.add(optimizer.step());
 * ScheduleRefinement.save(file, norms.l2());
 * Schedule schedule = ScheduleRefinement.forSgd(ScheduleRefinement.load(file)).smoothed().schedule();
 * }</pre>
 */
public final class ScheduleRefinement {
  private static final double SMOOTHING = 0.1;

  private final double[] norms;
  private final int power;

  private ScheduleRefinement(double[] norms, int power) {
    this.norms = norms;
    this.power = power;
  }

  /**
   * For rules whose step is proportional to the gradient.
   *
   * @param norms {@code |g_t|_2} for t = 1, 2, ... T: at least one, all finite and positive
   */
  public static ScheduleRefinement forSgd(double... norms) {
    return new ScheduleRefinement(checked(norms), 2);
  }

  /**
   * For rules whose step does not grow with the gradient: Adam, Lion, ...
   *
   * @param norms {@code |g_t|_1} for t = 1, 2, ... T: at least one, all finite and positive
   */
  public static ScheduleRefinement forAdam(double... norms) {
    return new ScheduleRefinement(checked(norms), 1);
  }

  /** The same with norms smoothed over a tenth of the run, as in the paper. */
  public ScheduleRefinement smoothed() {
    return smoothed(SMOOTHING);
  }

  /**
   * The same with norms smoothed by a running median of {@code 2 floor(floor(fraction T) / 2) + 1} steps. At the start the window is filled
   * with the first norm, at the end with mirrored norms.
   *
   * @param fraction of the run, in [0, 1]
   */
  public ScheduleRefinement smoothed(double fraction) {
    if (!(fraction >= 0 && fraction <= 1)) throw new IllegalArgumentException("fraction must be in [0, 1], not " + fraction);
    return new ScheduleRefinement(runningMedian(norms, 2 * ((int) (fraction * norms.length) / 2) + 1), power);
  }

  /** The norms that the factors are computed from, smoothed or not; a copy. */
  public double[] norms() {
    return norms.clone();
  }

  /**
   * {@code w_t (w_{t+1} + ... + w_T) / w_T} in the units of the norms: what the authors' code prints before it scales the largest to 1.
   * (The paper divides by the sum of the weights.)
   */
  public double[] unscaled() {
    final double last = weight(norms[norms.length - 1]);
    final double[] factors = new double[norms.length];
    double rest = 0;
    for (int t = norms.length - 1; t >= 0; --t) {
      factors[t] = weight(norms[t]) * rest / last;
      rest += weight(norms[t]);
    }
    return factors;
  }

  private double weight(double norm) {
    return power == 2 ? 1 / (norm * norm) : 1 / norm;
  }

  /** The factors of steps 1, 2, ... T: the largest is 1, the last 0. A run of one step has the factor 1. */
  public double[] factors() {
    final double[] w = weights();
    if (w.length == 1) return new double[] {1};
    final double largest = largestProduct(w);
    final double[] factors = new double[w.length];
    double rest = 0;
    for (int t = w.length - 1; t >= 0; --t) {
      factors[t] = w[t] * rest / largest;
      rest += w[t];
    }
    return factors;
  }

  /** The factors as a schedule for a run of as many steps; later steps have the last factor. */
  public Schedule schedule() {
    return Schedule.of(factors());
  }

  private static double largestProduct(double[] w) {
    double rest = 0;
    double largest = 0;
    for (int t = w.length - 1; t >= 0; --t) {
      largest = Math.max(largest, w[t] * rest);
      rest += w[t];
    }
    return w.length == 1 ? 1 : largest;
  }

  // In units of the least norm, whose weight is 1, so that none overflows.
  private double[] weights() {
    final double least = Arrays.stream(norms).min().orElseThrow();
    return Arrays.stream(norms).map(norm -> power == 2 ? least / norm * (least / norm) : least / norm).toArray();
  }

  /**
   * The rates that minimise the bound of the paper's theorem on the loss of the last iterate,
   *
   * <pre>
   * D^2 / (2 S_1) + 1/2 sum_{t &lt; T} eta_t^2 |g_t|^2 / S_{t+1} + 1/2 eta_T |g_T|^2,     S_t = eta_t + ... + eta_T,
   * </pre>
   *
   * which is the theorem's bound with its double sum rewritten: {@code eta_k / (S_{k+1} S_k) = 1 / S_{k+1} - 1 / S_k}. The authors minimise
   * it numerically. It is convex, and setting its gradient to 0 leaves a recursion: with {@code C_T = |g_T|^2},
   *
   * <pre>
   * C_t = 2 C_{t+1} / (1 + sqrt(1 + C_{t+1} / |g_t|^2));     S_1 = D / sqrt(C_1);     S_{t+1} = S_t / (1 + C_t / (2 |g_t|^2)).
   * </pre>
   *
   * @param distance D, the distance from the start to the solution: finite and positive; the rates are proportional to it
   * @param norms {@code |g_t|_2} for t = 1, 2, ... T: at least one, all finite and positive
   * @return {@code eta_t}, T of them, none 0
   */
  public static double[] optimalRates(double distance, double... norms) {
    if (!(distance > 0 && distance <= Double.MAX_VALUE))
      throw new IllegalArgumentException("distance must be finite and positive, not " + distance);
    final double[] g = checked(norms);
    final int last = g.length - 1;
    // In units of the last norm: C_T = 1.
    final double[] c = new double[g.length];
    c[last] = 1;
    for (int t = last - 1; t >= 0; --t) c[t] = 2 * c[t + 1] / (1 + Math.sqrt(1 + c[t + 1] / relativeSquare(g, t)));
    final double[] rates = new double[g.length];
    double sum = distance / Math.sqrt(c[0]) / g[last];
    for (int t = 0; t < last; ++t) {
      final double ratio = c[t] / (2 * relativeSquare(g, t));
      rates[t] = sum * (ratio / (1 + ratio));
      sum /= 1 + ratio;
    }
    rates[last] = sum;
    return rates;
  }

  private static double relativeSquare(double[] g, int t) {
    final double relative = g[t] / g[g.length - 1];
    return relative * relative;
  }

  /**
   * Writes norms to a text file, one a line, so that {@link #load} gives the same bits back. The file appears whole or not at all.
   *
   * @param file where to write; an existing file is replaced
   * @param norms to write
   * @throws UncheckedIOException if it cannot be written
   */
  public static void save(Path file, double... norms) {
    final StringBuilder text = new StringBuilder();
    for (double norm : norms) text.append(norm).append('\n');
    try {
      WholeFile.write(file, out -> out.write(text.toString().getBytes(StandardCharsets.UTF_8)));
    } catch (IOException e) {
      throw new UncheckedIOException("cannot save norms to " + file + ": " + WholeFile.reason(e), e);
    }
  }

  /**
   * Reads what {@link #save} wrote.
   *
   * @param file one norm a line; blank lines are ignored
   * @return the norms
   * @throws IllegalArgumentException if a line is not a number; the message names it
   * @throws UncheckedIOException if it cannot be read
   */
  public static double[] load(Path file) {
    final List<Double> norms = new ArrayList<>();
    try {
      for (String line : Files.readAllLines(file)) {
        if (line.isBlank()) continue;
        try {
          norms.add(Double.parseDouble(line.trim()));
        } catch (NumberFormatException e) {
          throw new IllegalArgumentException(file + ", norm " + (norms.size() + 1) + " is not a number: '" + line + "'", e);
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read norms from " + file + ": " + WholeFile.reason(e), e);
    }
    return norms.stream().mapToDouble(Double::doubleValue).toArray();
  }

  private static double[] checked(double[] norms) {
    Objects.requireNonNull(norms, "norms");
    if (norms.length == 0) throw new IllegalArgumentException("norms must not be empty");
    for (int t = 0; t < norms.length; ++t)
      if (!(norms[t] > 0 && norms[t] <= Double.MAX_VALUE))
        throw new IllegalArgumentException("norms must be finite and positive; that of step " + (t + 1) + " is " + norms[t]);
    return norms.clone();
  }

  // A sorted window slides over the norms, the mirrored ones behind the last included.
  private static double[] runningMedian(double[] norms, int width) {
    final int half = width / 2;
    final double[] window = new double[width];
    for (int i = 0; i < width; ++i) window[i] = extended(norms, i - half);
    Arrays.sort(window);
    final double[] medians = new double[norms.length];
    for (int t = 0; t < norms.length; ++t) {
      medians[t] = window[half];
      replace(window, extended(norms, t - half), extended(norms, t + half + 1));
    }
    return medians;
  }

  private static double extended(double[] norms, int t) {
    if (t < 0) return norms[0];
    if (t < norms.length) return norms[t];
    if (norms.length == 1) return norms[0];
    final int period = 2 * (norms.length - 1);
    final int place = t % period;
    return norms[place < norms.length ? place : period - place];
  }

  private static void replace(double[] sorted, double old, double now) {
    int i = Arrays.binarySearch(sorted, old);
    for (; i > 0 && sorted[i - 1] > now; --i) sorted[i] = sorted[i - 1];
    for (; i < sorted.length - 1 && sorted[i + 1] < now; ++i) sorted[i] = sorted[i + 1];
    sorted[i] = now;
  }
}
