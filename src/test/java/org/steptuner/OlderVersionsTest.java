// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.NamedTensors.make;
import static org.steptuner.NamedTensors.train;
import static org.steptuner.NamedTensors.usual;
import static org.steptuner.Refusal.assertRefused;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.NamedTensors.Spec;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MovingTarget;
import org.steptuner.tuner.Polyak;

/** Files of versions 1 and 2, whose tuner and settings are one line of words, and whose scalars do not say what they are of. */
class OlderVersionsTest extends CheckpointFileTest {
  private static final Device CPU = Device.cpu(1);

  static Stream<Configuration> scoped() {
    return RestoreTest.scoped();
  }

  /** What version 2 wrote, made of what is written today. */
  private void saveOld(Configuration configuration, List<Spec> specs, String groups) throws IOException {
    try (TestTensors tensors = make(specs, 0); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      train(tensors, optimizer, 0, 5);
      final SavedState saved = SavedState.of(optimizer);
      final Map<String, String> lines = new LinkedHashMap<>();
      for (String line : saved.manifest().split("\n"))
        lines.put(line.substring(0, line.indexOf('=')), line.substring(line.indexOf('=') + 1));
      final StringBuilder text = new StringBuilder("format=steptuner-checkpoint\nversion=2\noptimizer=" + words(lines, groups) + "\n");
      text.append("tensors=").append(specs.size()).append('\n');
      for (int t = 0; t < specs.size(); ++t) {
        final Spec spec = specs.get(t);
        text.append("tensor." + t + "=" + spec.count() + " " + spec.type() + " in " + spec.group() + ": " + spec.name() + "\n");
      }
      text.append("steps=5\nskippedSteps=0\n");
      lines.forEach((key, value) -> {
        if (!key.startsWith("scalar.")) return;
        String values = value.substring(value.indexOf(' ', value.indexOf(' ') + 1) + 1);
        if (key.equals("scalar.begun")) values = values.split(",")[0]; // one for all
        text.append(key).append('=').append(values).append('\n');
      });
      final Map<String, byte[]> entries = new TreeMap<>(saved.entries());
      entries.put("manifest", text.toString().getBytes(StandardCharsets.UTF_8));
      try (OutputStream out = Files.newOutputStream(file); ZipOutputStream zip = new ZipOutputStream(out)) {
        for (Map.Entry<String, byte[]> entry : entries.entrySet()) {
          zip.putNextEntry(new ZipEntry(entry.getKey()));
          zip.write(entry.getValue());
        }
      }
    }
  }

  /** Without what version 2 did not say. */
  private static String words(Map<String, String> lines, String groups) {
    final List<String> own = new ArrayList<>();
    final List<String> ofRule = new ArrayList<>();
    final List<String> ofMeta = new ArrayList<>();
    lines.forEach((key, value) -> {
      final String name = key.replaceFirst("tuner\\.(form|setting)\\.", "");
      if (name.equals(key) || name.matches(".*kernel|learners|givenTargets|compares|averages|smooths|rule|meta|scope|clipNorm")) return;
      if (name.startsWith("rule.")) ofRule.add(name.substring(5) + "=" + value);
      else if (name.startsWith("meta.")) ofMeta.add(name.substring(5) + "=" + value);
      else own.add(name + "=" + value);
    });
    final String meta = lines.get("tuner.form.meta");
    if (meta != null) own.add(1, "meta=" + meta + "[" + String.join(", ", ofMeta) + "]");
    own.add("scope=" + lines.get("tuner.form.scope"));
    own.add("clipNorm=" + lines.get("tuner.setting.clipNorm"));
    own.add("rule=" + lines.get("tuner.form.rule") + "[" + String.join(", ", ofRule) + "]");
    own.add("groups={" + groups + "}");
    return lines.get("tuner") + "[" + String.join(", ", own) + "]";
  }

  private interface Look {
    void at(TestTensors tensors, Optimizer optimizer);
  }

  private void with(Configuration configuration, List<Spec> specs, Look look) {
    try (TestTensors tensors = make(specs, 1); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      train(tensors, optimizer, 20, 23);
      look.at(tensors, optimizer);
    }
  }

  @ParameterizedTest
  @MethodSource("scoped")
  void everyTuner(Configuration configuration) throws IOException {
    saveOld(configuration, usual(), "");
    try (TestTensors whole = make(usual(), 0); Optimizer uninterrupted = configuration.build(whole.on(CPU))) {
      train(whole, uninterrupted, 0, 7);
      for (RestoreOptions options : List.of(RestoreOptions.strict(), RestoreOptions.lenient()))
        with(configuration, usual(), (tensors, optimizer) -> {
          final Restored restored = optimizer.restore(file, options);
          assertEquals(2, restored.version());
          assertTrue(restored.isExact(), restored.toString());
          train(tensors, optimizer, 5, 7);
          tensors.assertSameParameters(whole, "resumed from version 2");
          SavedState.of(uninterrupted).assertSame(SavedState.of(optimizer), "resumed from version 2");
        });
    }
    // By name into another order, with a tensor more and one less.
    final List<Spec> other = List.of(usual().get(2), new Spec("added", "third", DataType.FLOAT32, 5), usual().get(0));
    with(configuration, other, (tensors, optimizer) -> {
      assertRefused(CheckpointException.class, () -> optimizer.restore(file), file.toString(), "added");
      final Restored restored = optimizer.restore(file, RestoreOptions.lenient());
      assertEquals(List.of("added"), restored.newTensors());
      assertEquals(List.of("b"), restored.unusedTensors());
      train(tensors, optimizer, 5, 7);
      for (double x : tensors.values()) assertTrue(Double.isFinite(x));
    });
    final Configuration clipped = new Configuration("", () -> configuration.builder().get().clipNorm(2));
    with(clipped, usual(), (tensors, optimizer) -> {
      assertRefused(CheckpointException.class, () -> optimizer.restore(file), "clipNorm is Infinity in the file and 2.0 here");
      assertEquals(1, optimizer.restore(file, RestoreOptions.lenient()).settings().size());
    });
  }

  @Test
  void forms() throws IOException {
    saveOld(new Configuration("", () -> Mechanic.tuning(AdamW.defaults())), usual(), "");
    with(
        new Configuration("", () -> Mechanic.tuning(AdamW.defaults()).betas(0.9, 0.99)), usual(),
        (tensors, optimizer) -> assertRefused(
            CheckpointException.class, () -> optimizer.restore(file, RestoreOptions.lenient()), "learners is 6 in the file and 2 here"));
    with(
        new Configuration("", () -> Mechanic.tuning(SGD.defaults())), usual(),
        (tensors, optimizer) -> assertRefused(
            CheckpointException.class, () -> optimizer.restore(file, RestoreOptions.lenient()), "rule is AdamW in the file and SGD here"));
    saveOld(new Configuration("", () -> FixedRate.of(1, SGD.defaults())), usual(), "");
    with(
        new Configuration("", () -> FixedRate.of(1, SGD.defaults().momentum(0.9))), usual(),
        (tensors, optimizer) -> assertRefused(
            CheckpointException.class, () -> optimizer.restore(file, RestoreOptions.lenient()), "momentum"));
    saveOld(new Configuration("", () -> Polyak.tuning(SGD.defaults())), usual(), "");
    with(
        new Configuration("", () -> Polyak.tuning(SGD.defaults()).smoothing(2, 10)), usual(),
        (tensors, optimizer) -> assertRefused(
            CheckpointException.class, () -> optimizer.restore(file, RestoreOptions.lenient()), "smooths is false in the file"));
    saveOld(new Configuration("", () -> MovingTarget.tuning(SGD.defaults()).targets(1, 2, 3, 4, 5, 6, 7, 8, 9)), usual(), "");
    with(
        new Configuration("", () -> MovingTarget.tuning(SGD.defaults()).targets(1, 2, 3, 4, 5, 6, 7, 8, 9)), usual(),
        (tensors, optimizer) -> assertTrue(optimizer.restore(file).isExact()));
    with(
        new Configuration("", () -> MovingTarget.tuning(SGD.defaults()).parts(9)), usual(),
        (tensors, optimizer) -> assertRefused(
            CheckpointException.class, () -> optimizer.restore(file, RestoreOptions.lenient()), "givenTargets is true in the file"));
  }

  @Test
  void groupsInWords() throws IOException {
    final String rule = "AdamW[beta1=0.9, beta2=0.999, epsilon=1.0E-8, weightDecay=0.0]";
    final Configuration grouped =
        new Configuration("", () -> FixedRate.of(1, AdamW.defaults()).group("bias", AdamW.defaults().weightDecay(0), 0.5));
    saveOld(grouped, usual(), "bias=Group[rule=" + rule + ", rateFactor=0.5]");
    with(grouped, usual(), (tensors, optimizer) -> assertTrue(optimizer.restore(file).isExact()));
    with(new Configuration("", () -> FixedRate.of(1, AdamW.defaults())), usual(), (tensors, optimizer) -> {
      assertRefused(CheckpointException.class, () -> optimizer.restore(file), "group 'bias': rateFactor is 0.5 in the file and 1.0 here");
      assertEquals(2, optimizer.restore(file, RestoreOptions.lenient()).settings().size());
    });
    // What cannot be read is not compared: that is no strict restore, and the report of another says so.
    saveOld(grouped, usual(), "of another kind");
    with(grouped, usual(), (tensors, optimizer) -> {
      final SavedState before = SavedState.of(optimizer);
      assertRefused(CheckpointException.class, () -> optimizer.restore(file), "of another kind", "allowSettings()");
      before.assertSame(SavedState.of(optimizer), "refused");
      final Restored restored = optimizer.restore(file, RestoreOptions.strict().allowSettings());
      assertEquals(List.of("groups={of another kind}"), restored.notCompared());
      assertTrue(!restored.isExact() && restored.toString().contains("of another kind"), restored.toString());
    });
    final Configuration scoped = new Configuration("", () -> Mechanic.tuning(AdamW.defaults()).scope(Scope.GROUP));
    for (String unreadable : List.of("bias=Group[no rule]", "bias=Group[", "x".repeat(100),
        "bias=Group[" + "a=A[".repeat(99) + "]".repeat(100))) {
      saveOld(scoped, usual(), unreadable);
      with(scoped, usual(), (tensors, optimizer) -> {
        assertRefused(CheckpointException.class, () -> optimizer.restore(file), "cannot be read");
        assertEquals(List.of("groups={" + unreadable + "}"), optimizer.restore(file, RestoreOptions.lenient()).notCompared());
        train(tensors, optimizer, 5, 7);
      });
    }
  }

  @Test
  void namesOfAnyCharacters() throws IOException {
    for (String name : List.of("a: b", "x=Group[", "}, {", "in ", ", scope=ALL", "größe/層")) {
      final List<Spec> specs = List.of(new Spec("t" + name, "g" + name, DataType.FLOAT32, 3), new Spec("u", "v", DataType.FLOAT64, 2));
      final Configuration configuration =
          new Configuration("", () -> DAdaptation.tuning(AdamW.defaults()).layerScale("g" + name, 2).maxRate(1e-3));
      final Configuration grouped = new Configuration("", () -> FixedRate.of(1, SGD.defaults()).group("g" + name, SGD.defaults(), 0.5));
      if (!name.contains("}, scope")) {
        saveOld(configuration, specs, "");
        with(configuration, specs, (tensors, optimizer) -> assertTrue(optimizer.restore(file).isExact(), name));
      }
      saveOld(grouped, specs, "g" + name + "=Group[rule=SGD[momentum=0.0, nesterov=false, weightDecay=0.0], rateFactor=0.5]");
      with(grouped, specs, (tensors, optimizer) -> assertTrue(optimizer.restore(file).isExact(), name));
    }
  }

  /** Words that are no words of a tuner: damage, and no error of another kind. */
  @Test
  void wordsThatCannotBe() throws IOException {
    final Configuration configuration = new Configuration("", () -> Mechanic.tuning(AdamW.defaults()));
    saveOld(configuration, usual(), "");
    final SavedState saved = SavedState.read(file);
    for (String words : List.of("", "Mechanic", "Mechanic[", "Mechanic[]", "Mechanic[a]", "Mechanic[scope=SIX]", "]", "[", "Mechanic[a=]",
        "Mechanic[" + "a=A[".repeat(100_000) + "]".repeat(100_001), "Mechanic[a=\\]")) {
      final Map<String, byte[]> entries = new TreeMap<>(saved.entries());
      final String manifest = saved.manifest().replaceFirst("optimizer=.*\n", Matcher.quoteReplacement("optimizer=" + words + "\n"));
      entries.put("manifest", manifest.getBytes(StandardCharsets.UTF_8));
      try (OutputStream out = Files.newOutputStream(file); ZipOutputStream zip = new ZipOutputStream(out)) {
        for (Map.Entry<String, byte[]> entry : entries.entrySet()) {
          zip.putNextEntry(new ZipEntry(entry.getKey()));
          zip.write(entry.getValue());
        }
      }
      with(configuration, usual(), (tensors, optimizer) -> {
        final SavedState before = SavedState.of(optimizer);
        assertRefused(CheckpointException.class, () -> optimizer.restore(file, RestoreOptions.lenient()), file.toString());
        before.assertSame(SavedState.of(optimizer), "refused");
      });
    }
  }
}
