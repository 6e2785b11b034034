// SPDX-License-Identifier: Apache-2.0
package org.steptuner.loading;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * A trainer on the class path, on the module path, as one jar and as a jlink image, on the JDK of the tests and on a newer one, with and
 * without the jar for GPUs. Newer JDKs refuse native code here, but for whom the option permits it.
 */
class ProgramsTest {
  private static final String FLAG = "--enable-native-access=";
  private static final String MODULES = "org.steptuner,org.bytedeco.javacpp";

  /** A JDK, and whether there is a GPU jar. */
  record Place(Path home, boolean gpu) {
    @Override
    public String toString() {
      return "JDK " + Jvm.version(home) + (gpu ? " with GPU jar" : "");
    }
  }

  @TempDir
  Path folder;
  private Path cache;
  private Jars jars;

  static Stream<Place> places() throws IOException {
    return Jvm.homes().stream().flatMap(home -> Stream.of(false, true).map(gpu -> new Place(home, gpu)));
  }

  @BeforeEach
  void prepare() {
    cache = folder.resolve("cache");
    jars = new Jars(folder);
  }

  private List<Path> libraries(Place place) throws IOException {
    final List<Path> libraries = new ArrayList<>(jars.all());
    if (place.gpu) libraries.add(jars.gpu());
    return libraries;
  }

  private Jvm jvm(Place place, String permitted) {
    final Jvm jvm = new Jvm(place.home, cache);
    return Jvm.asksForPermission(place.home) ? jvm.with("--illegal-native-access=deny", FLAG + permitted) : jvm;
  }

  /** The program trained, and found the CUDA library if there is one: it says why there is no GPU. */
  private static void assertRan(Place place, Jvm.Run run) {
    run.assertTrained();
    final String cuda = run.lines("cuda").get(0);
    if (!cuda.startsWith("cuda|ok|CUDA")) {
      final String reason = place.gpu ? Jars.saidByGpuJar() : "add the jar of org.steptuner:steptuner with classifier linux-x86_64-gpu";
      assertTrue(cuda.startsWith("cuda|org.steptuner.DeviceException|") && cuda.contains(reason), run.output());
      assertTrue(run.lines("best").get(0).startsWith("best|ok|CPU"), run.output());
    }
    assertTrue(!run.output().contains("WARNING"), run.output());
  }

  @ParameterizedTest
  @MethodSource("places")
  void classPath(Place place) throws Exception {
    final List<Path> all = libraries(place);
    all.add(jars.program());
    assertRan(place, jvm(place, "ALL-UNNAMED").classPath(all).run());
  }

  /** {@code requires org.steptuner} is all that the trainer's module says. The module of the GPU jar need not be named either. */
  @ParameterizedTest
  @MethodSource("places")
  void modulePath(Place place) throws Exception {
    final List<Path> all = libraries(place);
    all.add(jars.programModule(libraries(place)));
    assertRan(place, jvm(place, MODULES).modulePath(all).run());
  }

  /** All jars in one, whose manifest gives the permission. */
  @ParameterizedTest
  @MethodSource("places")
  void oneJar(Place place) throws Exception {
    final List<Path> all = libraries(place);
    all.add(jars.program());
    final Path jar = jars.merged("app.jar", "Main-Class: program.Program\nEnable-Native-Access: ALL-UNNAMED\n", all);
    final Jvm jvm = new Jvm(place.home, cache);
    if (Jvm.asksForPermission(place.home)) jvm.with("--illegal-native-access=deny");
    assertRan(place, jvm.starting("-jar", jar.toString()).run());
  }

  /** An image that has the option in it. jlink takes a module that provides a service only if it is named. */
  @ParameterizedTest
  @MethodSource("places")
  void image(Place place) throws Exception {
    assumeTrue(Files.isExecutable(place.home.resolve("bin/jlink")), "no jlink in " + place.home);
    final List<Path> all = libraries(place);
    all.add(jars.programModule(libraries(place)));
    final Path image = folder.resolve("image");
    final List<String> command = new ArrayList<>(List.of(place.home.resolve("bin/jlink").toString(), "--output", image.toString()));
    command.addAll(List.of("--module-path", Jvm.join(all)));
    command.addAll(List.of("--add-modules", place.gpu ? "program,org.steptuner.gpu.linux.x86_64" : "program"));
    if (Jvm.asksForPermission(place.home)) command.add("--add-options=--illegal-native-access=deny " + FLAG + MODULES);
    final Jvm.Run linked = Jvm.command(command);
    assertEquals(0, linked.status(), linked.output());
    assertRan(place, new Jvm(image, cache).starting("-m", "program/program.Program").run());
  }

  /** Without the permission, newer JDKs warn and go on, unless they are told to refuse. */
  @ParameterizedTest
  @MethodSource("places")
  void withoutThePermission(Place place) throws Exception {
    assumeTrue(Jvm.asksForPermission(place.home), "this JDK asks for no permission");
    final List<Path> all = libraries(place);
    final List<Path> classPath = new ArrayList<>(all);
    classPath.add(jars.program());
    new Jvm(place.home, cache).classPath(classPath).run().assertTrained();
    final List<Path> modules = new ArrayList<>(all);
    modules.add(jars.programModule(all));
    new Jvm(place.home, cache).modulePath(modules).run().assertTrained();
  }
}
