// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.steptuner.CheckpointException;
import org.steptuner.CheckpointInfo;
import org.steptuner.DataType;
import org.steptuner.DeviceException;
import org.steptuner.RestoreOptions;
import org.steptuner.Restored;

/** Reads checkpoints. Everything that is used is checked before anything changes. */
public final class CheckpointReader {
  /**
   * An array of the file, and where it goes.
   *
   * @param bytes in the file
   * @param type of the elements there; null where it does not matter
   */
  private record Transfer(String entry, String slot, int tensor, long bytes, DataType type) {}

  private CheckpointReader() {}

  /** What is in a file, all of which is checked. */
  public static CheckpointInfo info(Path file) {
    return Archive.read(file, archive -> {
      final Manifest manifest = ManifestLines.read(archive, List.of());
      final List<CheckpointInfo.Tensor> tensors = new ArrayList<>();
      for (int t = 0; t < manifest.tensors().size(); ++t) {
        final Manifest.Tensor tensor = manifest.tensors().get(t);
        tensors.add(new CheckpointInfo.Tensor(tensor.name(), tensor.group(), tensor.type(), tensor.count()));
        archive.check(Checkpoint.entry(null, t), tensor.count() * tensor.type().bytes());
        for (String slot : manifest.slots())
          archive.check(Checkpoint.entry(slot, t), manifest.storage(slot).bytes(tensor.type(), tensor.count()));
      }
      return new CheckpointInfo(
          manifest.version(), manifest.steps(), manifest.skippedSteps(), manifest.tuner().name(), manifest.tuner().values(), tensors,
          archive.callersEntries(manifest.entries()));
    });
  }

  /**
   * Whether an archive has all entries that its manifest speaks of, each once. Zip files have no checksum of names. A manifest that cannot
   * be read, as one of a later version, speaks of none.
   */
  static boolean hasAllEntries(Archive archive) throws IOException {
    final Manifest manifest;
    try {
      manifest = ManifestLines.read(archive, List.of());
    } catch (CheckpointException e) {
      return archive.has(Checkpoint.MANIFEST);
    }
    for (int t = 0; t < manifest.tensors().size(); ++t) {
      if (!archive.has(Checkpoint.entry(null, t))) return false;
      for (String slot : manifest.slots()) if (!archive.has(Checkpoint.entry(slot, t))) return false;
    }
    return manifest.entries() == null || manifest.entries().stream().allMatch(name -> archive.has(Archive.CALLER + name));
  }

  /** Restores an optimizer, of which nothing has changed if the file is refused. */
  static Restored restore(BoundOptimizer optimizer, Path file, RestoreOptions options) {
    return Archive.read(file, archive -> {
      final Manifest now = Manifest.of(optimizer);
      final Manifest saved = ManifestLines.read(archive, hints(now, options));
      if (!saved.tuner().isFrozen() || now.tuner().isFrozen())
        return restore(optimizer, archive, saved, now, optimizer.stepping(), options, () -> {});
      final Succession frozen = Succession.restoringFrozen(optimizer);
      final boolean[] taken = {false};
      try {
        return restore(optimizer, archive, saved, Manifest.of(optimizer, frozen), frozen.steps(), options, () -> {
          taken[0] = true;
          frozen.take();
        });
      } finally {
        if (!taken[0]) frozen.discard();
      }
    });
  }

  /**
   * Restores an optimizer.
   *
   * @param here what a checkpoint of it would say, with the steps that it is to go on with
   * @param steps those
   * @param begin lets it go on with them, once nothing can be refused any more
   */
  private static Restored restore(
      BoundOptimizer optimizer, Archive archive, Manifest saved, Manifest here, Steps steps, RestoreOptions options, Runnable begin)
      throws IOException {
    final Path file = archive.file();
    final Match match = new Match(file, saved, here, options);
    final Map<String, double[]> scalars = match.scalars(steps.freshScalars());
    final Map<String, byte[]> entries = archive.callersEntries(saved.entries());
    final List<Transfer> parameters = new ArrayList<>();
    final List<Transfer> rests = new ArrayList<>(); // of the parameters
    final List<Transfer> state = new ArrayList<>();
    final boolean[] written = new boolean[here.tensors().size()]; // others than those of the file, which have no rest
    for (int t = 0; t < written.length; ++t) {
      written[t] = match.source(t) < 0;
      if (written[t]) continue;
      parameters.add(parameters(t, saved, match));
      for (String slot : here.slots())
        if (here.storage(slot) == Storage.REST) rests.add(transfer(slot, t, saved, match));
        else if (!match.restarts(t)) state.add(transfer(slot, t, saved, match));
    }
    for (List<Transfer> transfers : List.of(parameters, rests, state))
      for (Transfer transfer : transfers) archive.check(transfer.entry, transfer.bytes);
    writing(archive.file(), () -> {
      optimizer.evaluation.training(); // parameters that stay must be those of training
      begin.run();
      final boolean[] kept = options.keepsParameters() ? others(optimizer, archive, parameters) : null;
      if (kept == null) write(optimizer, archive, parameters);
      else for (int t = 0; t < written.length; ++t) written[t] |= kept[t];
      rests.removeIf(rest -> written[rest.tensor]);
      write(optimizer, archive, rests);
      optimizer.plan.clearRest(written);
      if (match.startsSome()) optimizer.startState();
      write(optimizer, archive, state);
      optimizer.evaluation.restored();
      optimizer.stepping().resume(saved.steps(), saved.skippedSteps(), scalars, match.changedScopes());
      if (kept != null) optimizer.parametersDiffer(kept);
    });
    return match.report(entries);
  }

  private static List<Manifest.Tensor> hints(Manifest here, RestoreOptions options) {
    return here.tensors().stream()
        .map(
            tensor -> new Manifest.Tensor(
                options.renamed().getOrDefault(tensor.name(), tensor.name()), tensor.group(), tensor.count(), tensor.type()))
        .toList();
  }

  private static Transfer transfer(String slot, int tensor, Manifest saved, Match match) {
    final Manifest.Tensor source = saved.tensors().get(match.source(tensor));
    final Storage storage = saved.storage(slot);
    return new Transfer(
        Checkpoint.entry(slot, match.source(tensor)), slot, tensor, storage.bytes(source.type(), source.count()),
        storage.type(source.type()));
  }

  private static Transfer parameters(int tensor, Manifest saved, Match match) {
    final Manifest.Tensor source = saved.tensors().get(match.source(tensor));
    return new Transfer(Checkpoint.entry(null, match.source(tensor)), null, tensor, source.count() * source.type().bytes(), null);
  }

  /** By tensor: whether its parameters are others than those of the file, which its state belongs to. */
  private static boolean[] others(BoundOptimizer optimizer, Archive archive, List<Transfer> parameters) throws IOException {
    final boolean[] differ = new boolean[optimizer.parameters().tensors().size()];
    for (Transfer transfer : parameters) {
      final int tensor = transfer.tensor;
      differ[tensor] = transfer.bytes != optimizer.plan.bytes(null, tensor);
      if (differ[tensor]) continue; // of another type
      archive.array(transfer.entry, transfer.bytes, (offset, bytes, count) -> {
        final byte[] here = new byte[count];
        optimizer.plan.read(null, tensor, offset, here, count);
        differ[tensor] |= !Arrays.equals(here, 0, count, bytes, 0, count);
      });
    }
    return differ;
  }

  private interface Writing {
    void run() throws IOException;
  }

  /** What fails here leaves the optimizer with one part of the file and one part of its own, and says so. */
  private static void writing(Path file, Writing work) {
    try {
      work.run();
    } catch (IOException e) {
      throw new UncheckedIOException(inPart(file, e), e);
    } catch (CheckpointException e) {
      throw new CheckpointException(inPart(file, e), e);
    } catch (DeviceException e) {
      throw new DeviceException(inPart(file, e), e);
    }
  }

  private static String inPart(Path file, Exception e) {
    return file + " was restored in part only, and the optimizer must not make a step before it is restored as a whole: " + e.getMessage();
  }

  private static void write(BoundOptimizer optimizer, Archive archive, List<Transfer> transfers) throws IOException {
    final Plan plan = optimizer.plan;
    for (Transfer transfer : transfers) {
      final boolean same = transfer.type == null || transfer.type == plan.type(transfer.slot, transfer.tensor);
      archive.array(
          transfer.entry, transfer.bytes,
          same
              ? (offset, bytes, count) -> plan.write(transfer.slot, transfer.tensor, offset, bytes, count)
              : new Conversion(plan, transfer.slot, transfer.tensor, transfer.type));
    }
  }
}
