// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;

/**
 * What is in the file of a saved optimizer: a zip archive, uncompressed, each entry with its CRC-32. docs/checkpoints.md has the format;
 * {@link CheckpointWriter} writes it, and {@link CheckpointReader} reads it.
 */
final class Checkpoint {
  static final String MANIFEST = "manifest";

  private Checkpoint() {}

  /** What the manifest of an optimizer's checkpoint says, line by line, if the caller has entries of such names. */
  static Map<String, String> manifest(BoundOptimizer optimizer, Collection<String> entries) {
    return Manifest.of(optimizer, List.copyOf(entries)).lines();
  }

  /** The entry of a tensor in a state slot, or in the parameters (slot null). */
  static String entry(String slot, int tensor) {
    return (slot == null ? "parameters/" : "state/" + slot + "/") + tensor;
  }

  /** An array of the optimizer's and its entry. */
  record Array(String entry, String slot, int tensor, long bytes) {}

  /** All arrays that a checkpoint has. */
  static List<Array> arrays(BoundOptimizer optimizer) {
    final List<Array> arrays = new ArrayList<>();
    for (int t = 0; t < optimizer.parameters().tensors().size(); ++t) {
      arrays.add(new Array(entry(null, t), null, t, optimizer.plan.bytes(null, t)));
      for (String slot : optimizer.plan.slots()) arrays.add(new Array(entry(slot, t), slot, t, optimizer.plan.bytes(slot, t)));
    }
    return arrays;
  }
}
