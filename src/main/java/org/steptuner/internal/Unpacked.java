// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.bytedeco.javacpp.Loader;

/**
 * Libraries as files, for the linker. JavaCPP unpacks them to its cache and takes a file that is there by its size and time; here its
 * content is compared too, because a damaged library can end the process, and because jars of two versions may have the same times.
 */
final class Unpacked {
  private static final int BLOCK = 1 << 16;

  private Unpacked() {}

  /** The file of a resource: itself if it is one, else a copy in the cache. */
  static Path file(URL resource) throws IOException, URISyntaxException {
    return resource.getProtocol().equals("file") ? Path.of(resource.toURI()) : cached(resource, resource);
  }

  /** A copy in the cache, with another name. */
  static Path copy(URL resource, String name) throws IOException {
    return cached(resource, new URL(resource + "#" + name));
  }

  private static Path cached(URL resource, URL named) throws IOException {
    File file = Loader.cacheResource(named);
    if (same(resource, file)) return file.toPath();
    Files.deleteIfExists(file.toPath());
    file = Loader.cacheResource(named);
    if (same(resource, file)) return file.toPath();
    throw new IOException(file + " differs from " + resource + ", although it has just been unpacked");
  }

  private static boolean same(URL resource, File file) throws IOException {
    try (InputStream wanted = resource.openStream(); InputStream found = new FileInputStream(file)) {
      while (true) {
        final byte[] block = wanted.readNBytes(BLOCK);
        if (!Arrays.equals(block, found.readNBytes(BLOCK))) return false;
        if (block.length < BLOCK) return true;
      }
    }
  }
}
