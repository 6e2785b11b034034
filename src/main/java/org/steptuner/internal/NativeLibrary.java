// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

import java.io.IOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.util.ServiceConfigurationError;
import java.util.ServiceLoader;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.DeviceException;
import org.steptuner.spi.DeviceLibrary;

/**
 * Loads the native libraries when a device is first asked for. What failed is not tried again: whoever asks later is told the same reason.
 *
 * <p>JavaCPP unpacks the libraries. This class loads them, so that they belong to its own class loader, wherever JavaCPP is, and so that
 * the linker's reason is known.
 */
public final class NativeLibrary {
  /** The version of JavaCPP that the bridge is made with, and the platform of the libraries. */
  static final String JAVACPP = "1.5.13";
  static final String PLATFORM = "linux-x86_64";

  private static final String KERNELS = "libsteptuner.so";
  private static final String BRIDGE = "jnisteptuner";
  private static final int MOST_COPIES = 1000;

  private interface Step {
    void run() throws IOException, LoadingException, URISyntaxException;
  }

  /** An attempt that is made once. */
  private static final class Once {
    private final String what;
    private final Step step;
    private volatile boolean done;
    private DeviceException failure;

    Once(String what, Step step) {
      this.what = what;
      this.step = step;
    }

    void run() {
      if (!done) first();
    }

    private synchronized void first() {
      if (done) return;
      if (failure != null) throw new DeviceException(failure.getMessage(), failure.getCause());
      try {
        attempt(what, step);
        done = true;
      } catch (DeviceException e) {
        failure = e;
        throw e;
      }
    }
  }

  private static final Once CPU = new Once("its native library", NativeLibrary::loadCpu);
  private static final Once CUDA = new Once("its CUDA library", NativeLibrary::loadCuda);
  private static String cudaPath; // null if no jar brings that library; known when CUDA has run

  private NativeLibrary() {}

  /**
   * Loads the CPU library and the bridge to it, unless that has been done.
   *
   * @throws DeviceException if that fails, or has failed before: why, and what to do
   */
  public static void load() {
    CPU.run();
  }

  /**
   * The path of the CUDA library that a jar brings, loaded; null if none does.
   *
   * @throws DeviceException if there is one that cannot be loaded, or the CPU library cannot: why, and what to do
   */
  public static String cuda() {
    CPU.run();
    CUDA.run();
    return cudaPath;
  }

  private static void loadCpu() throws IOException, LoadingException, URISyntaxException {
    checkNames();
    checkPlatform();
    mendJavaCpp(); // the bridge starts JavaCPP, which loads it
    loadOwn();
    loadJavaCpp();
    Natives.checkVersion();
  }

  private static void loadCuda() throws IOException, URISyntaxException {
    for (DeviceLibrary library : ServiceLoader.load(DeviceLibrary.class, NativeLibrary.class.getClassLoader())) {
      final URL resource = library.platform().equals(Loader.getPlatform()) ? library.resource() : null;
      if (resource == null) continue;
      final String path = Unpacked.file(resource).toString();
      loadShared(path);
      cudaPath = path;
      return;
    }
  }

  /** Unpacking locks files, which an interrupted thread may not: the interrupt waits until this is done. */
  private static void attempt(String what, Step step) {
    boolean interrupted = Thread.interrupted();
    try {
      while (true) {
        try {
          step.run();
          return;
        } catch (IOException | LoadingException | URISyntaxException | RuntimeException | LinkageError | ServiceConfigurationError e) {
          if (!Thread.interrupted()) throw new DeviceException(LoadFailure.message(what, e), e);
          interrupted = true;
        }
      }
    } finally {
      if (interrupted) Thread.currentThread().interrupt();
    }
  }

  /** Native methods are found by the names of their packages. Joined here, because tools that rename packages change literals too. */
  private static void checkNames() throws LoadingException {
    final String ours = String.join(".", "org", "steptuner");
    checkName(NativeLibrary.class, ours, "internal");
    checkName(Loader.class, String.join(".", "org", "bytedeco"), "javacpp");
  }

  private static void checkName(Class<?> type, String family, String last) throws LoadingException {
    final String expected = family + "." + last;
    if (type.getPackageName().equals(expected)) return;
    throw new LoadingException(
        "the package " + expected + " has been renamed to " + type.getPackageName() + ", and native code is bound to the first name",
        "exclude it from relocation, in maven-shade-plugin by <exclude>" + family + ".**</exclude> in the <excludes> of the <relocation>");
  }

  private static void checkPlatform() throws LoadingException {
    final String platform = Loader.getPlatform();
    if (platform.equals(PLATFORM)) return;
    throw new LoadingException(
        "there is none for " + platform + ", which is the platform that JavaCPP found (os.name " + System.getProperty("os.name")
            + ", os.arch " + System.getProperty("os.arch") + ")",
        "run it on Linux on x86-64, with a 64-bit JVM, and without the system property org.bytedeco.javacpp.platform");
  }

  private static void loadOwn() throws IOException, LoadingException, URISyntaxException {
    final URL kernels = Natives.class.getResource(PLATFORM + "/" + KERNELS);
    final URL bridge = Natives.class.getResource(PLATFORM + "/lib" + BRIDGE + ".so");
    try {
      if (kernels == null || bridge == null)
        throw new LoadingException(
            "it is not among the resources of " + Natives.class.getPackageName() + " (" + PLATFORM + "/" + KERNELS + ", lib" + BRIDGE
                + ".so)",
            "take the whole jar of org.steptuner:steptuner: minimized and filtered jars must keep its *.so files");
      loadShared(Unpacked.file(kernels).toString());
      loadBridge(bridge);
    } catch (IOException | UnsatisfiedLinkError | LoadingException e) {
      // Where nothing can be unpacked, administrators put libraries on java.library.path.
      try {
        System.loadLibrary(BRIDGE);
      } catch (UnsatisfiedLinkError notThereEither) {
        e.addSuppressed(notThereEither);
        throw e;
      }
    }
  }

  /** A library that several class loaders may use: it has no native methods, and is in the process once. */
  private static void loadShared(String path) {
    try {
      System.load(path);
    } catch (UnsatisfiedLinkError e) {
      if (!isOfAnotherLoader(e)) throw e;
    }
  }

  /** The bridge belongs to one class loader; another one, as of an application that is deployed again, gets a copy of the file. */
  private static void loadBridge(URL bridge) throws IOException, URISyntaxException {
    UnsatisfiedLinkError taken = null;
    for (int copy = 0; copy < MOST_COPIES; ++copy) {
      try {
        System.load((copy == 0 ? Unpacked.file(bridge) : Unpacked.copy(bridge, "lib" + BRIDGE + "-" + copy + ".so")).toString());
        return;
      } catch (UnsatisfiedLinkError e) {
        if (!isOfAnotherLoader(e)) throw e;
        taken = e;
      }
    }
    throw taken;
  }

  private static boolean isOfAnotherLoader(UnsatisfiedLinkError e) {
    return String.valueOf(e.getMessage()).contains("already loaded in another classloader");
  }

  /**
   * JavaCPP's own native methods, through which buffers and strings go. The bridge has them too, which serves where JavaCPP is in the same
   * class loader.
   */
  private static void loadJavaCpp() throws IOException, LoadingException {
    UnsatisfiedLinkError reason = null;
    try {
      Loader.load(Pointer.class);
    } catch (UnsatisfiedLinkError e) {
      reason = e; // which does not matter if the methods are there
    }
    try {
      Pointer.physicalBytes();
      return;
    } catch (UnsatisfiedLinkError e) {
      if (reason == null) reason = e;
    }
    if (!Loader.isLoadLibraries())
      throw new LoadingException(
          "JavaCPP, which it needs, was told to load none", "leave out the system property org.bytedeco.javacpp.loadlibraries", reason);
    if (nativesOfJavaCpp() == null)
      throw new LoadingException(
          "that of JavaCPP, which it needs, is missing",
          "add the jar org.bytedeco:javacpp:" + JAVACPP + " with classifier " + PLATFORM + " to that of JavaCPP", reason);
    throw reason;
  }

  /** Unpacks JavaCPP's own library, if the copy in the cache is damaged. */
  private static void mendJavaCpp() throws URISyntaxException {
    try {
      final URL resource = nativesOfJavaCpp();
      if (resource != null && !Loader.getLoadedLibraries().containsKey("jnijavacpp")) Unpacked.file(resource);
    } catch (IOException e) {
      return; // JavaCPP meets the same reason, if it needs the file
    }
  }

  private static URL nativesOfJavaCpp() throws IOException {
    return Loader.findResource(Loader.class, PLATFORM + "/libjnijavacpp.so");
  }
}
