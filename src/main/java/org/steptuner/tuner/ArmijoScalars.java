// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

/** The scalar half of the line search: the guesses of a step, and what makes one acceptable. */
final class ArmijoScalars {
  private final double c;
  private final double increase;
  private final double decrease;
  private final double delta;
  private final double firstGuess;

  double eta;
  double trialLoss = Double.NaN;
  int backtracks;

  ArmijoScalars(Armijo settings) {
    c = settings.c;
    increase = settings.increase;
    decrease = settings.decrease;
    delta = settings.delta;
    firstGuess = settings.firstGuess;
  }

  /** Where the search of a step begins. */
  double guess(long step) {
    final double guess = step == 1 ? firstGuess : Math.min(increase * eta, firstGuess);
    // 0 times infinity, and what is too small to grow again.
    return guess >= Double.MIN_NORMAL ? guess : firstGuess;
  }

  /** What is tried after a guess that failed. */
  double next(double guess) {
    return guess * decrease;
  }

  /** Whether the loss has fallen enough: {@code f(x + rate u) <= (1 + delta) f(x) + c rate <g, u>}. */
  boolean accepts(double trial, double loss, double rate, double slope) {
    return trial <= (1 + delta) * loss + c * rate * slope;
  }

  /** Takes the guess that the search ended with. */
  void accept(double guess, double loss, int trials) {
    eta = guess;
    trialLoss = loss;
    backtracks = trials;
  }
}
