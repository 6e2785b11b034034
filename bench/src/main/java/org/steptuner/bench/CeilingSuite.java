// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.ArrayList;
import java.util.List;
import org.steptuner.DataType;

/** What the machine moves: copy and triad, with stores through the caches and past them. */
final class CeilingSuite {
  private CeilingSuite() {}

  private record Stream(String name, int words, Runnable body) implements Contender {
    @Override
    public void run() {
      body.run();
    }
  }

  static void run(Settings settings, Results results) {
    if (!settings.wants("ceiling")) return;
    results.header("Ceilings of this machine");
    for (long size : settings.sizes()) {
      try (Memory to = Memory.filled(DataType.FLOAT32, size, 1, 1);
          Memory a = Memory.filled(DataType.FLOAT32, size, 2, 1);
          Memory b = Memory.filled(DataType.FLOAT32, size, 3, 1)) {
        for (int threads : settings.threads()) {
          final List<Stream> streams = new ArrayList<>();
          for (int bypass = 0; bypass < 2; ++bypass) {
            final int past = bypass;
            final String how = past == 1 ? ", streaming stores" : "";
            streams.add(new Stream("copy" + how, 2, () -> Streams.copy(to.address(), a.address(), size, threads, past)));
            streams.add(
                new Stream("triad" + how, 3, () -> Streams.triad(to.address(), a.address(), b.address(), .5f, size, threads, past)));
          }
          final Rounds rounds = Rounds.of(streams, settings);
          for (int s = 0; s < streams.size(); ++s) {
            final double time = rounds.time(s);
            final int words = streams.get(s).words();
            results.add(new Row(streams.get(s).name(), size, "float32", threads, Machine.cpu(), time, (double) words,
                words * 4.0 * size / time, null, null, null, null));
          }
        }
      }
    }
  }
}
