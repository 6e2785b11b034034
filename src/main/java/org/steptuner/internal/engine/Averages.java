// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.steptuner.rule.Rule;

/**
 * The scalar half of the averages of iterates that rules keep, by segment: the weight c = w / W of a step's iterate, where W is the sum of
 * all weights w so far. What a step makes of them is tentative until the step has been made.
 */
public final class Averages {
  private final double[] weight; // c
  private final double[] weightSum; // W
  private final double[] largestRate;
  private final double[] nextWeight;
  private final double[] nextWeightSum;
  private final double[] nextLargestRate;

  Averages(int segments) {
    weight = new double[segments];
    weightSum = new double[segments];
    largestRate = new double[segments];
    nextWeight = new double[segments];
    nextWeightSum = new double[segments];
    nextLargestRate = new double[segments];
  }

  /**
   * Finds the weight of a step's iterate.
   *
   * @param rule the rule of the segment
   * @param number the step's number, from 1
   * @throws IllegalStateException if the weights add up to infinity
   */
  public void begin(int segment, Rule rule, long number, double rate) {
    final double largest = Math.max(largestRate[segment], rate);
    final double iterateWeight = rule.iterateWeight(number, largest);
    final double sum = weightSum[segment] + iterateWeight;
    if (!Double.isFinite(sum))
      throw new IllegalStateException("the weights of the iterates of " + rule + " add up to " + sum + " in step " + number);
    nextLargestRate[segment] = largest;
    nextWeightSum[segment] = sum;
    nextWeight[segment] = sum > 0 ? iterateWeight / sum : 0;
  }

  /** In this step the segment stays as it is. */
  public void keep(int segment) {
    nextLargestRate[segment] = largestRate[segment];
    nextWeightSum[segment] = weightSum[segment];
    nextWeight[segment] = weight[segment];
  }

  /** The weight c of this step's iterate. */
  public double weight(int segment) {
    return nextWeight[segment];
  }

  /** The step has been made. */
  void made() {
    System.arraycopy(nextWeight, 0, weight, 0, weight.length);
    System.arraycopy(nextWeightSum, 0, weightSum, 0, weight.length);
    System.arraycopy(nextLargestRate, 0, largestRate, 0, weight.length);
  }

  /** Names them as the authors' release does. */
  void name(Scalars to) {
    to.perSegment("c", weight).perSegment("weight_sum", weightSum).perSegment("lr_max", largestRate);
  }
}
