// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.Optimizer;

/**
 * The part that the Hessian H of the loss has in the trace h of {@link MetaOptimize}. The caller writes it into the buffers of {@code
 * updateAddress} before each step, for the same batch and parameters as the gradient, and multiplied by the same loss scale.
 *
 * <p>h is the derivative of x by beta. A step depends on x by way of the gradient, so h has a term du, the derivative of the base rule's
 * step u along h:
 *
 * <pre>
 * h &lt;- gamma ((1 - weightDecay alpha) h + alpha du) + b step
 * </pre>
 *
 * {@link MetaOptimize.Approximation} says what b is. What a rule keeps moves with x too: n and w are the derivatives of its m and v by
 * beta. With the letters of {@link MetaOptimize.Variant#PAPER_CODE}, root = sqrt(mu v + epsilon), and v and u those of the step,
 *
 * <pre>
 * SGD                 du = -H h
 * SGD with momentum   du = -n,  then n &lt;- gamma (momentum n + (1 - momentum) H h)
 * RMSProp             w' = alpha w + 2 g H h;  du = -(H h / root + u mu w' / (2 root^2));  w &lt;- gamma w'
 * Adam, AdamW         n' = beta1 n + H h;  w' = beta2 w + 2 g H h;  du = -(n' / root + u mu w' / (2 root^2))
 *                     n &lt;- gamma n';  w &lt;- gamma w'
 * Lion                du = 0, since a sign is flat
 * </pre>
 *
 * n and w are the state slots {@code momentumTrace} and {@code squareTrace}, one word per element each.
 *
 * <p>The order of a step with a product, whose buffer was given to {@code ParameterSet.Builder.add}:
 *
 * <pre>{@code
 * StateTensor trace = optimizer.state("trace", "w"); // stays where it is
 * ... // gradients at x into theirs; the Hessian at x times the trace into the buffer
 * optimizer.step();
 * }</pre>
 *
 * Only for the variant PAPER_CODE. Over Lion the Hessian has a part in {@link MetaOptimize.Approximation#TWO_BY_TWO} alone, and none by the
 * meta rule Lion: a curvature that would change nothing is refused. With several step sizes h is the derivative of x by all betas together:
 * the sum of the columns of the paper's matrix. Then z is a block's own derivative only if the Hessian does not couple that block with
 * others. h, n and w are kept within +-1e15. A curvature that is not finite is treated like such a gradient.
 *
 * <p>Known failure: a Hessian is as noisy as its batch, and multiplies. Where it is negative h grows by a factor at every step; a gamma
 * below 1 limits that.
 *
 * <p>Source: the paper's equations 15 and 17, with appendix A.3 for SGD, A.3.1 for AdamW and A.3.2 for Lion; RMSProp is AdamW without
 * momentum. SGD with momentum is ours, by the same equations. Certainty: the formulas of the appendices could not be compared. These were
 * derived anew from the rules of PAPER_CODE by equations 15, 17, 45 and 47, and the tests compare h, n and w with the derivatives of whole
 * runs.
 */
public enum MetaCurvature {
  /** No Hessian, du = 0: the buffers are not needed. */
  NONE,
  /** The buffers hold H h, with h read from {@link Optimizer#state} as {@code "trace"}. */
  PRODUCT,
  /** The buffers hold the diagonal of H. */
  DIAGONAL,
  /** The same, but an element with a negative 1 - weightDecay alpha - alpha diag(H) forgets its h, as in IDBD. Only over SGD. */
  DIAGONAL_RECTIFIED
}
