// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.steptuner.internal.engine.CheckpointReader;

/**
 * What is in a checkpoint, without an optimizer to restore it to.
 *
 * @param version the version of the format
 * @param steps the number of steps that the run had made
 * @param skippedSteps the number of steps that it had skipped
 * @param tuner the name of the tuner
 * @param values the tuner's form and settings by name; those of the rule begin with "rule.". {@code stateStorage} is among them where it is
 *     not FLOAT32, {@code parameterRounding} where 16-bit parameters are not rounded to the nearest number
 * @param tensors in their order
 * @param entries what the caller saved with it, by name
 */
public record CheckpointInfo(
    int version,
    long steps,
    long skippedSteps,
    String tuner,
    Map<String, String> values,
    List<Tensor> tensors,
    Map<String, byte[]> entries) {
  /**
   * A tensor of a checkpoint. In files of version 1 and 2 the name of a group ends at the first ": ", and what follows is the tensor's.
   *
   * @param name the name that it was added under
   * @param group its parameter group
   * @param parameterType the type of its parameters
   * @param count the number of its elements
   */
  public record Tensor(String name, String group, DataType parameterType, long count) {}

  /** Keeps copies of the list and the maps; the arrays of the entries are the caller's to change. */
  public CheckpointInfo {
    values = Collections.unmodifiableMap(new LinkedHashMap<>(values));
    tensors = List.copyOf(tensors);
    entries = Collections.unmodifiableMap(new LinkedHashMap<>(entries));
  }

  /**
   * Reads a file, and checks all of it: every array must be there, of the right size and with the right checksum.
   *
   * @param file a checkpoint
   * @throws CheckpointException if it is damaged, or no checkpoint, or of a later version
   * @throws java.io.UncheckedIOException if it cannot be read
   */
  public static CheckpointInfo read(Path file) {
    return CheckpointReader.info(Objects.requireNonNull(file, "file"));
  }
}
