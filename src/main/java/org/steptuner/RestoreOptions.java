// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.util.HashMap;
import java.util.Map;
import java.util.Objects;

/**
 * What may differ between a checkpoint and the optimizer that it is restored to. Instances do not change: every method returns another one.
 *
 * <p>Some things may never differ: the tuner, its form (variant, scope, how state is kept, ...), the rule, the number of elements of a
 * tensor, and the type that its state is computed in.
 *
 * @see Optimizer#restore(java.nio.file.Path, RestoreOptions)
 */
public final class RestoreOptions {
  private final boolean settings;
  private final boolean newTensors;
  private final boolean unusedTensors;
  private final boolean order;
  private final boolean groups;
  private final boolean keepsParameters;
  private final Map<String, String> renamed;

  private RestoreOptions(
      boolean settings, boolean newTensors, boolean unusedTensors, boolean order, boolean groups, boolean keepsParameters,
      Map<String, String> renamed) {
    this.settings = settings;
    this.newTensors = newTensors;
    this.unusedTensors = unusedTensors;
    this.order = order;
    this.groups = groups;
    this.keepsParameters = keepsParameters;
    this.renamed = Map.copyOf(renamed);
  }

  /** Nothing may differ: the restored run equals an uninterrupted one bit for bit. */
  public static RestoreOptions strict() {
    return new RestoreOptions(false, false, false, false, false, false, Map.of());
  }

  /** Everything may differ that any of the options allows; names must match, and parameters are restored. */
  public static RestoreOptions lenient() {
    return new RestoreOptions(true, true, true, true, true, false, Map.of());
  }

  /**
   * Settings may differ: numbers and flags such as rates, betas, decay, clipping, limits, and the rate and rule values of groups. Those
   * that the optimizer was built with count. State that is stored in another way is converted: to float32 exactly, to bfloat16 to the
   * nearest number, of two equally near to the even one.
   */
  public RestoreOptions allowSettings() {
    return new RestoreOptions(true, newTensors, unusedTensors, order, groups, keepsParameters, renamed);
  }

  /** The optimizer may have tensors that the file lacks. They keep the parameters that they have, and start with fresh state. */
  public RestoreOptions allowNewTensors() {
    return new RestoreOptions(settings, true, unusedTensors, order, groups, keepsParameters, renamed);
  }

  /** The file may have tensors that the optimizer lacks. They are not used. */
  public RestoreOptions allowUnusedTensors() {
    return new RestoreOptions(settings, newTensors, true, order, groups, keepsParameters, renamed);
  }

  /** Tensors may be in another order. */
  public RestoreOptions allowOrder() {
    return new RestoreOptions(settings, newTensors, unusedTensors, true, groups, keepsParameters, renamed);
  }

  /**
   * Tensors may be in other groups. Where each group has a scale of its own ({@link Scope#GROUP}), a tensor that has come to the scale of
   * another group keeps its parameters from the file, but starts with fresh state: its old one belongs to its old scale.
   */
  public RestoreOptions allowGroups() {
    return new RestoreOptions(settings, newTensors, unusedTensors, order, true, keepsParameters, renamed);
  }

  /**
   * Some tensors have other names in the file. Replaces what an earlier call said.
   *
   * @param nameInFile the name in the file by the name in the optimizer; tensors that are not in it have the same name in both
   * @throws IllegalArgumentException if two tensors are to have the same name in the file
   */
  public RestoreOptions renamed(Map<String, String> nameInFile) {
    final Map<String, String> copy = Map.copyOf(Objects.requireNonNull(nameInFile, "nameInFile"));
    final Map<String, String> here = new HashMap<>();
    copy.forEach((name, inFile) -> {
      final String other = here.put(inFile, name);
      if (other != null)
        throw new IllegalArgumentException(
            "nameInFile must name a tensor once, not '" + inFile + "' for '" + other + "' and '" + name + "'");
    });
    return new RestoreOptions(settings, newTensors, unusedTensors, order, groups, keepsParameters, copy);
  }

  /**
   * Restores the state alone: parameters stay as they are, for trainers that load their weights themselves. The type of the parameters may
   * then be another one with the same {@link DataType#stateType}. Where they are those of the file, bit for bit, the run goes on as after
   * {@link #strict}. Where they are others, state that is tied to them is fitted to them, as by {@link Optimizer#parametersMoved()}.
   */
  public RestoreOptions keepParameters() {
    return new RestoreOptions(settings, newTensors, unusedTensors, order, groups, true, renamed);
  }

  /** Whether settings may differ. */
  public boolean settings() {
    return settings;
  }

  /** Whether the optimizer may have tensors that the file lacks. */
  public boolean newTensors() {
    return newTensors;
  }

  /** Whether the file may have tensors that the optimizer lacks. */
  public boolean unusedTensors() {
    return unusedTensors;
  }

  /** Whether tensors may be in another order. */
  public boolean order() {
    return order;
  }

  /** Whether tensors may be in other groups. */
  public boolean groups() {
    return groups;
  }

  /** Whether parameters stay as they are. */
  public boolean keepsParameters() {
    return keepsParameters;
  }

  /** Names in the file by names in the optimizer, where they differ. */
  public Map<String, String> renamed() {
    return renamed;
  }

  @Override
  public String toString() {
    return "RestoreOptions[settings=" + settings + ", newTensors=" + newTensors + ", unusedTensors=" + unusedTensors + ", order=" + order
        + ", groups=" + groups + ", keepsParameters=" + keepsParameters + ", renamed=" + renamed + "]";
  }
}
