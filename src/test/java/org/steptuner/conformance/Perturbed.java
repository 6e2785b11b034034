// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import java.util.Map;
import java.util.SplittableRandom;

/** A problem whose start and gradients are off by a few roundings each, at random but the same every time. */
record Perturbed(Problem problem, int seed, double unit) implements Problem {
  @Override
  public int[] sizes() {
    return problem.sizes();
  }

  @Override
  public double[] start() {
    return perturb(problem.start().clone(), 0);
  }

  @Override
  public int steps() {
    return problem.steps();
  }

  @Override
  public double evaluate(int step, double[] x, double[] gradient) {
    final double loss = problem.evaluate(step, x, gradient);
    perturb(gradient, step);
    return loss;
  }

  @Override
  public void hessian(int step, double[] x, double[] vector, double[] product) {
    problem.hessian(step, x, vector, product);
    perturb(product, step);
  }

  private double[] perturb(double[] values, int step) {
    final SplittableRandom random = new SplittableRandom(31L * step + seed);
    for (int i = 0; i < values.length; ++i) values[i] *= 1 + unit * random.nextDouble(-1, 1);
    return values;
  }

  /** Hyperparameters off by a few roundings each. Integers stay, being exact, and what is below 1 stays so. */
  static JsonObject hyperparameters(JsonObject optimizer, int seed, double unit) {
    return perturb(optimizer, new SplittableRandom(seed), unit).getAsJsonObject();
  }

  private static JsonElement perturb(JsonElement element, SplittableRandom random, double unit) {
    if (element.isJsonObject()) {
      final JsonObject perturbed = new JsonObject();
      for (Map.Entry<String, JsonElement> field : element.getAsJsonObject().entrySet())
        perturbed.add(field.getKey(), perturb(field.getValue(), random, unit));
      return perturbed;
    }
    if (element.isJsonArray()) {
      final JsonArray perturbed = new JsonArray();
      element.getAsJsonArray().forEach(item -> perturbed.add(perturb(item, random, unit)));
      return perturbed;
    }
    if (!(element instanceof JsonPrimitive primitive) || !primitive.isNumber()) return element;
    final double value = primitive.getAsDouble();
    if (value == Math.rint(value)) return element;
    final double perturbed = value * (1 + unit * random.nextDouble(-1, 1));
    return new JsonPrimitive(value < 1 && perturbed >= 1 ? value : perturbed);
  }
}
