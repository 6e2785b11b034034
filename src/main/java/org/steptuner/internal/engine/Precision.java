// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Map;
import java.util.Set;
import org.steptuner.DataType;
import org.steptuner.ParameterRounding;
import org.steptuner.ParameterSet;
import org.steptuner.rule.StateKind;

/**
 * How state is stored and 16-bit parameters are rounded.
 *
 * @param stateStorage FLOAT32 for state as it is computed, or BFLOAT16
 * @param rounding of 16-bit parameters
 * @param seed of random bits
 */
public record Precision(DataType stateStorage, ParameterRounding rounding, long seed) {
  /** The names that the three have in checkpoints and messages. */
  static final String STORAGE = "stateStorage";

  static final String ROUNDING = "parameterRounding";
  static final String SEED = "roundingSeed";

  /** What those that are not said are: all that there was in versions without them. */
  static final Map<String, String> UNSAID = Map.of(STORAGE, "FLOAT32", ROUNDING, "NEAREST", SEED, "0");

  /** Those that count only where something is rounded. */
  static final Set<String> OF_ROUNDING = Set.of(ROUNDING, SEED);

  /** As everything was before there was a choice: for plans without an optimizer. */
  static final Precision PLAIN = new Precision(DataType.FLOAT32, ParameterRounding.NEAREST, 0);

  /** Whether state is stored in 16 bits. */
  boolean isNarrow() {
    return stateStorage == DataType.BFLOAT16;
  }

  /** Whether parameters are in two parts, of which the state has one. */
  boolean inParts() {
    return rounding == ParameterRounding.IN_PARTS;
  }

  /** Whether random bits are needed for some tensors. */
  boolean rounds(ParameterSet parameters) {
    return isNarrow() || rounding == ParameterRounding.STOCHASTIC && haveHalves(parameters);
  }

  private static boolean haveHalves(ParameterSet parameters) {
    return parameters.tensors().stream().anyMatch(tensor -> tensor.parameterType().bytes() == 2);
  }

  /** How a slot is stored. A copy of parameters in parts is one of both. */
  Storage storage(StateKind kind) {
    if (!isNarrow()) return Storage.COMPUTED;
    return switch (kind) {
      case STATISTIC -> Storage.BFLOAT16;
      case COPY -> inParts() ? Storage.COMPUTED : Storage.AS_PARAMETER;
      case POINT -> Storage.COMPUTED;
    };
  }

  /** @throws IllegalArgumentException if that cannot be for the type of some parameters; the message names the tensor */
  public void check(ParameterSet parameters) {
    for (ParameterSet.Tensor tensor : parameters.tensors()) {
      if (isNarrow() && tensor.parameterType() == DataType.FLOAT64)
        throw new IllegalArgumentException(
            "stateStorage BFLOAT16 is for state that is computed in float32, and tensor '" + tensor.name() + "' has FLOAT64 parameters");
      if (inParts() && tensor.parameterType() == DataType.FLOAT16)
        throw new IllegalArgumentException(
            "parameterRounding IN_PARTS is for BFLOAT16 parameters, and tensor '" + tensor.name() + "' has FLOAT16 parameters");
    }
  }

  /** Adds what is not as it always was to a description, and matters for some parameters. Two parts are of the form, all else may change. */
  public void describe(Description to, ParameterSet parameters) {
    if (isNarrow()) to.setting(STORAGE, stateStorage);
    if (inParts()) to.form(ROUNDING, rounding);
    else if (rounding != ParameterRounding.NEAREST && haveHalves(parameters)) to.setting(ROUNDING, rounding);
    if (seed != 0 && rounds(parameters)) to.setting(SEED, seed);
  }

  /** What of it cannot change while a run goes on, in words; null if both have the same. */
  String differsInForm(Precision other) {
    if (stateStorage != other.stateStorage) return STORAGE + " is " + stateStorage + ", not " + other.stateStorage;
    return inParts() == other.inParts() ? null : ROUNDING + " is " + rounding + ", not " + other.rounding;
  }

  /** Adds what processes must have in common, whatever tensors they have. */
  void putFacts(Map<String, String> facts) {
    facts.put(STORAGE, stateStorage.name());
    facts.put(ROUNDING, rounding.name());
    facts.put(SEED, String.valueOf(seed));
  }
}
