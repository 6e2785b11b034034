// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** What the numbers were taken on. */
final class Machine {
  private Machine() {}

  /** The processor, as the system calls it. */
  static String cpu() {
    for (String line : lines("/proc/cpuinfo")) if (line.startsWith("model name")) return line.substring(line.indexOf(':') + 1).trim();
    return "CPU";
  }

  static int processors() {
    return Runtime.getRuntime().availableProcessors();
  }

  static String java() {
    return System.getProperty("java.vm.name") + " " + System.getProperty("java.version");
  }

  static String caches() {
    final StringBuilder text = new StringBuilder();
    for (int i = 0; i < 8; ++i) {
      final List<String> level = lines("/sys/devices/system/cpu/cpu0/cache/index" + i + "/level");
      final List<String> type = lines("/sys/devices/system/cpu/cpu0/cache/index" + i + "/type");
      final List<String> size = lines("/sys/devices/system/cpu/cpu0/cache/index" + i + "/size");
      if (level.isEmpty() || type.isEmpty() || size.isEmpty() || type.get(0).startsWith("Instruction")) continue;
      text.append(text.length() == 0 ? "" : ", ").append("L").append(level.get(0)).append(' ').append(size.get(0));
    }
    return text.length() == 0 ? "unknown" : text.toString();
  }

  /** Processes that want a processor now: a machine is quiet below 1. */
  static String load() {
    final List<String> lines = lines("/proc/loadavg");
    return lines.isEmpty() ? "unknown" : lines.get(0).split(" ")[0];
  }

  private static List<String> lines(String file) {
    try {
      return Files.readAllLines(Path.of(file));
    } catch (IOException e) {
      return List.of();
    }
  }
}
