// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import java.util.Locale;

/** Holds the errors of a run against its tolerance: keeps the worst, and the first that is out of it. */
final class Comparison implements Errors.Visitor {
  /** The worst errors of the loss, or of everything else. */
  private static final class Tally {
    int exactTo;
    double exactWorst;
    int to;
    double worst;
    double allowed;
    int notFrom;
  }

  private final Tolerance tolerance;
  private final Tally loss = new Tally();
  private final Tally state = new Tally();
  private long violations;
  private String firstViolation = "";

  Comparison(Tolerance tolerance) {
    this.tolerance = tolerance;
  }

  @Override
  public void loss(int step, double expected, double actual, double error) {
    check(loss, "loss_before_step", step, expected, actual, error, tolerance.loss(step));
  }

  @Override
  public void state(String quantity, int step, double expected, double actual, double error) {
    check(state, quantity, step, expected, actual, error, tolerance.state(step));
  }

  private void check(Tally tally, String quantity, int step, double expected, double actual, double error, double allowed) {
    if (allowed == Tolerance.ANY) {
      if (tally.notFrom == 0) tally.notFrom = step;
      if (!Double.isFinite(actual)) fail(quantity + " at step " + step + " is " + actual);
      return;
    }
    if (allowed == tolerance.exact()) {
      tally.exactTo = step;
      tally.exactWorst = Math.max(tally.exactWorst, error);
    } else {
      tally.to = step;
      tally.worst = Math.max(tally.worst, error);
      tally.allowed = allowed;
    }
    if (error > allowed)
      fail(
          quantity + " at step " + step + " is " + actual + ", recorded " + expected + ": relative error " + error + ", allowed "
              + allowed);
  }

  /** Fails a run that does not repeat another one of the same inputs bit for bit: drift must be of rounding, not of chance. */
  Errors.Visitor repetition() {
    return new Errors.Visitor() {
      @Override
      public void loss(int step, double expected, double actual, double error) {
        state("loss_before_step", step, expected, actual, error);
      }

      @Override
      public void state(String quantity, int step, double expected, double actual, double error) {
        if (error > 0)
          fail(quantity + " at step " + step + " is " + actual + ", on one thread of the CPU it is " + expected);
      }
    };
  }

  /** Notes something wrong. */
  void fail(String message) {
    if (violations++ == 0) firstViolation = message;
  }

  boolean passed() {
    return violations == 0;
  }

  /** Whether there was anything to compare. */
  boolean compared() {
    return loss.exactTo + loss.to + state.exactTo + state.to > 0;
  }

  /** The worst relative error of all that was compared. */
  double worst() {
    return Math.max(Math.max(loss.exactWorst, loss.worst), Math.max(state.exactWorst, state.worst));
  }

  /** The first violation; where there is none, how near the run came, what was allowed, and how far that reaches. */
  String message() {
    if (violations == 0) return "state " + describe(state) + "; loss " + describe(loss);
    return firstViolation + (violations == 1 ? "" : " (and " + (violations - 1) + " more)");
  }

  private String describe(Tally tally) {
    String text = "";
    if (tally.exactTo > 0) text += part(tally.exactWorst, tolerance.exact(), tally.exactTo);
    if (tally.to > 0) text += (text.isEmpty() ? "" : ", then ") + part(tally.worst, tally.allowed, tally.to);
    if (tally.notFrom > 0) text += (text.isEmpty() ? "" : ", ") + "not compared from step " + tally.notFrom;
    return text.isEmpty() ? "not recorded" : text;
  }

  private static String part(double worst, double allowed, int to) {
    return String.format(Locale.ROOT, "%.1e of %.1e to step %d", worst, allowed, to);
  }
}
