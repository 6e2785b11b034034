// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.steptuner.Device;
import org.steptuner.tuner.TunerBuilder;

/** Shapes that hurt, against one tensor of as many elements at a good address, in the same rounds; and against libtorch. */
final class ShapeSuite {
  private ShapeSuite() {}

  static void run(Settings settings, Results results) {
    results.header("Shapes: against one tensor of as many elements (ours), and against libtorch with the same shapes");
    final long primes = 9_999_991; // a prime: no vector, line, chunk or thread divides it
    final List<Shapes> all =
        List.of(
            Shapes.many(10_000, 1_000), Shapes.transformer(), Shapes.one(50_000_000).skewed(4), Shapes.one(primes),
            Shapes.one(primes).skewed(4), Shapes.many(997, 10_007).skewed(4), Shapes.many(100_000, 7));
    for (Shapes shapes : all)
      for (int threads : settings.threads()) {
        if (settings.quick() && (threads == 1 || shapes.tensors() == 1 && shapes.elements() > primes)) continue;
        for (String tuner : List.of(StepSuite.ADAMW, StepSuite.MECHANIC)) {
          final Supplier<TunerBuilder<?>> builder = tuner.equals(StepSuite.ADAMW) ? StepSuite::adamW : StepSuite::mechanic;
          if (settings.wants("shape/" + shapes.name() + "/" + tuner)) one(shapes, threads, tuner, builder, settings, results);
        }
      }
  }

  private static void one(
      Shapes shapes, int threads, String tuner, Supplier<TunerBuilder<?>> builder, Settings settings, Results results) {
    Torch.threads(threads);
    final Shapes plain = Shapes.one(shapes.elements());
    final Device device = Device.cpu(threads);
    final List<Contender> all = new ArrayList<>();
    try (Model gradients = Model.of(shapes);
        Model plainGradients = Model.of(plain)) {
      all.add(Step.of(tuner, device, gradients.sharing(), builder.get()));
      all.add(Step.of("one tensor", device, plainGradients.sharing(), builder.get()));
      if (tuner.equals(StepSuite.ADAMW)) all.add(new Torch.FusedAdamW(gradients.sharing()));
      final Rounds rounds = Rounds.of(all, settings);
      final double time = rounds.time(0);
      final double words = ((Step) all.get(0)).words();
      for (int p = 1; p < all.size(); ++p)
        results.add(
            new Row(tuner + ": " + shapes.name(), shapes.elements(), "float32", threads, Machine.cpu(), time, words,
                words * 4 * shapes.elements() / time, null, all.get(p).name(), rounds.ratio(0, p), rounds.allocated(0)));
    } finally {
      all.forEach(Contender::close);
    }
  }
}
