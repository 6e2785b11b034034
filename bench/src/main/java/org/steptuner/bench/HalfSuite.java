// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.ArrayList;
import java.util.List;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.tuner.TunerBuilder;

/**
 * Steps with 16-bit state, and with 16-bit parameters and gradients too, against libtorch's fused AdamW in float32: what people run. All in one
 * group of rounds.
 */
final class HalfSuite {
  static final String ADAMW_STATE = StepSuite.ADAMW + ", state bfloat16";
  static final String ADAMW_ALL = StepSuite.ADAMW + ", all bfloat16";
  static final String MECHANIC_STATE = StepSuite.MECHANIC + ", state bfloat16";
  static final String MECHANIC_ALL = StepSuite.MECHANIC + ", all bfloat16";
  static final String PRODIGY_STATE = StepSuite.PRODIGY + ", state bfloat16";
  static final long[] SIZES = {10_000_000, 50_000_000};

  /** @param bytes that a step moves per element, counted by hand: x, g, m, v twice where they are written, Delta three times, reference once */
  private record Kind(String name, TunerBuilder<?> tuner, DataType model, int bytes) {}

  private HalfSuite() {}

  private static List<Kind> kinds() {
    final DataType half = DataType.BFLOAT16;
    return List.of(
        new Kind(StepSuite.ADAMW, StepSuite.adamW(), DataType.FLOAT32, 28),
        new Kind(ADAMW_STATE, StepSuite.adamW().stateStorage(half), DataType.FLOAT32, 20),
        new Kind(ADAMW_ALL, StepSuite.adamW().stateStorage(half), half, 14),
        new Kind(StepSuite.MECHANIC, StepSuite.mechanic(), DataType.FLOAT32, 44),
        new Kind(MECHANIC_STATE, StepSuite.mechanic().stateStorage(half), DataType.FLOAT32, 30),
        new Kind(MECHANIC_ALL, StepSuite.mechanic().stateStorage(half), half, 22),
        new Kind(PRODIGY_STATE, StepSuite.prodigy().stateStorage(half), DataType.FLOAT32, 36));
  }

  static void run(Settings settings, Results results) {
    if (!settings.wants("step/half")) return;
    for (long size : SIZES) {
      if (settings.quick() && size != SIZES[0]) continue;
      results.header("Steps over one tensor of " + size + " elements, state in bfloat16");
      for (int threads : settings.threads()) steps(Shapes.one(size), threads, settings, results);
    }
  }

  private static void steps(Shapes shapes, int threads, Settings settings, Results results) {
    Torch.threads(threads);
    final List<Contender> all = new ArrayList<>();
    final List<Kind> kinds = kinds();
    try (Model floats = Model.of(shapes);
        Model halves = Model.of(shapes, DataType.BFLOAT16)) {
      for (Kind kind : kinds) {
        final Model model = kind.model == DataType.FLOAT32 ? floats : halves;
        all.add(Step.of(kind.name, Device.cpu(threads), model.sharing(), kind.tuner));
      }
      all.add(new Torch.FusedAdamW(floats.sharing()));
      final Rounds rounds = Rounds.of(all, settings);
      final int peer = kinds.size();
      for (int i = 0; i < kinds.size(); ++i) {
        final Kind kind = kinds.get(i);
        final double time = rounds.time(i);
        results.add(
            new Row(
                kind.name, shapes.elements(), kind.model.name().toLowerCase(java.util.Locale.ROOT), threads, Machine.cpu(), time,
                ((Step) all.get(i)).words(), (double) kind.bytes * shapes.elements() / time, null, all.get(peer).name(),
                rounds.ratio(i, peer), rounds.allocated(i)));
      }
      results.add(
          new Row(
              all.get(peer).name(), shapes.elements(), "float32", threads, Machine.cpu(), rounds.time(peer), null, null, null, null, null,
              null));
    } finally {
      all.forEach(Contender::close);
    }
  }
}
