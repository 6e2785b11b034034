// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;
import org.bytedeco.openblas.global.openblas;
import org.bytedeco.pytorch.global.torch;
import org.steptuner.Device;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** Whether training holds in 16 bits: Fashion-MNIST with the state in bfloat16, and with weights and gradients in bfloat16 too. */
@Command(
    name = "examples/run storage",
    sortOptions = false,
    showDefaultValues = true,
    description = "Trains an MLP on Fashion-MNIST by four tuners, with state and weights in float32 and in bfloat16, from several seeds.")
public final class StorageJob implements Callable<Integer> {
  @Spec
  private CommandSpec spec;

  @Option(names = "--data", paramLabel = "DIR", description = "Folder with the four files; fetched if not given and not found.")
  private Path data;

  @Option(names = "--out", paramLabel = "DIR", description = "Folder for result.json, storage.md and storage.png.")
  private Path out = Path.of("storage-results");

  @Option(names = "--epochs", paramLabel = "N", description = "Epochs of each run.")
  private int epochs = 3;

  @Option(names = "--seeds", paramLabel = "N", description = "Runs of each kind: with the seeds 1 to N.")
  private int seeds = 3;

  @Option(names = "--threads", paramLabel = "N", description = "Threads of libtorch and of the optimizer. Results do not depend on it.")
  private int threads = 1;

  @Option(names = {"-h", "--help"}, usageHelp = true, description = "Shows this.")
  private boolean help;

  public static void main(String[] args) {
    System.exit(new CommandLine(new StorageJob()).execute(args));
  }

  @Override
  public Integer call() throws IOException {
    Jobs.checkPositive(spec, "--epochs", epochs);
    Jobs.checkPositive(spec, "--seeds", seeds);
    Jobs.checkPositive(spec, "--threads", threads);
    final PrintWriter console = spec.commandLine().getOut();
    final FashionMnist examples;
    try {
      examples = FashionMnistJob.load(data, console);
    } catch (DataException e) {
      spec.commandLine().getErr().println("No data: " + e.getMessage());
      return 1;
    }
    Files.createDirectories(out);
    openblas.blas_set_num_threads(1); // as in FashionMnistJob
    torch.set_num_threads(threads);
    final Device device = Device.cpu(threads);
    final List<StorageReport.Row> rows = new ArrayList<>();
    for (StorageRuns.Tuner tuner : StorageRuns.Tuner.values())
      for (StorageRuns.Storage storage : StorageRuns.Storage.values()) rows.add(train(examples, device, tuner, storage));
    final StorageReport report = new StorageReport(rows, epochs, seeds, device.name());
    console.print(report.table());
    report.write(out);
    Jobs.draw(spec, () -> report.draw(out), "the table is in storage.md.");
    console.println("Results are in " + out.toAbsolutePath().normalize());
    console.flush();
    return 0;
  }

  private StorageReport.Row train(FashionMnist examples, Device device, StorageRuns.Tuner tuner, StorageRuns.Storage storage) {
    final double[] accuracies = new double[seeds];
    final double[] losses = new double[seeds];
    for (int seed = 1; seed <= seeds; ++seed) {
      try (Training training = new Training(examples, seed, device, storage.weights());
          ProgressBar bar =
              new ProgressBarBuilder()
                  .setTaskName(String.format(Locale.ROOT, "%-40s", tuner.title() + ", " + storage.title() + ", " + seed))
                  .setInitialMax(training.steps(epochs))
                  .setStyle(ProgressBarStyle.ASCII)
                  .hideEta()
                  .build()) {
        final Outcome outcome = training.run(StorageRuns.run(tuner, storage), epochs, soFar -> bar.stepTo(soFar.steps()));
        accuracies[seed - 1] = outcome.accuracy();
        losses[seed - 1] = outcome.recentLoss();
      }
    }
    return new StorageReport.Row(tuner, storage, accuracies, losses);
  }
}
