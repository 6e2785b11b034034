// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * Finds the folder with some data, Fashion-MNIST above all. In this order: the folder that the user named, an environment variable
 * (STEPTUNER_DATA), where Debian's package puts it, the cache of an earlier run; else the package is fetched into the cache.
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
  private final String variable;
  private final Path system;
  private final String name;
  private final Function<Path, List<String>> missing;
  private final Fetcher fetcher;
  private final String announcement;
  private final Consumer<String> log;

  /**
   * @param environment the variables of the process
   * @param variable the one that may name the folder
   * @param system where the package would be installed
   * @param name of the folder in the cache
   * @param missing the files that a folder lacks
   * @param announcement what is logged before fetching
   */
  DataFolder(
      Map<String, String> environment, String variable, Path system, String name, Function<Path, List<String>> missing,
      Fetcher fetcher, String announcement, Consumer<String> log) {
    this.environment = environment;
    this.variable = variable;
    this.system = system;
    this.name = name;
    this.missing = missing;
    this.fetcher = fetcher;
    this.announcement = announcement;
    this.log = log;
  }

  /** Of Fashion-MNIST. */
  DataFolder(Map<String, String> environment, Path system, Fetcher fetcher, Consumer<String> log) {
    this(
        environment, VARIABLE, system, "fashion-mnist", FashionMnist::missing, fetcher, "Fetching Fashion-MNIST (31 MB, once)", log);
  }

  /**
   * @param named by the user, or null
   * @return a folder that has all files
   * @throws DataException if there is none and the data cannot be fetched
   */
  Path find(Path named) {
    if (named != null) return checked(named, "--data");
    final String value = environment.get(variable);
    if (value != null && !value.isBlank()) return checked(Path.of(value), variable);
    if (missing.apply(system).isEmpty()) return system;
    final Path cache = cache();
    if (!missing.apply(cache).isEmpty()) {
      log.accept(announcement + " into " + cache);
      fetcher.fetch(cache);
    }
    return cache;
  }

  /** Where a fetched copy is kept. */
  Path cache() {
    final String base = environment.get("XDG_CACHE_HOME");
    final Path caches =
        base != null && !base.isBlank() ? Path.of(base) : Path.of(environment.getOrDefault("HOME", "."), ".cache");
    return caches.resolve("steptuner").resolve(name);
  }

  private Path checked(Path folder, String source) {
    final List<String> lacking = missing.apply(folder);
    if (!lacking.isEmpty())
      throw new DataException("the folder given by " + source + ", " + folder + ", lacks " + String.join(", ", lacking));
    return folder;
  }
}
