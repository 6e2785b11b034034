// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;

/**
 * What a step costs besides the step where gradients are allocated anew: 1,000 of them move, all to other addresses, each to a place in one
 * block of memory or to a mapping of its own; or they are set to zero. Against a step over the same tensors, in the same rounds.
 */
final class RebindSuite {
  static final String IN_ONE_BLOCK = "rebind: 1000 gradients, one block";
  static final String IN_MAPPINGS = "rebind: 1000 gradients, a mapping each";
  static final String ZERO = "zeroGradients: 1000 tensors";
  static final String STEP = "step over the 1000 tensors";
  static final int TENSORS = 1000;
  private static final int COUNT = 4000; // a step of 1 to 2 ms
  private static final int MAPPING = 4 * 4096; // bytes, enough for a tensor

  private RebindSuite() {}

  /** Gradients that are in one of two places in turn. */
  private record Rebind(String name, Optimizer optimizer, long[] parameters, long[] here, long[] there, boolean[] isThere)
      implements Contender {
    @Override
    public void run() {
      isThere[0] = !isThere[0];
      optimizer.rebind(parameters, isThere[0] ? there : here);
    }

    @Override
    public boolean countsAllocation() {
      return true;
    }
  }

  private record Zero(String name, Optimizer optimizer) implements Contender {
    @Override
    public void run() {
      optimizer.zeroGradients();
    }

    @Override
    public boolean countsAllocation() {
      return true;
    }
  }

  static void run(Settings settings, Results results) {
    results.header("Gradients that move, or are set to zero: against a step over the same tensors");
    for (int threads : settings.threads()) {
      if (!settings.wants("rebind/1000 gradients")) continue;
      final Shapes shapes = Shapes.many(TENSORS, COUNT);
      try (Model model = Model.of(shapes);
          Model other = Model.of(shapes);
          Mappings mappings = new Mappings(2 * TENSORS);
          Step step = Step.of(STEP, Device.cpu(threads), model.sharing(), StepSuite.adamW());
          Step moving = Step.of(IN_ONE_BLOCK, Device.cpu(threads), model.sharing(), StepSuite.adamW());
          Step mapped = Step.of(IN_MAPPINGS, Device.cpu(threads), model.sharing(), StepSuite.adamW());
          Step zeroing = Step.of(ZERO, Device.cpu(threads), other.sharing(), StepSuite.adamW())) {
        final long[] block = gradients(moving.optimizer());
        final List<Contender> all =
            List.of(
                step, new Rebind(
                    IN_ONE_BLOCK, moving.optimizer(), parameters(moving.optimizer()), block, gradients(zeroing.optimizer()),
                    new boolean[1]),
                new Rebind(
                    IN_MAPPINGS, mapped.optimizer(), parameters(mapped.optimizer()), mappings.every(0), mappings.every(1), new boolean[1]),
                new Zero(ZERO, zeroing.optimizer()));
        final Rounds rounds = Rounds.of(all, settings);
        for (int c = 1; c < all.size(); ++c)
          results.add(
              new Row(
                  all.get(c).name(), shapes.elements(), "float32", threads, Machine.cpu(), rounds.time(c), null, null, null, STEP,
                  rounds.ratio(c, 0), rounds.allocated(c)));
      }
    }
  }

  private static long[] parameters(Optimizer optimizer) {
    return optimizer.parameters().tensors().stream().mapToLong(ParameterSet.Tensor::parameterAddress).toArray();
  }

  private static long[] gradients(Optimizer optimizer) {
    return optimizer.parameters().tensors().stream().mapToLong(ParameterSet.Tensor::gradientAddress).toArray();
  }

  /** Mappings no two of which the system can join: between what they show of a file is something that none does. */
  private static final class Mappings implements AutoCloseable {
    private final List<Pointer> pointers = new ArrayList<>();

    Mappings(int count) {
      try {
        final Path file = Files.createTempFile("gradients", null);
        try (FileChannel channel =
            FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE, StandardOpenOption.DELETE_ON_CLOSE)) {
          channel.truncate(0);
          for (int i = 0; i < count; ++i)
            pointers.add(new Pointer(channel.map(FileChannel.MapMode.READ_WRITE, 2L * MAPPING * i, MAPPING)));
        }
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }

    long[] every(int second) {
      final long[] addresses = new long[TENSORS];
      for (int t = 0; t < TENSORS; ++t) addresses[t] = pointers.get(2 * t + second).address();
      return addresses;
    }

    @Override
    public void close() {
      pointers.forEach(Pointer::close);
    }
  }
}
