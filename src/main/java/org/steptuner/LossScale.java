// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * Dynamic loss scaling, for gradients whose type has few exponents, such as float16: the trainer multiplies the loss by a factor before
 * the backward pass, and the optimizer divides the gradients by it within its sweeps. A step whose gradients have overflowed is skipped and
 * makes the factor smaller. After a number of steps in a row that were made, it grows again. The defaults are those of PyTorch's
 * GradScaler.
 *
 * <pre>{@code
 * Optimizer optimizer = FixedRate.of(1e-3, AdamW.defaults()).lossScale(LossScale.defaults()).build(parameters);
 * ... // every step:
 * backward(loss * optimizer.lossScale()); // your trainer
 * optimizer.step(loss); // the loss itself
 * }</pre>
 *
 * These are the settings, which do not change; an optimizer keeps its own factor, and saves it with the run. With powers of two a scaled
 * run has the same bits as one without, as long as nothing overflows or underflows.
 *
 * @param initial the first factor, within the bounds; 65,536 by default
 * @param growth what the factor is multiplied by to grow; finite, more than 1; 2 by default
 * @param backoff what it is multiplied by where gradients overflowed; in (0, 1); 0.5 by default
 * @param interval how many steps in a row must be made before the factor grows; 1 or more; 2,000 by default
 * @param smallest the least factor, from 2^-100; 1 by default
 * @param largest the largest factor, to 2^100; 2^32 by default
 */
public record LossScale(double initial, double growth, double backoff, long interval, double smallest, double largest) {
  private static final double LIMIT = 0x1p100;

  /** Makes the settings; throws {@link IllegalArgumentException} if a value is out of its range. */
  public LossScale {
    if (!(growth > 1 && growth <= Double.MAX_VALUE))
      throw new IllegalArgumentException("growth must be finite and more than 1, not " + growth);
    if (!(backoff > 0 && backoff < 1)) throw new IllegalArgumentException("backoff must be in (0, 1), not " + backoff);
    if (interval < 1) throw new IllegalArgumentException("interval must be 1 or more, not " + interval);
    if (!(smallest >= 1 / LIMIT && smallest <= LIMIT))
      throw new IllegalArgumentException("smallest must be from 2^-100 to 2^100, not " + smallest);
    if (!(largest >= smallest && largest <= LIMIT))
      throw new IllegalArgumentException("largest must be from smallest, " + smallest + ", to 2^100, not " + largest);
    if (!(initial >= smallest && initial <= largest))
      throw new IllegalArgumentException("initial must be within the bounds, " + smallest + " and " + largest + ", not " + initial);
  }

  /** From 65,536, times 2 after 2,000 steps in a row, times 0.5 at an overflow; from 1 to 2^32. */
  public static LossScale defaults() {
    return new LossScale(0x1p16, 2, 0.5, 2000, 1, 0x1p32);
  }

  /** The same with another first factor, within the bounds. */
  public LossScale initial(double value) {
    return new LossScale(value, growth, backoff, interval, smallest, largest);
  }

  /** The same with another factor of growth, finite and more than 1. */
  public LossScale growth(double value) {
    return new LossScale(initial, value, backoff, interval, smallest, largest);
  }

  /** The same with another factor for overflows, in (0, 1). */
  public LossScale backoff(double value) {
    return new LossScale(initial, growth, value, interval, smallest, largest);
  }

  /** The same with another number of steps before the factor grows, 1 or more. */
  public LossScale interval(long steps) {
    return new LossScale(initial, growth, backoff, steps, smallest, largest);
  }

  /** The same with other bounds, within 2^-100 and 2^100; the first factor must be within them. */
  public LossScale bounds(double least, double most) {
    return new LossScale(initial, growth, backoff, interval, least, most);
  }
}
