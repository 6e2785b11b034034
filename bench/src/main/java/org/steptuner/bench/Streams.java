// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.io.IOException;
import java.net.URL;
import java.nio.file.Path;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Name;
import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;

/** The functions of {@code streams.h}, by address, and the library that they and the twin are in. */
@Platform(include = "streams.h", link = "steptuner_twin", library = "jnisteptunerbench")
@NoException
public final class Streams {
  static {
    Loader.load();
  }

  private Streams() {}

  @Name("bench_copy")
  public static native void copy(@Cast("float*") long to, @Cast("const float*") long a, long count, int threads, int bypass);

  @Name("bench_triad")
  public static native void triad(
      @Cast("float*") long to, @Cast("const float*") long a, @Cast("const float*") long b, float scale, long count, int threads,
      int bypass);

  @Name("bench_fill")
  public static native void fill(@Cast("void*") long to, int type, long count, long seed, double scale);

  /** The twin as a device library. */
  public static Path twinLibrary() {
    final URL resource = Streams.class.getResource(Loader.getPlatform() + "/libsteptuner_twin.so");
    if (resource == null) throw new IllegalStateException("the twin is not built; run bench/run");
    try {
      return Loader.cacheResource(resource).toPath();
    } catch (IOException e) {
      throw new IllegalStateException("cannot extract " + resource, e);
    }
  }
}
