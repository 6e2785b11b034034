// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.steptuner.tuner.TunerBuilder;

/** The peers that run in JVMs of their own, where bench/run has found their class paths. */
final class Peers {
  private Peers() {}

  private record Kind(String name, String property, String main, String ours, TunerBuilder<?> tuner) {}

  static List<ForkedPeer> start(Settings settings, Results results) throws IOException {
    final List<Kind> kinds =
        List.of(
            new Kind("ND4J AdamUpdater", "bench.nd4j", "org.steptuner.bench.nd4j.Nd4jPeer", "Adam", StepSuite.adam()),
            new Kind("DJL AdamW", "bench.djl", "org.steptuner.bench.djl.DjlPeer", StepSuite.ADAMW, StepSuite.adamW()));
    final List<ForkedPeer> peers = new ArrayList<>();
    for (Kind kind : kinds) {
      if (!settings.wants("step/" + kind.name)) continue;
      final String classPath = System.getProperty(kind.property, "");
      if (classPath.isEmpty()) {
        results.note(kind.name + " is left out: it could not be built or fetched");
        continue;
      }
      for (int threads : settings.threads()) {
        if (settings.quick() && threads == 1 && settings.threads().length > 1) continue;
        final ForkedPeer peer = new ForkedPeer(kind.name, classPath, kind.main, threads, kind.ours, kind.tuner);
        peers.add(peer);
        peer.check();
      }
    }
    return peers;
  }
}
