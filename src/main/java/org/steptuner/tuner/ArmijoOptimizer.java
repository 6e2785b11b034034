// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.function.DoubleSupplier;
import org.steptuner.StepReport.Skip;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.Scalars;

/** The line search: forms u, makes trials along it, and makes the step of the last trial. */
final class ArmijoOptimizer extends DirectedOptimizer {
  private final Armijo settings;
  private final ArmijoScalars scalars;
  private final DoubleSupplier loss;
  private final Reduction trials; // of the loss of a trial
  private final Reduction.Term trialLoss;
  private double found; // the loss of the last trial

  ArmijoOptimizer(Engine engine, Armijo settings) {
    super(engine, true, true);
    this.settings = settings;
    loss = settings.loss::loss;
    scalars = new ArmijoScalars(settings);
    trials = reduction();
    trialLoss = trials.overall();
  }

  @Override
  double eta() {
    return scalars.eta;
  }

  @Override
  void setEta(double value) {
    scalars.eta = value;
  }

  @Override
  protected String lossNeededBy() {
    return "Armijo";
  }

  @Override
  protected boolean advance(long step) {
    if (!guard.guard() || !observe()) return false;
    keep();
    double guess = scalars.guess(step);
    int made = 0;
    try {
      while (!accepts(bounded(report.rate() * guess)) && made + 1 < settings.maxTrials) {
        guess = scalars.next(guess);
        ++made;
      }
    } finally {
      displace(0);
    }
    if (guard.refuses(found, Skip.NON_FINITE_LOSS)) return false;
    scalars.accept(guess, found, made);
    apply(report.rate() * scalars.eta);
    return true;
  }

  private boolean accepts(double rate) {
    displace(rate);
    final double own = trials.ask(loss);
    trials.collect();
    trialLoss.set(0, own);
    trials.reduce();
    found = trialLoss.mean();
    return scalars.accepts(found, loss(), rate, slope());
  }

  /** With the trials of the last step. */
  @Override
  protected double wordsPerElement() {
    return guard.words() + sweepWords() + keepWords() + trialWords() * (scalars.backtracks + 2);
  }

  @Override
  protected void name(Scalars to) {
    super.name(to);
    to.one("backtracks", () -> scalars.backtracks, value -> scalars.backtracks = (int) value);
    to.one("trial_loss", () -> scalars.trialLoss, value -> scalars.trialLoss = value);
  }
}
