// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.steptuner.CheckpointException;
import org.steptuner.RestoreOptions;
import org.steptuner.Restored;

/** Compares the tuner of a checkpoint, with its rule, form and settings, with that of an optimizer. */
final class Identity {
  private static final String NONE = "none";

  private final Path file;
  private final Manifest saved;
  private final Manifest here;
  private final Map<String, Restored.Setting> settings = new LinkedHashMap<>();

  Identity(Path file, Manifest saved, Manifest here) {
    this.file = file;
    this.saved = saved;
    this.here = here;
  }

  /** The settings that differ, known after {@link #check}. */
  List<Restored.Setting> settings() {
    return new ArrayList<>(settings.values());
  }

  CheckpointException refused(String what) {
    return new CheckpointException(file + " belongs to another optimizer: " + what);
  }

  /** @throws CheckpointException if what may never differ does, or settings differ and the options do not allow that */
  void check(RestoreOptions options) {
    if (!saved.tuner().name().equals(here.tuner().name()))
      throw refused("its tuner is " + saved.tuner().name() + ", and this one's is " + here.tuner().name() + ", which no option accepts");
    compare("", saved.tuner(), here.tuner());
    compareSlots();
    final Map<String, Integer> numbers = saved.groupNumbers();
    for (Description group : here.groups()) {
      final Integer number = numbers.get(group.name());
      if (number != null) compare("group '" + group.name() + "': ", saved.groups().get(number), group);
    }
    if (!saved.unreadable().isEmpty() && !options.settings())
      throw refused(
          "it has settings in words that cannot be read, and so not be compared: " + ManifestLines.shortened(saved.unreadable().toString())
              + "; RestoreOptions.allowSettings() accepts that");
    if (!settings.isEmpty() && !options.settings())
      throw refused("settings differ: " + settings.values() + "; RestoreOptions.allowSettings() accepts that");
  }

  private void compare(String where, Description there, Description now) {
    final Map<String, String> inFile = there.values();
    final Map<String, String> values = now.values();
    final Set<String> keys = new LinkedHashSet<>(values.keySet());
    if (saved.structured()) keys.addAll(inFile.keySet());
    for (String key : keys) {
      final String unsaid = Precision.UNSAID.getOrDefault(key, NONE);
      final String old = inFile.getOrDefault(key, unsaid);
      final String own = values.getOrDefault(key, unsaid);
      // What a file before version 3 does not say is as it was then, and counts as equal.
      if (old.equals(own) || !saved.structured() && !inFile.containsKey(key) && unsaid.equals(NONE)) continue;
      if (now.form().containsKey(key) || there.form().containsKey(key))
        throw refused(where + key + " is " + old + " in the file and " + own + " here, which no option accepts");
      if (Precision.OF_ROUNDING.contains(key) && !bothRound(key)) continue;
      final Restored.Setting setting = new Restored.Setting(where + key, old, own);
      if (!isOfAll(key, setting)) settings.put(where + key, setting);
    }
  }

  // How nothing is rounded is not of interest.
  private boolean bothRound(String key) {
    return key.equals(Precision.ROUNDING) ? saved.haveHalves() && here.haveHalves() : saved.rounds() && here.rounds();
  }

  // The rule of a group is mostly that of the tuner: what differs there is said once.
  private boolean isOfAll(String key, Restored.Setting setting) {
    final Restored.Setting all = settings.get(key);
    return all != null && all.inFile().equals(setting.inFile()) && all.here().equals(setting.here());
  }

  private void compareSlots() {
    final List<String> there = saved.slots();
    // Of an older file only the arrays that it has are known; one that is missing is noticed when it is read.
    if (!(saved.structured() ? there.equals(here.slots()) : here.slots().containsAll(there)))
      throw refused("its state slots are " + there + ", and this one's are " + here.slots() + ", which no option accepts");
    for (String slot : there)
      if ((saved.storage(slot) == Storage.REST) != (here.storage(slot) == Storage.REST))
        throw refused("its slot " + slot + " is stored as " + saved.storage(slot) + ", and not as " + here.storage(slot)
            + ", which no option accepts");
  }
}
