// SPDX-License-Identifier: Apache-2.0
package org.steptuner.loading;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Where the native library cannot be loaded, every entry throws a DeviceException with the first reason and what to do, every time. */
class LoadingFailureTest extends OwnCacheTest {
  private static final String FLAG = "--enable-native-access=";
  private static final String CACHE = "-Dorg.bytedeco.javacpp.cachedir=";

  /** Runs the program with a jar of Step Tuner that has other files. */
  private Jvm.Run runWith(Map<String, byte[]> steptuner) throws Exception {
    return jvm().classPath(withProgram(List.of(jars.jar("other.jar", steptuner), Jars.javacpp(), Jars.javacppNatives()))).run();
  }

  @ParameterizedTest
  @CsvSource({"-Dorg.bytedeco.javacpp.platform=macosx-arm64,macosx-arm64", "-Dos.arch=aarch64,linux-arm64", "-Dos.arch=i686,linux-x86",
    "-Dos.name=Windows 11,windows-x86_64"})
  void anotherPlatform(String option, String platform) throws Exception {
    jvm().with(option).classPath(withProgram(jars.all())).run()
        .assertRefused("there is none for " + platform, "Linux on x86-64", "org.bytedeco.javacpp.platform");
  }

  @Test
  void noJavaCpp() throws Exception {
    jvm().classPath(withProgram(List.of(jars.all().get(0)))).run()
        .assertRefused("org.bytedeco.javacpp.Loader", "org.bytedeco:javacpp:1.5.13", "linux-x86_64", "there is none");
  }

  /** JavaCPP in a class loader above, as an application server may have it: its native methods must come with it. */
  @Test
  void noNativesOfJavaCpp() throws Exception {
    final List<Path> all = jars.all();
    inLoaders(List.of(Jars.javacpp()), withProgram(all.subList(0, 1)))
        .assertRefused("JavaCPP", "is missing", "org.bytedeco:javacpp:1.5.13 with classifier linux-x86_64");
  }

  @Test
  void javaCppWasToldToLoadNothing() throws Exception {
    final List<Path> all = jars.all();
    inLoaders(all.subList(1, 3), withProgram(all.subList(0, 1)), "-Dorg.bytedeco.javacpp.loadlibraries=false")
        .assertRefused("told to load none", "org.bytedeco.javacpp.loadlibraries");
  }

  private Jvm.Run inLoaders(List<Path> parent, List<Path> child, String... options) throws Exception {
    return jvm().with(options).classPath(List.of(jars.program())).starting("program.Loaders").run(Jvm.join(parent), Jvm.join(child), "1");
  }

  @Test
  void anotherVersionOfJavaCpp() throws Exception {
    final Map<String, byte[]> javacpp = Jars.content(Jars.javacpp());
    javacpp.computeIfPresent("org/bytedeco/javacpp/Loader.class", (name, bytes) -> replaced(bytes, "cacheResource", "cacheResourcf"));
    final Path other = jars.jar("javacpp-other.jar", javacpp);
    jvm().classPath(withProgram(List.of(jars.all().get(0), other, Jars.javacppNatives()))).run()
        .assertRefused("NoSuchMethodError", "cacheResource", "org.bytedeco:javacpp:1.5.13", "javacpp-other.jar");
  }

  @Test
  void settingOfJavaCppThatItDoesNotUnderstand() throws Exception {
    jvm().with("-Dorg.bytedeco.javacpp.maxbytes=plenty").classPath(withProgram(jars.all())).run()
        .assertRefused("NumberFormatException", "system properties that begin with org.bytedeco.javacpp");
  }

  @ParameterizedTest
  @ValueSource(strings = {"libsteptuner.so", "libjnisteptuner.so", "lib"})
  void librariesMissingFromTheJar(String missing) throws Exception {
    final Map<String, byte[]> steptuner = Jars.steptuner();
    assertTrue(steptuner.keySet().removeIf(name -> name.startsWith(Jars.NATIVES + missing)));
    runWith(steptuner).assertRefused("not among the resources", "libsteptuner.so", "whole jar");
  }

  @ParameterizedTest
  @ValueSource(strings = {"libsteptuner.so", "libjnisteptuner.so"})
  void librariesThatAreNone(String bad) throws Exception {
    final Map<String, byte[]> steptuner = Jars.steptuner();
    steptuner.put(Jars.NATIVES + bad, "version https://git-lfs.github.com/spec/v1: a pointer to a file\n".repeat(10).getBytes(
        StandardCharsets.US_ASCII));
    runWith(steptuner).assertRefused(bad, "invalid ELF header", CACHE);
    steptuner.put(Jars.NATIVES + bad, new byte[0]);
    runWith(steptuner).assertRefused(bad, "too short", CACHE);
  }

  @Test
  void thirtyTwoBits() throws Exception {
    final Map<String, byte[]> steptuner = Jars.steptuner();
    steptuner.get(Jars.NATIVES + "libsteptuner.so")[4] = 1; // EI_CLASS
    runWith(steptuner).assertRefused("libsteptuner.so", "ELFCLASS32", "made for this system");
  }

  @ParameterizedTest
  @ValueSource(strings = {"libsteptuner.so", "libjnisteptuner.so"})
  void anOldSystem(String library) throws Exception {
    final Map<String, byte[]> steptuner = Jars.steptuner();
    final byte[] changed = replaced(steptuner.get(Jars.NATIVES + library), "GLIBC_2.14", "GLIBC_9.99");
    steptuner.put(Jars.NATIVES + library, changed);
    runWith(steptuner).assertRefused(library, "version `GLIBC_9.99' not found", "newer system");
  }

  @Test
  void aLibraryOfAnotherVersion() throws Exception {
    final String header = Files.readString(Path.of("src/main/cpp/steptuner.h"));
    final String functions = Pattern.compile("\\bst_[a-z_]+(?=\\()").matcher(header).results().map(MatchResult::group).distinct()
        .map(name -> "long " + name + "(void) { return " + (name.equals("st_abi_version") ? 999 : 0) + "; }\n")
        .collect(Collectors.joining());
    final Path source = Files.writeString(folder.resolve("other.c"), functions);
    final Path library = folder.resolve("libsteptuner.so");
    final Jvm.Run compiled;
    try {
      compiled = Jvm.command(
          List.of("cc", "-shared", "-fPIC", "-Wl,-soname,libsteptuner.so", "-o", library.toString(), source.toString()));
    } catch (IOException e) {
      assumeTrue(false, "no C compiler: " + e.getMessage());
      return;
    }
    assertEquals(0, compiled.status(), compiled.output());
    final Map<String, byte[]> steptuner = Jars.steptuner();
    steptuner.put(Jars.NATIVES + "libsteptuner.so", Files.readAllBytes(library));
    runWith(steptuner).assertRefused("ABI version 999", "one version");
  }

  @Test
  void renamedPackages() throws Exception {
    final Map<String, byte[]> steptuner = Jars.relocated(Jars.steptuner(), "org.steptuner", "shaded.org.steptuner");
    final Path program =
        jars.jar("program-shaded.jar", Jars.relocated(Jars.content(jars.program()), "org.steptuner", "shaded.org.steptuner"));
    final Path shaded = jars.jar("shaded.jar", steptuner);
    jvm().classPath(List.of(shaded, program, Jars.javacpp(), Jars.javacppNatives())).run()
        .assertRefused("org.steptuner.internal has been renamed to shaded.org.steptuner.internal", "<exclude>org.steptuner.**</exclude>");
  }

  @Test
  void renamedPackagesOfJavaCpp() throws Exception {
    final Path steptuner = jars.jar("shaded.jar", Jars.relocated(Jars.steptuner(), "org.bytedeco", "shaded.org.bytedeco"));
    final Path javacpp = jars.jar("javacpp.jar", Jars.relocated(Jars.content(Jars.javacpp()), "org.bytedeco", "shaded.org.bytedeco"));
    final Path natives =
        jars.jar("javacpp-natives.jar", Jars.relocated(Jars.content(Jars.javacppNatives()), "org.bytedeco", "shaded.org.bytedeco"));
    final Path program =
        jars.jar("shaded-program.jar", Jars.relocated(Jars.content(jars.program()), "org.bytedeco", "shaded.org.bytedeco"));
    jvm().classPath(List.of(steptuner, program, javacpp, natives)).run().assertRefused(
        "org.bytedeco.javacpp has been renamed to shaded.org.bytedeco.javacpp", "<exclude>org.bytedeco.**</exclude>");
  }

  /** Nowhere can a folder be made: not in the one that is named, and not where JavaCPP goes instead. */
  @Test
  void noFolderToUnpackTo() throws Exception {
    jvm().with(CACHE + "/proc/none", "-Duser.home=/proc/none", "-Djava.io.tmpdir=/proc/none").classPath(withProgram(jars.all())).run()
        .assertRefused("Could not create the cache", CACHE, "java.library.path");
  }

  @Test
  void readOnlyFolder() throws Exception {
    final Path mounted = Files.createDirectory(folder.resolve("mounted"));
    mounting("mount -t tmpfs -o ro tmpfs " + mounted);
    jvm().within(mount("mount -t tmpfs -o ro tmpfs " + mounted))
        .with(CACHE + mounted, "-Duser.home=" + mounted, "-Djava.io.tmpdir=" + mounted).classPath(withProgram(jars.all())).run()
        .assertRefused("Could not create the cache", CACHE);
  }

  @Test
  void fullDisk() throws Exception {
    final Path mounted = Files.createDirectory(folder.resolve("mounted"));
    mounting("mount -t tmpfs -o size=64k tmpfs " + mounted);
    jvm().within(mount("mount -t tmpfs -o size=64k tmpfs " + mounted)).with(CACHE + mounted).classPath(withProgram(jars.all())).run()
        .assertRefused("No space left on device", "space left", CACHE);
  }

  /** A folder from which nothing may be loaded: one that is mounted for this, or the one that containers have. */
  @Test
  void noexecFolder() throws Exception {
    final Path shared = Path.of("/dev/shm");
    final boolean there = Files.isWritable(shared) && isNoexec(shared);
    if (there) {
      final Path own = Files.createTempDirectory(shared, "steptuner");
      try {
        final String said = jvm().with(CACHE + own).classPath(withProgram(jars.all())).run()
            .assertRefused("failed to map segment", own.toString(), "noexec", "java.library.path");
        assertFalse(said.contains("no jnisteptuner"), said);
      } finally {
        Jvm.command(List.of("rm", "-r", own.toString()));
      }
    }
    final Path mounted = Files.createDirectory(folder.resolve("mounted"));
    final String mount = "mount -t tmpfs -o noexec tmpfs " + mounted;
    if (!there) mounting(mount);
    if (mayMount(mount))
      jvm().within(mount(mount)).with(CACHE + mounted).classPath(withProgram(jars.all())).run()
          .assertRefused("failed to map segment", mounted.toString(), "noexec", CACHE);
  }

  private static boolean isNoexec(Path path) throws IOException {
    final FileStore store = Files.getFileStore(path);
    return Files.readAllLines(Path.of("/proc/mounts")).stream().map(line -> line.split(" "))
        .anyMatch(
            mount -> mount[1].equals(path.toString()) && List.of(mount[3].split(",")).contains("noexec") && store.name().equals(mount[0]));
  }

  private static void mounting(String command) throws Exception {
    assumeTrue(mayMount(command), "this process may not mount a file system");
  }

  private static boolean mayMount(String command) throws Exception {
    final List<String> all = new ArrayList<>(List.of(mount(command)));
    all.add("true");
    try {
      return Jvm.command(all).status() == 0;
    } catch (IOException noUnshare) {
      return false;
    }
  }

  /** A command that mounts a file system for itself and what it starts. */
  private static String[] mount(String command) {
    return new String[] {"unshare", "--map-root-user", "--user", "--mount", "sh", "-c", command + " && exec \"$@\"", "sh"};
  }

  @Test
  void aGpuJarWhoseLibraryCannotBeLoaded() throws Exception {
    final Map<String, byte[]> gpu = new TreeMap<>(Jars.content(jars.gpu()));
    gpu.replaceAll((name, bytes) -> name.endsWith(".so") ? "none".repeat(100).getBytes(StandardCharsets.US_ASCII) : bytes);
    final List<Path> all = new ArrayList<>(withProgram(jars.all()));
    all.add(jars.jar("gpu-bad.jar", gpu));
    final Jvm.Run run = jvm().classPath(all).run().assertTrained();
    for (String way : List.of("best", "cuda")) {
      final String said = run.lines(way).get(0);
      for (String part : List.of("DeviceException", "CUDA library", "libsteptuner_cuda.so", "invalid ELF header", "What to do"))
        assertTrue(said.contains(part), said);
    }
  }

  @Test
  void aGpuJarWhoseClassIsMissing() throws Exception {
    final Map<String, byte[]> gpu = Jars.content(jars.gpu());
    assertTrue(gpu.keySet().removeIf(name -> name.endsWith("CudaLibrary.class")));
    final List<Path> all = new ArrayList<>(withProgram(jars.all()));
    all.add(jars.jar("gpu-bad.jar", gpu));
    final Jvm.Run run = jvm().classPath(all).run().assertTrained();
    for (String way : List.of("best", "cuda")) {
      assertTrue(run.lines(way).get(0).contains("DeviceException"), run.output());
      assertTrue(run.lines(way).get(0).contains("CudaLibrary"), run.output());
    }
  }

  /** The JVM tells why a class could not start once only. */
  @Test
  void aGpuJarWhoseClassCannotStart() throws Exception {
    final Path gpu =
        jars.jar(
            "gpu-bad.jar", Map.of("META-INF/services/org.steptuner.spi.DeviceLibrary", "program.FailingLibrary".getBytes(
                StandardCharsets.US_ASCII)));
    final List<Path> all = new ArrayList<>(withProgram(jars.all()));
    all.add(gpu);
    final Jvm.Run run = jvm().classPath(all).run().assertTrained();
    for (String way : List.of("best", "cuda")) {
      assertTrue(run.lines(way).get(0).contains("DeviceException"), run.output());
      assertTrue(run.lines(way).get(0).contains("NumberFormatException: For input string: \"planted\""), run.output());
    }
    assertEquals(run.lines("best").get(0).substring("best".length()), run.lines("cuda").get(0).substring("cuda".length()));
  }

  @Test
  void securityManager() throws Exception {
    assumeTrue(Jvm.version(Jvm.current()) < 24, "this JDK has no security manager");
    jvm().with("-Djava.security.manager").classPath(withProgram(jars.all())).run()
        .assertRefused("AccessControlException", "access denied", "security manager");
  }

  /** From JDK 24 on the JVM may refuse native code: on class path and module path, and where one of two modules has the permission. */
  @Test
  void noPermission() throws Exception {
    final List<Path> asking = Jvm.homes().stream().filter(Jvm::asksForPermission).toList();
    assumeTrue(!asking.isEmpty(), "no JDK from 24 on");
    final List<Path> all = jars.all();
    final List<Path> modules = new ArrayList<>(all);
    modules.add(jars.programModule(all));
    for (Path home : asking) {
      final String deny = "--illegal-native-access=deny";
      new Jvm(home, cache).with(deny).classPath(withProgram(all)).run()
          .assertRefused("Illegal native access", FLAG + "ALL-UNNAMED", "Enable-Native-Access: ALL-UNNAMED");
      final String flag = FLAG + "org.steptuner,org.bytedeco.javacpp";
      new Jvm(home, cache).with(deny).modulePath(modules).run().assertRefused("Illegal native access", "org.steptuner", flag);
      new Jvm(home, cache).with(deny, FLAG + "org.steptuner").modulePath(modules).run().assertRefused("org.bytedeco.javacpp", flag);
      new Jvm(home, cache).with(deny, FLAG + "org.bytedeco.javacpp").modulePath(modules).run().assertRefused("org.steptuner", flag);
    }
  }

  /** The same bytes with one text in the place of another of the same length. */
  private static byte[] replaced(byte[] bytes, String from, String to) {
    final String text = new String(bytes, StandardCharsets.ISO_8859_1);
    assertTrue(text.contains(from), from);
    return text.replace(from, to).getBytes(StandardCharsets.ISO_8859_1);
  }
}
