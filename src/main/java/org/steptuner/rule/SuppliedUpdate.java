// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * Any base algorithm: before each step the caller writes its update u, the step that the algorithm would make alone at the rate 1, into the
 * buffers that were given as {@code updateAddress}.
 *
 * <pre>x &lt;- x + rate u</pre>
 *
 * The rule has no state; the algorithm keeps its own. In this way Mechanic, CDAT, Polyak, a line search and others can tune an algorithm
 * that the library does not have.
 *
 * <p>Clipping and the guard against non-finite gradients are about the gradients, and not about u. CDAT, a line search, and Polyak along
 * the update also skip a step whose u is not finite.
 */
public record SuppliedUpdate() implements Rule {
  @Override
  public String kernel() {
    return "supplied";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    to.put("rate", step.rate());
  }
}
