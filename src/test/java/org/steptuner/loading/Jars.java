// SPDX-License-Identifier: Apache-2.0
package org.steptuner.loading;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Enumeration;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.UnaryOperator;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;
import java.util.spi.ToolProvider;
import java.util.stream.Stream;
import java.util.zip.Deflater;
import org.bytedeco.javacpp.Loader;
import org.objectweb.asm.ClassReader;
import org.objectweb.asm.ClassWriter;
import org.objectweb.asm.commons.ClassRemapper;
import org.objectweb.asm.commons.Remapper;
import org.steptuner.Device;
import program.Program;

/** The library's artifacts, made from what the build has compiled, and what other people's builds make of them. */
final class Jars {
  static final String NATIVES = "org/steptuner/internal/linux-x86_64/";
  static final String SERVICE = "META-INF/services/org.steptuner.spi.DeviceLibrary";

  private static final String GPU = "org/steptuner/gpu/linux/x86_64/";

  private final Path folder;

  Jars(Path folder) {
    this.folder = folder;
    final String preloaded = System.getenv("LD_PRELOAD");
    assumeTrue(preloaded == null || preloaded.isEmpty(), "libraries built with sanitizers run in no other JVM");
  }

  /** What a jar or a folder holds. */
  static Map<String, byte[]> content(Path of) throws IOException {
    final Map<String, byte[]> content = new TreeMap<>();
    if (Files.isDirectory(of)) {
      try (Stream<Path> files = Files.walk(of)) {
        for (Path file : (Iterable<Path>) files.filter(Files::isRegularFile)::iterator)
          content.put(of.relativize(file).toString().replace(File.separatorChar, '/'), Files.readAllBytes(file));
      }
    } else {
      try (JarFile jar = new JarFile(of.toFile())) {
        for (final Enumeration<JarEntry> entries = jar.entries(); entries.hasMoreElements();) {
          final JarEntry entry = entries.nextElement();
          if (!entry.isDirectory()) content.put(entry.getName(), jar.getInputStream(entry).readAllBytes());
        }
      }
    }
    return content;
  }

  Path jar(String name, Map<String, byte[]> content) throws IOException {
    final Path jar = folder.resolve(name);
    try (OutputStream file = Files.newOutputStream(jar); JarOutputStream out = new JarOutputStream(file)) {
      out.setLevel(Deflater.BEST_SPEED);
      final byte[] manifest = content.get(JarFile.MANIFEST_NAME); // first, where it is looked for
      if (manifest != null) put(out, JarFile.MANIFEST_NAME, manifest);
      for (Map.Entry<String, byte[]> entry : content.entrySet())
        if (!entry.getKey().equals(JarFile.MANIFEST_NAME)) put(out, entry.getKey(), entry.getValue());
    }
    return jar;
  }

  private static void put(JarOutputStream out, String name, byte[] bytes) throws IOException {
    out.putNextEntry(new JarEntry(name));
    out.write(bytes);
    out.closeEntry();
  }

  static Map<String, byte[]> steptuner() throws IOException {
    return content(placeOf(Device.class));
  }

  /** Step Tuner and both jars of JavaCPP. */
  List<Path> all() throws IOException {
    return List.of(jar("steptuner.jar", steptuner()), javacpp(), javacppNatives());
  }

  static Path javacpp() {
    return placeOf(Loader.class);
  }

  static Path javacppNatives() {
    return Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
        .filter(entry -> entry.matches(".*javacpp-[^/]*-linux-x86_64\\.jar")).map(Path::of).findFirst().orElseThrow();
  }

  /** The jar for GPUs, as the build makes it; where it was built without CUDA, with a library that is none for a device. */
  Path gpu() throws IOException {
    final Path built = placeOf(Device.class).resolveSibling("gpu-classes");
    if (hasCuda()) return jar("steptuner-gpu.jar", content(built));
    final Path classes = folder.resolve("gpu");
    javac(classes, List.of(jar("steptuner-of-gpu.jar", steptuner()), javacpp(), javacppNatives()), "-sourcepath", "src/main/gpu/java",
        "src/main/gpu/java/module-info.java", "src/main/gpu/java/" + GPU + "CudaLibrary.java");
    final Map<String, byte[]> content = content(classes);
    content.putAll(content(Path.of("src/main/gpu/resources")));
    content.put(GPU + "libsteptuner_cuda.so", Files.readAllBytes(placeOf(Device.class).resolve(NATIVES + "libsteptuner.so")));
    return jar("steptuner-gpu.jar", content);
  }

  /** What Device.cuda says where the GPU jar was found, on a machine without a GPU. */
  static String saidByGpuJar() {
    return hasCuda() ? "no CUDA device" : "libsteptuner_cuda.so is not a Step Tuner device library";
  }

  private static boolean hasCuda() {
    return Files.exists(placeOf(Device.class).resolveSibling("gpu-classes").resolve(GPU + "libsteptuner_cuda.so"));
  }

  /** The trainer's classes for the class path. */
  Path program() throws IOException {
    final Map<String, byte[]> content = new TreeMap<>();
    for (Map.Entry<String, byte[]> entry : content(placeOf(Program.class)).entrySet())
      if (entry.getKey().startsWith("program/")) content.put(entry.getKey(), entry.getValue());
    return jar("program.jar", content);
  }

  /** The trainer as a module, compiled against these modules. */
  Path programModule(List<Path> modules) throws IOException {
    final Path classes = folder.resolve("program-classes");
    javac(classes, modules, "src/test/resources/loading/module-info.java", "src/test/java/program/Program.java");
    return jar("program-module.jar", content(classes));
  }

  /** One jar of many, as maven-shade-plugin makes it without transformers: of two files with one name the first is kept. */
  Path merged(String name, String manifest, List<Path> jars) throws IOException {
    final Map<String, byte[]> content = new TreeMap<>();
    for (Path jar : jars) content(jar).forEach(content::putIfAbsent);
    content.put(JarFile.MANIFEST_NAME, ("Manifest-Version: 1.0\n" + manifest).getBytes(java.nio.charset.StandardCharsets.UTF_8));
    return jar(name, content);
  }

  /** Renames packages in names of files, in code, and in text constants that begin with them, as maven-shade-plugin does. */
  static Map<String, byte[]> relocated(Map<String, byte[]> content, String from, String to) {
    final String fromPath = from.replace('.', '/');
    final String toPath = to.replace('.', '/');
    final UnaryOperator<String> path = name -> name.startsWith(fromPath) ? toPath + name.substring(fromPath.length()) : name;
    final Remapper remapper = new Remapper() {
      @Override
      public String map(String name) {
        return path.apply(name);
      }

      @Override
      public Object mapValue(Object value) {
        if (!(value instanceof String text)) return super.mapValue(value);
        return text.startsWith(from) ? to + text.substring(from.length()) : path.apply(text);
      }
    };
    final Map<String, byte[]> result = new TreeMap<>();
    content.forEach((name, bytes) -> {
      if (name.endsWith("module-info.class")) return;
      byte[] changed = bytes;
      if (name.endsWith(".class")) {
        final ClassWriter writer = new ClassWriter(0);
        new ClassReader(bytes).accept(new ClassRemapper(writer, remapper), 0);
        changed = writer.toByteArray();
      }
      result.put(path.apply(name), changed);
    });
    return result;
  }

  static void tool(String name, String... arguments) {
    final ByteArrayOutputStream said = new ByteArrayOutputStream();
    final PrintWriter writer = new PrintWriter(said, true, java.nio.charset.StandardCharsets.UTF_8);
    final int status = ToolProvider.findFirst(name).orElseThrow().run(writer, writer, arguments);
    assertEquals(0, status, () -> name + ": " + said.toString(java.nio.charset.StandardCharsets.UTF_8));
  }

  private static void javac(Path output, List<Path> modules, String... arguments) throws IOException {
    Files.createDirectories(output); // javac warns of a class path that is not there
    final List<String> all =
        new ArrayList<>(List.of("--release", "17", "-Xlint:all", "-Werror", "-d", output.toString(), "-cp", output.toString(), "-p"));
    all.add(String.join(File.pathSeparator, modules.stream().map(Path::toString).toList()));
    all.addAll(List.of(arguments));
    tool("javac", all.toArray(String[]::new));
  }

  private static Path placeOf(Class<?> type) {
    try {
      return Path.of(type.getProtectionDomain().getCodeSource().getLocation().toURI());
    } catch (URISyntaxException e) {
      throw new AssertionError(e);
    }
  }
}
