// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.steptuner.ParameterSet;

/** Messages of the native library say "tensor #2" and "slot #0", by their places in the plan; this puts names that people know there. */
final class NamesForNumbers {
  private static final Pattern NUMBERED = Pattern.compile("\\b(tensor|slot) #(\\d{1,9})\\b");

  private final List<ParameterSet.Tensor> tensors;
  private final int[] position; // tensor of the set -> its place in the plan
  private final List<String> slots; // as they are when a message comes

  NamesForNumbers(List<ParameterSet.Tensor> tensors, int[] position, List<String> slots) {
    this.tensors = tensors;
    this.position = position;
    this.slots = slots;
  }

  String put(String message) {
    return NUMBERED.matcher(message).replaceAll(found -> {
      final int number = Integer.parseInt(found.group(2));
      final boolean slot = found.group(1).equals("slot");
      final String name = slot ? slotAt(number) : tensorAt(number);
      return Matcher.quoteReplacement(name == null ? found.group() : found.group(1) + " '" + name + "'");
    });
  }

  private String slotAt(int number) {
    return number < slots.size() ? slots.get(number) : null;
  }

  private String tensorAt(int place) {
    for (int tensor = 0; tensor < position.length; ++tensor) if (position[tensor] == place) return tensors.get(tensor).name();
    return null;
  }
}
