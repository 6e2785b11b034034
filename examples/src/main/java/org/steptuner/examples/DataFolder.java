// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/**
 * Finds the folder with Fashion-MNIST. In this order: the folder that the user named, the environment variable STEPTUNER_DATA, where
 * Debian's package puts it, the cache of an earlier run; else the package is fetched into the cache.
 *
 * <p>A folder that the user named must hold the data: falling back to another would hide a slip of the pen.
 */
final class DataFolder {
  static final String VARIABLE = "STEPTUNER_DATA";

  /** Brings the data into a folder. */
  interface Fetcher {
    /**
     * @param folder appears whole or not at all
     * @throws DataException if the data cannot be had
     */
    void fetch(Path folder);
  }

  private final Map<String, String> environment;
  private final Path system;
  private final Fetcher fetcher;
  private final Consumer<String> log;

  /**
   * @param environment the variables of the process
   * @param system where the package would be installed
   */
  DataFolder(Map<String, String> environment, Path system, Fetcher fetcher, Consumer<String> log) {
    this.environment = environment;
    this.system = system;
    this.fetcher = fetcher;
    this.log = log;
  }

  /**
   * @param named by the user, or null
   * @return a folder that has all four files
   * @throws DataException if there is none and the data cannot be fetched
   */
  Path find(Path named) {
    if (named != null) return checked(named, "--data");
    final String variable = environment.get(VARIABLE);
    if (variable != null && !variable.isBlank()) return checked(Path.of(variable), VARIABLE);
    if (FashionMnist.missing(system).isEmpty()) return system;
    final Path cache = cache();
    if (!FashionMnist.missing(cache).isEmpty()) {
      log.accept("Fetching Fashion-MNIST (31 MB, once) into " + cache);
      fetcher.fetch(cache);
    }
    return cache;
  }

  /** Where a fetched copy is kept. */
  Path cache() {
    final String base = environment.get("XDG_CACHE_HOME");
    final Path caches =
        base != null && !base.isBlank() ? Path.of(base) : Path.of(environment.getOrDefault("HOME", "."), ".cache");
    return caches.resolve("steptuner").resolve("fashion-mnist");
  }

  private static Path checked(Path folder, String source) {
    final List<String> missing = FashionMnist.missing(folder);
    if (!missing.isEmpty())
      throw new DataException(
          "the folder given by " + source + ", " + folder + ", lacks " + String.join(", ", missing) + " (plain or .gz)");
    return folder;
  }
}
