// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import org.steptuner.DataType;
import org.steptuner.Scope;

/**
 * The manifest of a file of version 1 or 2. It has one line of words for tuner, settings, rule and groups, such as {@code
 * Mechanic[variant=OPTAX, ..., rule=AdamW[...], groups={bias=Group[...]}]}, and scalars without kinds.
 */
final class OldManifest {
  private static final String STATE = "state/";
  /** Scalars of version 1, by tuner and name, that have other names since version 2. */
  private static final Map<String, Map<String, String>> RENAMED =
      Map.of(
          "Prodigy", Map.of("d_numerator", "n", "d_denom", "s_norm"),
          "DAdaptation",
          Map.of("numerator_weighted", "n", "gsq_weighted", "B", "sksq_weighted", "A", "skl1", "s_norm", "g0_norm", "g1_norm"),
          "MoMo", Map.of("t1_adaptive", "tau_unlimited"));

  private final ManifestLines lines;
  private final Archive archive;
  private final Map<String, Integer> ends = new HashMap<>(); // of the groups' names in likely lines of tensors
  private final List<String> unreadable = new ArrayList<>();

  OldManifest(ManifestLines lines, Archive archive, List<Manifest.Tensor> hints) {
    this.lines = lines;
    this.archive = archive;
    for (Manifest.Tensor hint : hints) {
      final String group = Escaped.escape(hint.group());
      ends.put(group + ": " + Escaped.escape(hint.name()), group.length());
    }
  }

  Manifest read(int version) {
    final List<Manifest.Tensor> tensors = lines.list("tensors", t -> lines.read("tensor." + t, this::tensor));
    lines.checkNames(tensors);
    final Set<String> groups = new LinkedHashSet<>();
    tensors.forEach(tensor -> groups.add(tensor.group()));
    final Words words = lines.read("optimizer", line -> new Words(Escaped.unescape(line)));
    if (words.values.get("scope") == null) throw lines.damaged("the optimizer has no scope", null);
    final Description tuner = new Description(words.name);
    words.values.forEach(tuner::setting);
    derive(words).forEach(tuner::setting);
    final Scope scope = "true".equals(words.values.get("inTensorOrder")) ? Scope.TENSOR : scope(words.values.get("scope"));
    return new Manifest(
        version, lines.number("steps"), lines.number("skippedSteps"), tuner, groups(words, groups), slots(), Map.of(), scope, tensors,
        scalars(version, words.name), null, unreadable);
  }

  private Scope scope(String name) {
    try {
      return Scope.valueOf(name);
    } catch (IllegalArgumentException e) {
      throw lines.damaged("there is no scope " + name, e);
    }
  }

  // COUNT TYPE in GROUP: NAME. Group and name may have ": " in them; then it takes a known tensor to tell where one ends.
  private Manifest.Tensor tensor(String line) {
    final String[] parts = line.split(" ", 4);
    if (parts.length < 4 || !parts[2].equals("in")) throw new IllegalArgumentException("it needs a count, a type, a group and a name");
    int colon = parts[3].indexOf(": ");
    if (colon < 0) throw new IllegalArgumentException("there is no ': ' between group and name");
    colon = ends.getOrDefault(parts[3], colon);
    return new Manifest.Tensor(
        Escaped.unescape(parts[3].substring(colon + 2)), Escaped.unescape(parts[3].substring(0, colon)), ManifestLines.count(parts[0]),
        DataType.valueOf(parts[1]));
  }

  /** Values of today's forms that follow from the old settings. */
  private static Map<String, String> derive(Words words) {
    final Map<String, String> derived = new HashMap<>();
    switch (words.name) {
      case "Mechanic" -> derived.put("learners", Integer.toString(words.values.getOrDefault("betas", "").split(",").length));
      case "MovingTarget" ->
          derived.put("givenTargets", Boolean.toString(!words.values.getOrDefault("targets", "learned").equals("learned")));
      case "Polyak" -> derived.put("smooths", Boolean.toString(!words.values.getOrDefault("growth", "Infinity").equals("Infinity")));
      case "GradaGrad" -> derived.put("compares", Boolean.toString(!words.values.getOrDefault("rho", "").equals("0.0")));
      case "DoG" -> derived.put("averages", Boolean.toString(!words.values.getOrDefault("averaging", "NaN").equals("NaN")));
      default -> {}
    }
    return derived;
  }

  private List<String> slots() {
    final Set<String> slots = new TreeSet<>();
    for (String name : archive.names()) {
      final int slash = name.lastIndexOf('/');
      if (name.startsWith(STATE) && slash > STATE.length()) slots.add(name.substring(STATE.length(), slash));
    }
    return List.copyOf(slots);
  }

  private Map<String, Scalars.Values> scalars(int version, String tuner) {
    final Map<String, String> renamed = version == 1 ? RENAMED.getOrDefault(tuner, Map.of()) : Map.of();
    final Map<String, Scalars.Values> scalars = new LinkedHashMap<>();
    lines.forEach(
        "scalar.", (name, line) -> scalars.put(
            renamed.getOrDefault(name, name),
            new Scalars.Values(null, 0, lines.read("scalar." + name, ManifestLines::values))));
    return scalars;
  }

  /** Rule and rate of every group: those that the words name, and the tuner's rule at its rate for the others. */
  private List<Description> groups(Words words, Set<String> names) {
    final Map<String, Description> groups = new LinkedHashMap<>();
    for (String name : names) {
      final Description group = new Description(name).setting("rateFactor", 1.0);
      words.values.forEach((key, value) -> {
        if (key.equals("rule") || key.startsWith("rule.")) group.setting(key, value);
      });
      groups.put(name, group);
    }
    String rest = words.groups;
    while (!rest.isEmpty()) {
      final String left = rest;
      final String name = names.stream().filter(one -> left.startsWith(one + "=Group[")).findFirst().orElse(null);
      final int end = name == null ? -1 : Words.end(rest, name.length() + "=Group".length());
      if (end < 0) return unreadable(words, names);
      final Description description = new Description(name);
      try {
        new Words(rest.substring(name.length() + 1, end)).values.forEach(description::setting);
      } catch (IllegalArgumentException e) {
        return unreadable(words, names);
      }
      groups.put(name, description);
      rest = rest.startsWith(", ", end) ? rest.substring(end + 2) : rest.substring(end);
    }
    return List.copyOf(groups.values());
  }

  // Of the groups only the names are known then.
  private List<Description> unreadable(Words words, Set<String> names) {
    unreadable.add("groups={" + words.groups + "}");
    return names.stream().map(Description::new).toList();
  }

  /** {@code Name[key=value, ...]}; a value of the same form becomes its name, and its own values behind a point. */
  private static final class Words {
    private static final Pattern KEY = Pattern.compile(", [A-Za-z0-9]+=");

    private static final int MOST_DEPTH = 4; // a tuner, a group, a rule

    final String name;
    final Map<String, String> values = new LinkedHashMap<>();
    String groups = "";

    Words(String text) {
      this(text, MOST_DEPTH);
    }

    private Words(String text, int depth) {
      if (depth == 0) throw new IllegalArgumentException("there are values within values within values");
      final int open = text.indexOf('[');
      if (open < 0 || !text.endsWith("]")) throw new IllegalArgumentException("it is not of the form Name[key=value, ...]");
      name = text.substring(0, open);
      final String inner = text.substring(open + 1, text.length() - 1);
      for (int from = 0; from < inner.length();) {
        final int equals = inner.indexOf('=', from);
        if (equals < 0) throw new IllegalArgumentException("'" + inner.substring(from) + "' has no '='");
        final String key = inner.substring(from, equals);
        if (key.equals("groups") && inner.startsWith("{", equals + 1) && inner.endsWith("}")) {
          groups = inner.substring(equals + 2, inner.length() - 1); // of any characters, but the last
          return;
        }
        // The names of groups are in it, which may have brackets.
        final int scales = key.equals("layerScales") ? inner.indexOf("}, scope=", equals) + 1 : 0;
        final int end = scales > 0 ? scales : comma(inner, equals + 1);
        add(key, inner.substring(equals + 1, end), depth);
        from = end + 2;
      }
    }

    private void add(String key, String value, int depth) {
      if (!value.matches("(?s)[A-Za-z]+\\[.*\\]")) {
        values.put(key, value);
        return;
      }
      final Words nested = new Words(value, depth - 1);
      values.put(key, nested.name);
      nested.values.forEach((name, inner) -> values.put(key + "." + name, inner));
    }

    /** Where the value that begins at a place ends: before the next ", key=" outside of brackets. */
    private static int comma(String text, int from) {
      int depth = 0;
      for (int i = from; i < text.length(); ++i) {
        final char c = text.charAt(i);
        if (c == '[' || c == '{') ++depth;
        else if (c == ']' || c == '}') --depth;
        else if (depth == 0 && c == ',' && KEY.matcher(text).region(i, text.length()).lookingAt()) return i;
      }
      return text.length();
    }

    /** Where the bracket that opens at a place has been closed, and -1 if it is not. */
    static int end(String text, int open) {
      int depth = 0;
      for (int i = open; i < text.length(); ++i) {
        final char c = text.charAt(i);
        if (c == '[') ++depth;
        else if (c == ']' && --depth == 0) return i + 1;
      }
      return -1;
    }
  }
}
