// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.steptuner.CheckpointException;
import org.steptuner.RestoreOptions;
import org.steptuner.Restored;
import org.steptuner.Scope;

/**
 * Which tensor of an optimizer takes the state of which tensor of a checkpoint. Making it checks that the two go together, as far as the
 * options want that.
 */
final class Match {
  private static final int MOST_NAMES = 10;

  private final Manifest saved;
  private final Manifest here;
  private final RestoreOptions options;
  private final Identity identity;
  private final int[] source;
  private final int[] group; // by tensor here: the number of its group
  private final int[] savedGroup; // by tensor of the file
  private final int[] groupSource; // by group here: its number in the file; -1 for a new one
  private final List<String> newTensors = new ArrayList<>();
  private final List<String> unusedTensors = new ArrayList<>();
  private final Map<String, String> renamed = new LinkedHashMap<>();
  private final List<String> regrouped = new ArrayList<>();
  private final List<String> restarted = new ArrayList<>();
  private boolean reordered;

  Match(Path file, Manifest saved, Manifest here, RestoreOptions options) {
    this.saved = saved;
    this.here = here;
    this.options = options;
    identity = new Identity(file, saved, here);
    identity.check(options);
    source = new int[here.tensors().size()];
    findTensors();
    checkOrder();
    group = here.groupOfTensor();
    savedGroup = saved.groupOfTensor();
    groupSource = groupSources();
    for (int t = 0; t < source.length; ++t) if (restarts(t)) restarted.add(here.tensors().get(t).name());
  }

  /** The number in the file of a tensor of the optimizer; -1 for one that the file lacks. */
  int source(int tensor) {
    return source[tensor];
  }

  /** Whether a tensor that the file has must start with fresh state all the same: its scope has the scalars of another group. */
  boolean restarts(int tensor) {
    return here.scope() == Scope.GROUP && source[tensor] >= 0 && savedGroup[source[tensor]] != groupSource[group[tensor]];
  }

  /** Whether any tensor starts with fresh state. */
  boolean startsSome() {
    return !newTensors.isEmpty() || !restarted.isEmpty();
  }

  /** By scope: whether it has other tensors with state than in the file. */
  boolean[] changedScopes() {
    final boolean any = startsSome() || !unusedTensors.isEmpty();
    if (here.scope() == Scope.ALL) return new boolean[] {any};
    if (here.scope() == Scope.TENSOR) return new boolean[source.length]; // a scope is one tensor, old or new
    final boolean[] changed = new boolean[groupSource.length];
    final int[] members = new int[groupSource.length];
    final int[] savedMembers = new int[saved.groups().size()];
    for (int number : savedGroup) ++savedMembers[number];
    for (int t = 0; t < source.length; ++t) {
      changed[group[t]] |= source[t] < 0 || restarts(t);
      ++members[group[t]];
    }
    for (int g = 0; g < changed.length; ++g) changed[g] |= groupSource[g] < 0 || members[g] != savedMembers[groupSource[g]];
    return changed;
  }

  Restored report(Map<String, byte[]> entries) {
    return new Restored(
        saved.version(), saved.steps(), identity.settings(), newTensors, unusedTensors, renamed, reordered, regrouped, restarted,
        options.keepsParameters(), saved.unreadable(), entries);
  }

  private CheckpointException refused(String what) {
    return identity.refused(what);
  }

  private void findTensors() {
    final Map<String, Integer> inFile = new HashMap<>();
    for (Manifest.Tensor tensor : saved.tensors()) inFile.put(tensor.name(), inFile.size());
    final Set<String> names = new HashSet<>();
    here.tensors().forEach(tensor -> names.add(tensor.name()));
    options.renamed().forEach((name, nameInFile) -> {
      if (!names.contains(name)) throw new IllegalArgumentException("renamed: there is no tensor '" + name + "'; there are " + some(names));
      if (!inFile.containsKey(nameInFile)) throw refused("it has no tensor '" + nameInFile + "', the name in the file of '" + name + "'");
    });
    final Set<String> taken = new HashSet<>(options.renamed().values());
    for (int t = 0; t < source.length; ++t) {
      final Manifest.Tensor tensor = here.tensors().get(t);
      final String other = options.renamed().get(tensor.name());
      final String name = other == null ? tensor.name() : other;
      // A name that was given to another tensor is not this one's too.
      final Integer number = other == null && taken.contains(name) ? null : inFile.remove(name);
      source[t] = number == null ? -1 : number;
      if (number == null) newTensors.add(tensor.name());
      else check(tensor, saved.tensors().get(number));
    }
    for (Manifest.Tensor tensor : saved.tensors()) if (inFile.containsKey(tensor.name())) unusedTensors.add(tensor.name());
    if (newTensors.size() == source.length)
      throw refused("none of its tensors " + some(unusedTensors) + " is among those here, " + some(newTensors));
    if (!newTensors.isEmpty() && !options.newTensors())
      throw refused("it lacks tensors that are here: " + some(newTensors) + "; RestoreOptions.allowNewTensors() accepts that");
    if (!unusedTensors.isEmpty() && !options.unusedTensors())
      throw refused("it has tensors that are not here: " + some(unusedTensors) + "; RestoreOptions.allowUnusedTensors() accepts that");
  }

  // The first of them: there may be thousands.
  private static String some(Collection<String> names) {
    final String first = names.stream().limit(MOST_NAMES).toList().toString();
    return names.size() <= MOST_NAMES ? first : first + " and " + (names.size() - MOST_NAMES) + " more";
  }

  private void check(Manifest.Tensor tensor, Manifest.Tensor inFile) {
    final String which = "tensor '" + tensor.name() + "'" + (tensor.name().equals(inFile.name()) ? "" : " ('" + inFile.name() + "' there)");
    if (tensor.count() != inFile.count())
      throw refused(which + " has " + inFile.count() + " elements in the file and " + tensor.count() + " here, which no option accepts");
    if (tensor.type() != inFile.type()) {
      final boolean sameState = tensor.type().stateType() == inFile.type().stateType();
      if (!sameState || !options.keepsParameters())
        throw refused(
            which + " has parameters of type " + inFile.type() + " in the file and " + tensor.type() + " here, which "
                + (sameState ? "RestoreOptions.keepParameters() accepts" : "no option accepts"));
    }
    if (!tensor.group().equals(inFile.group())) {
      if (!options.groups())
        throw refused(
            which + " is in group '" + inFile.group() + "' in the file and in '" + tensor.group()
                + "' here; RestoreOptions.allowGroups() accepts that");
      regrouped.add(tensor.name());
    }
    if (!tensor.name().equals(inFile.name())) renamed.put(tensor.name(), inFile.name());
  }

  private void checkOrder() {
    int last = -1;
    for (int t = 0; t < source.length; ++t) {
      if (source[t] < 0) continue;
      if (source[t] < last) {
        if (!options.order())
          throw refused(
              "tensor '" + here.tensors().get(t).name() + "' comes before '" + saved.tensors().get(last).name()
                  + "' in the file and behind it here; RestoreOptions.allowOrder() accepts that");
        reordered = true;
      }
      last = Math.max(last, source[t]);
    }
  }

  // A group of the same name; or the one that the tensors of a renamed group come from.
  private int[] groupSources() {
    final int none = -1;
    final int several = -2;
    final int[] from = new int[here.groups().size()];
    Arrays.fill(from, none);
    for (int t = 0; t < source.length; ++t) {
      if (source[t] < 0) continue;
      final int its = savedGroup[source[t]];
      if (from[group[t]] == none) from[group[t]] = its;
      // With other scopes the source is for the weight of an average only, which all state needs.
      else if (from[group[t]] != its && here.scope() == Scope.GROUP) from[group[t]] = several;
    }
    final Map<String, Integer> numbers = saved.groupNumbers();
    for (int g = 0; g < from.length; ++g) {
      final Integer same = numbers.get(here.groups().get(g).name());
      if (same != null) from[g] = same;
      else if (from[g] == several) from[g] = none;
    }
    return from;
  }

  /**
   * The scalars that the optimizer takes: those of the file by scope and segment, and those of a first step where the file has none.
   *
   * @param fresh scalars of scopes and segments before the first step
   */
  Map<String, double[]> scalars(Map<String, double[]> fresh) {
    final Map<String, double[]> scalars = new LinkedHashMap<>();
    here.scalars().forEach((name, wanted) -> scalars.put(name, scalars(name, wanted, fresh.get(name))));
    if (saved.structured())
      for (String name : saved.scalars().keySet())
        if (!scalars.containsKey(name) && !Scalars.OPTIONAL.contains(name))
          throw refused("it has a scalar " + name + ", which is not known here");
    return scalars;
  }

  private double[] scalars(String name, Scalars.Values wanted, double[] fresh) {
    final Scalars.Values found = saved.scalars().get(name);
    final boolean whole = wanted.kind() == Scalars.Kind.WHOLE;
    // Version 1 had not yet all of them.
    if (found == null && (saved.version() == 1 && !whole || Scalars.OPTIONAL.contains(name))) return fresh.clone();
    if (found == null) throw refused("it has 0 values of scalar " + name + ", not " + wanted.values().length);
    if (saved.structured() && (found.kind() != wanted.kind() || found.per() != wanted.per()))
      throw refused(
          "scalar " + name + " has " + found.per() + " for each " + found.kind() + " in the file and " + wanted.per() + " for each "
              + wanted.kind() + " here");
    final int parts = whole ? 1 : parts(saved, wanted.kind()).size();
    double[] values = found.values();
    // Before version 3 a flag that scopes have now was one for all.
    if (!saved.structured() && name.equals("begun") && values.length == 1) {
      values = new double[parts];
      Arrays.fill(values, found.values()[0]);
    }
    if (values.length != (long) parts * wanted.per())
      throw refused("it has " + values.length + " values of scalar " + name + ", not " + (long) parts * wanted.per());
    if (whole) return values;
    return wanted.kind() == Scalars.Kind.RUNNING ? running(values) : ofParts(values, wanted, fresh);
  }

  private double[] ofParts(double[] values, Scalars.Values wanted, double[] fresh) {
    final int per = wanted.per();
    final double[] taken = fresh.clone();
    final List<Integer> partsHere = parts(here, wanted.kind());
    final Map<Integer, Integer> places = new HashMap<>();
    for (Integer part : parts(saved, wanted.kind())) places.put(part, places.size());
    for (int i = 0; i < partsHere.size(); ++i) {
      final Integer from = places.get(sourceOfPart(partsHere.get(i), wanted.kind()));
      if (from != null) System.arraycopy(values, from * per, taken, i * per, per);
    }
    return taken;
  }

  private double[] running(double[] values) {
    boolean same = source.length == values.length;
    for (int t = 0; t < source.length; ++t) same &= source[t] == t;
    if (same) return values;
    final double[] all = new double[source.length];
    Arrays.fill(all, values[values.length - 1]);
    return all;
  }

  // A part is the number of a tensor or a group, or 0 for everything.
  private int sourceOfPart(int part, Scalars.Kind kind) {
    if (here.scope() == Scope.TENSOR) return source[part];
    return kind == Scalars.Kind.SCOPE && here.scope() == Scope.ALL ? 0 : groupSource[part];
  }

  /** The parts that there are scalars of, in the order of the scalars. */
  private static List<Integer> parts(Manifest manifest, Scalars.Kind kind) {
    final List<Integer> parts = new ArrayList<>();
    final boolean all = manifest.scope() == Scope.ALL && kind != Scalars.Kind.SEGMENT;
    final int count = manifest.scope() == Scope.TENSOR ? manifest.tensors().size() : all ? 1 : manifest.groups().size();
    for (int i = 0; i < count; ++i) parts.add(i);
    if (manifest.scope() == Scope.TENSOR && kind == Scalars.Kind.SEGMENT) {
      // As the plan sorts them.
      final int[] groups = manifest.groupOfTensor();
      parts.sort(Comparator.comparingInt(tensor -> groups[tensor]));
    }
    return parts;
  }
}
