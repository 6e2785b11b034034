// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.StringJoiner;

/**
 * What a restore found: the caller's own entries, and what differs between the checkpoint and the optimizer.
 *
 * @param version the version of the checkpoint's format
 * @param steps the number of steps that the saved run had made
 * @param settings those that differ; the optimizer goes on with its own
 * @param newTensors tensors that the file lacks, which start with fresh state; names of the optimizer
 * @param unusedTensors tensors that the optimizer lacks; names of the file
 * @param renamed names in the file by names in the optimizer, of tensors whose names differ
 * @param reordered whether the tensors are in another order
 * @param regrouped tensors that are in another group
 * @param restarted those of them that start with fresh state, see {@link RestoreOptions#allowGroups}
 * @param parametersKept whether parameters were left as they are, see {@link RestoreOptions#keepParameters}
 * @param notCompared settings that a file of version 1 or 2 says in words that could not be read, and so were not compared
 * @param entries what the caller saved with it, by name
 */
public record Restored(
    int version,
    long steps,
    List<Setting> settings,
    List<String> newTensors,
    List<String> unusedTensors,
    Map<String, String> renamed,
    boolean reordered,
    List<String> regrouped,
    List<String> restarted,
    boolean parametersKept,
    List<String> notCompared,
    Map<String, byte[]> entries) {
  /**
   * A setting that differs.
   *
   * @param name of the setting, with the group where it is one of a group
   * @param inFile its value in the file; "none" where the file does not have it
   * @param here its value in the optimizer; "none" where the optimizer does not have it
   */
  public record Setting(String name, String inFile, String here) {
    @Override
    public String toString() {
      return name + " is " + inFile + " in the file and " + here + " here";
    }
  }

  /** Keeps copies of lists and maps; the arrays of the entries are the caller's to change. */
  public Restored {
    settings = List.copyOf(settings);
    newTensors = List.copyOf(newTensors);
    unusedTensors = List.copyOf(unusedTensors);
    renamed = Collections.unmodifiableMap(new LinkedHashMap<>(renamed));
    regrouped = List.copyOf(regrouped);
    restarted = List.copyOf(restarted);
    notCompared = List.copyOf(notCompared);
    entries = Collections.unmodifiableMap(new LinkedHashMap<>(entries));
  }

  /** Whether nothing differs, so that the run goes on as if it had never been interrupted. New names alone change nothing. */
  public boolean isExact() {
    return settings.isEmpty() && newTensors.isEmpty() && unusedTensors.isEmpty() && !reordered && regrouped.isEmpty() && !parametersKept
        && notCompared.isEmpty();
  }

  /** What was restored and what differs, in words. */
  @Override
  public String toString() {
    final StringJoiner text = new StringJoiner("; ");
    text.add("restored after step " + steps + " from a checkpoint of version " + version);
    for (Setting setting : settings) text.add(setting.toString());
    if (!newTensors.isEmpty()) text.add("new tensors: " + newTensors);
    if (!unusedTensors.isEmpty()) text.add("unused tensors of the file: " + unusedTensors);
    if (!renamed.isEmpty()) text.add("names in the file: " + renamed);
    if (reordered) text.add("tensors are in another order");
    if (!regrouped.isEmpty()) text.add("in another group: " + regrouped);
    if (!restarted.isEmpty()) text.add("of these with fresh state: " + restarted);
    if (parametersKept) text.add("parameters were kept");
    if (!notCompared.isEmpty()) text.add("not compared: " + notCompared);
    if (!entries.isEmpty()) text.add("entries: " + entries.keySet());
    return text.toString();
  }
}
