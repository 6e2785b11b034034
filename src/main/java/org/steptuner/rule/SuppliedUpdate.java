// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

import java.util.List;

/**
 * Any base algorithm at all: before each step the caller writes its update u, the step that the algorithm would make alone at rate 1,
 * into the buffers that were given as {@code updateAddress}.
 *
 * <pre>x &lt;- x + rate u</pre>
 *
 * State: none here; it is the caller's. This is how Mechanic wraps an algorithm that the library does not have.
 */
public record SuppliedUpdate() implements Rule {
  private static final List<String> NAMES = List.of("rate");

  @Override
  public String kernel() {
    return "supplied";
  }

  @Override
  public List<String> coefficientNames() {
    return NAMES;
  }

  @Override
  public void coefficients(double rate, long step, double[] values) {
    values[0] = rate;
  }
}
