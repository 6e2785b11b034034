// SPDX-License-Identifier: Apache-2.0
package program;

import java.io.File;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Runs the trainer in class loaders of its own, as application servers do: {@code PARENT CHILD TIMES} are the class path of a loader that
 * all share, that of each trainer's own loader, and how many trainers there are. All stay loaded.
 */
public final class Loaders {
  private Loaders() {}

  public static void main(String[] arguments) throws Exception {
    final List<ClassLoader> open = new ArrayList<>();
    final ClassLoader shared = new URLClassLoader(urls(arguments[0]), ClassLoader.getPlatformClassLoader());
    for (int i = 0; i < Integer.parseInt(arguments[2]); ++i) {
      final ClassLoader own = new URLClassLoader(urls(arguments[1]), shared);
      open.add(own);
      own.loadClass("program.Program").getMethod("main", String[].class).invoke(null, (Object) new String[0]);
    }
    System.out.println("loaders|" + open.size());
  }

  private static URL[] urls(String path) throws Exception {
    final List<URL> urls = new ArrayList<>();
    for (String entry : path.split(File.pathSeparator)) if (!entry.isEmpty()) urls.add(Path.of(entry).toUri().toURL());
    return urls.toArray(URL[]::new);
  }
}
