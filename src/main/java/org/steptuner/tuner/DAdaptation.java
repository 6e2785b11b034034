// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;

/**
 * D-Adaptation: learns the rate as a lower bound d of the distance from the start to the solution, which only grows. Defazio and
 * Mishchenko, "Learning-Rate-Free Learning by D-Adaptation" (2023), in the forms of the authors' release. The forms that the paper
 * analyses, {@link #dualAveraging} (algorithm 1) and {@link #gradientDescent} (algorithm 2), are {@link DistanceAdaptation}.
 *
 * <p>The rule selects the form and gives its hyperparameters. x0 is x before the first step. r is the rate of the step; it uses the d from
 * before the step.
 *
 * <pre>
 * SGD (algorithm 4)       r = d rate / |g_1|;  n &lt;- n + r &lt;g, s&gt;;  s &lt;- s + r g;  e = 2 n / |s|
 *                         x &lt;- momentum x + (1 - momentum) (x0 - s)
 * Adam, AdamW (5)         r = d rate c;  n &lt;- b n + (1 - b) r &lt;g, s / (sqrt(v) + epsilon)&gt;      (b = sqrt(beta2); old s and v)
 *                         m &lt;- beta1 m + r (1 - beta1) g;  v &lt;- beta2 v + (1 - beta2) g^2;  s &lt;- b s + (1 - b) r g
 *                         e = n / ((1 - b) |s|_1);  x &lt;- x - decay r x - m / (sqrt(v) + epsilon)
 * AdaGrad (3)             r = d rate;  a &lt;- a + g^2;  s &lt;- s + r g;  B &lt;- B + r^2 &lt;g, g / (sqrt(a) + epsilon)&gt;
 *                         A = &lt;s, s / (sqrt(a) + epsilon)&gt;;  e = (A - B) / |s|_1
 *                         x &lt;- momentum x + (1 - momentum) (x0 - s / (sqrt(a) + epsilon))
 * Lion (not in the paper) r = d rate;  u = sign(beta1 m + (1 - beta1) g);  m &lt;- beta2 m + (1 - beta2) r g
 *                         n &lt;- b n + (1 - b) r &lt;u, s&gt;;  s &lt;- b s + (1 - b) r u;  e = n / ((1 - b) |s|_1)
 *                         x &lt;- x - decay r x - r u
 * Adan (not in the paper) r = d rate;  h = g - g', the gradient of the step before;  m &lt;- beta1 m + r (1 - beta1) g
 *                         q &lt;- beta2 q + r (1 - beta2) h;  v &lt;- beta3 v + (1 - beta3) (g + beta2 h)^2
 *                         s &lt;- beta3 s + r (1 - beta3) g;  B &lt;- beta3 B + r^2 (1 - beta3) &lt;g, g / (sqrt(v) + epsilon)&gt;
 *                         A = &lt;s, s / (sqrt(v) + epsilon)&gt;;  e = (A / (1 - beta3) - B) / |s|_1
 *                         x &lt;- (x - (m + beta2 q) / (sqrt(v) + epsilon)) / (1 + decay r); with noProx decay as Lion's
 * all                     d &lt;- max(d, min(e, growthRate d)), at most maxRate
 * </pre>
 *
 * Decay is added to g by SGD, Adam and AdaGrad, and applied to x by AdamW, Lion and Adan. c is Adam's bias correction, or 1.
 *
 * <p>Words moved per element, of which 1 is the guard against non-finite gradients (clipping needs it too): SGD 7, Adam 10, AdaGrad 9, Lion
 * 8, Adan 14. State: SGD and Lion two words per element, Adam and AdaGrad three, Adan five. A step uses the d from before it, so its own
 * sums are not needed at once. They are read back with those of the next step's guard, or when the report is asked for the learned scale.
 *
 * <p>Where the rate is 0 (a schedule may begin or end so, a group's factor may be 0), SGD and Adam do not change x, the state, d and t, as
 * in the release. AdaGrad still adds up squares and averages iterates, the averages of Lion and Adan still decay, and Adan still steps
 * along them, as in the release; a group with the factor 0 does not move. |g_1| is over the groups with a positive rate. While the first
 * gradients are 0, SGD does not move and waits for one that is not (the release divides by 0).
 *
 * <p>A group may have other steps in two ways. Its factor on the rate multiplies r in every formula, and the group's part of n twice: our
 * generalisation, for all forms. {@link #layerScale}, for Adam, is what the release has: with the scale l, m gets l r g, s and the decay r,
 * and the group's parts of n and |s|_1 are multiplied by l.
 *
 * <p>{@link org.steptuner.Optimizer#scalars} has d; n, or A and B; s_norm, which is |s| for SGD and |s|_1 for the others; SGD's g1_norm,
 * |g_1|; and t, the number of steps that were not left out.
 *
 * <p>Known to fail: Lion's d can grow without bound (1e16 on iris in the recorded runs); use {@link #growthRate} or {@link #maxRate}. So
 * does that of every form where gradients do not depend on x. The release calls Adan's form experimental.
 */
public final class DAdaptation extends TunerBuilder<DAdaptation> {
  /** The form that a rule selects: its state slots beside the rule's, and the names of its sums, the weighted one first. */
  enum Form {
    SGD("sgd", List.of("sum", "reference"), List.of("gradientSum", "sumSquare")),
    ADAM("adam", List.of("momentum", "square", "sum"), List.of("gradientSum", "sumNorm")),
    ADAGRAD("adagrad", List.of("sum", "reference"), List.of("gradientWeighted", "sumWeighted", "sumNorm")),
    LION("lion", List.of("momentum", "sum"), List.of("updateSum", "sumNorm")),
    ADAN("adan", List.of("momentum", "difference", "square", "previous", "sum"), List.of("gradientWeighted", "sumWeighted", "sumNorm"));

    final String kernel;
    final List<String> slots;
    final List<String> sums;

    Form(String kernel, List<String> slots, List<String> sums) {
      this.kernel = kernel;
      this.slots = slots;
      this.sums = sums;
    }

    static Form of(Rule rule) {
      return switch (rule.kernel()) {
        case "sgd", "momentum" -> SGD;
        case "adam" -> ADAM;
        case "adagrad" -> ADAGRAD;
        case "lion" -> LION;
        case "adan" -> ADAN;
        default -> throw new IllegalArgumentException("D-Adaptation knows SGD, Adam, AdamW, AdaGrad, Lion and Adan, not " + rule);
      };
    }
  }

  final Form form;
  double rate = 1;
  double initialRate = 1e-6;
  double maxRate = Double.POSITIVE_INFINITY;
  double growthRate = Double.POSITIVE_INFINITY;
  double momentum;
  boolean biasCorrection;
  Map<String, Double> layerScales = Map.of(); // by group

  private DAdaptation(Rule rule) {
    super(rule);
    form = Form.of(rule);
    checkRule(rule);
  }

  /**
   * D-Adaptation over a rule, with nothing to tune.
   *
   * @param rule SGD (whose momentum averages iterates; not Nesterov's), Adam, AdamW, AdaGrad (the release has an epsilon and an initial
   *     accumulator of 1e-6; no rate decay), Lion or Adan (the release has a decay of 0.02)
   */
  public static DAdaptation tuning(Rule rule) {
    return new DAdaptation(rule);
  }

  /** Dual averaging with D-Adaptation, the paper's algorithm 1. It takes no rule, and has settings of its own. */
  public static DistanceAdaptation dualAveraging() {
    return new DistanceAdaptation(DistanceAdaptation.Form.DUAL_AVERAGING);
  }

  /** Gradient descent with D-Adaptation, the paper's algorithm 2. It takes no rule, and has settings of its own. */
  public static DistanceAdaptation gradientDescent() {
    return new DistanceAdaptation(DistanceAdaptation.Form.GRADIENT_DESCENT);
  }

  private static void checkRule(Rule rule) {
    final Hyperparameters of = Hyperparameters.of(rule);
    switch (Form.of(rule)) {
      case SGD -> {
        if (of.orZero("gradientWeight") != 0)
          throw new IllegalArgumentException("D-Adaptation has no form with Nesterov's momentum: " + rule);
      }
      case ADAGRAD -> {
        if (Hyperparameters.of(rule, 2).get("rate") != 1)
          throw new IllegalArgumentException("D-Adaptation has no rate decay, and is given " + rule);
      }
      case ADAM, ADAN, LION -> {}
    }
  }

  @Override
  public DAdaptation group(String name, Rule groupRule, double rateFactor) {
    Objects.requireNonNull(groupRule, "groupRule");
    if (Form.of(groupRule) != form)
      throw new IllegalArgumentException("group '" + name + "' must have the form of the tuner's rule, " + rule + ", not of " + groupRule);
    checkRule(groupRule);
    return super.group(name, groupRule, rateFactor);
  }

  /** A factor on the learned rate, finite and not negative. The default is 1, which is best. */
  public DAdaptation baseRate(double value) {
    rate = Check.rate(value);
    return this;
  }

  /** d0, the first estimate: finite, positive, and far below the right one. The default is 1e-6. */
  public DAdaptation initialRate(double value) {
    initialRate = Check.positive("initialRate", value);
    return this;
  }

  /** The largest d: positive and not less than {@link #initialRate}. The default is infinity, no limit. */
  public DAdaptation maxRate(double value) {
    maxRate = Check.limit("maxRate", value, 0);
    return this;
  }

  /** The largest factor on d in a step, at least 1. The default is infinity, no limit. 1.02 may help where training is unstable. */
  public DAdaptation growthRate(double value) {
    growthRate = Check.limit("growthRate", value, 1);
    return this;
  }

  /**
   * The momentum with which AdaGrad averages iterates. SGD takes its momentum from the rule; the other forms have none of this kind.
   *
   * @param value in [0, 1), 0 by default
   */
  public DAdaptation momentum(double value) {
    if (form != Form.ADAGRAD) throw new IllegalArgumentException("momentum is for AdaGrad; " + rule + " has its own or none");
    if (!(value >= 0 && value < 1)) throw new IllegalArgumentException("momentum must be in [0, 1), not " + value);
    momentum = value;
    return this;
  }

  /** Adam's bias correction, as a factor on the rate. Off by default, as in the release; optax always has it. */
  public DAdaptation biasCorrection(boolean value) {
    if (form != Form.ADAM && value) throw new IllegalArgumentException("biasCorrection is for Adam and AdamW, not for " + rule);
    biasCorrection = value;
    return this;
  }

  /**
   * Scales the steps of a group, as {@code layer_scale} in the release does. The default is 1.
   *
   * @param group a group of the parameter set
   * @param scale finite and positive
   * @throws IllegalArgumentException if the rule is not Adam or AdamW, or the scale is out of its range
   */
  public DAdaptation layerScale(String group, double scale) {
    Objects.requireNonNull(group, "group");
    if (form != Form.ADAM) throw new IllegalArgumentException("layerScale is for Adam and AdamW, not for " + rule);
    final Map<String, Double> scales = new TreeMap<>(layerScales);
    scales.put(group, Check.positive("layerScale of group '" + group + "'", scale));
    layerScales = scales;
    return this;
  }

  /** Which tensors share a d. The default is ALL, as in the paper; {@link Scope#GROUP} learns one per parameter group. */
  public DAdaptation scope(Scope value) {
    scope = Objects.requireNonNull(value, "scope");
    return this;
  }

  @Override
  void check(ParameterSet parameters) {
    Check.maxRate(maxRate, initialRate);
    for (String group : layerScales.keySet())
      if (sumReducer == null && !parameters.groups().contains(group))
        throw new IllegalArgumentException("layerScale: the parameter set has no group '" + group + "'; it has " + parameters.groups());
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new DAdaptationOptimizer(engine, this);
  }

  // AdaGrad's squares may start from the rule's value; what is the form's own starts from 0.
  @Override
  List<String> ruleSlots() {
    return form == Form.ADAGRAD ? List.of("square") : List.of();
  }

  @Override
  List<String> tunerSlots() {
    return form.slots;
  }

  @Override
  boolean followsParameters(String slot) {
    return slot.equals("reference");
  }

  @Override
  boolean guarded() {
    return needsNorm() || form == Form.SGD && sumReducer != null; // the guard's sums tell whether a first norm is missing anywhere
  }

  @Override
  Description describe() {
    return new Description("DAdaptation").setting("rate", rate).setting("initialRate", initialRate).setting("maxRate", maxRate)
        .setting("growthRate", growthRate).setting("momentum", momentum).setting("biasCorrection", biasCorrection)
        .setting("layerScales", layerScales);
  }
}
