// SPDX-License-Identifier: Apache-2.0
package org.steptuner.torture;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;

/** The process that {@link KillSaves} kills: trains and saves without end, from where the last one was killed. */
final class KilledSaver {
  private KilledSaver() {}

  /** The orders come as a line of the input: mode, elements, marker, folder. The end of the input ends the process. */
  public static void main(String[] arguments) throws IOException {
    final BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    // What takes time in a new JVM is done before the orders come.
    new Uniform(1).close();
    final String line = input.readLine();
    if (line == null) return;
    final String[] orders = line.split("\t");
    endWith(input);
    final SaveMode mode = SaveMode.valueOf(orders[0]);
    final SaveMarker marker = SaveMarker.map(Path.of(orders[2]));
    final Path folder = Path.of(orders[3]);
    try (Uniform run = new Uniform(Integer.parseInt(orders[1]))) {
      final List<Path> files = mode.files(folder);
      if (!files.isEmpty()) run.optimizer().restore(files.get(files.size() - 1));
      marker.start(files.isEmpty() ? -1 : run.optimizer().steps());
      final SaveMode.Saver saver = mode.open(run.optimizer(), folder);
      while (true) {
        run.optimizer().step();
        marker.begin(run.optimizer().steps());
        final long begin = System.nanoTime();
        final long saved = saver.save();
        marker.complete(Math.max(saved, marker.completed()), System.nanoTime() - begin);
      }
    }
  }

  private static void endWith(BufferedReader input) {
    final Thread watch =
        new Thread(
            () -> {
              try {
                while (input.readLine() != null) Thread.onSpinWait();
              } catch (IOException e) {
                // the same as the end
              }
              Runtime.getRuntime().halt(1);
            },
            "end of input");
    watch.setDaemon(true);
    watch.start();
  }
}
