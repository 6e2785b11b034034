// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
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
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/**
 * Trains the same network on Fashion-MNIST with a rate tuned by hand, with one 100 times too small, and with Mechanic, nothing tuned; or
 * with MetaOptimize from step sizes that are far too small; or Muon, whose steps are the trainer's own, under Mechanic. Forward and
 * backward by libtorch, steps by Step Tuner, both on the same memory.
 */
@Command(
    name = "examples/run",
    sortOptions = false,
    showDefaultValues = true,
    description = {
      "Trains an MLP on Fashion-MNIST.",
      "mechanic: AdamW at a good and at a bad rate, and Mechanic, which finds it.",
      "metaoptimize: step sizes that MetaOptimize learns, from 1e-6 and other beginnings.",
      "muon: Muon, whose steps libtorch makes, at the rates of a grid, and under Mechanic, which finds one."
    })
public final class FashionMnistJob implements Callable<Integer> {
  private static final int WARM_UP_STEPS = 100;
  private static final DebianPackage PACKAGE =
      new DebianPackage(
          "dataset-fashion-mnist",
          "usr/share/datasets/fashion-mnist",
          "Get the four files of Fashion-MNIST (" + String.join(", ", FashionMnist.FILES)
              + ", plain or .gz) from https://github.com/zalandoresearch/fashion-mnist and pass their folder as --data.");

  @Spec
  private CommandSpec spec;

  @Parameters(index = "0", arity = "0..1", paramLabel = "SET", description = "Which runs: ${COMPLETION-CANDIDATES}.")
  private RunSet set = RunSet.MECHANIC;

  @Option(names = "--data", paramLabel = "DIR", description = "Folder with the four files; fetched if not given and not found.")
  private Path data;

  @Option(names = "--out", paramLabel = "DIR", description = "Folder for result.json, curves.csv and the pictures.")
  private Path out = Path.of("fashion-mnist-results");

  @Option(names = "--epochs", paramLabel = "N", description = "Epochs of each run; 3, 5 for metaoptimize and 1 for muon, if not given.")
  private Integer epochs;

  @Option(names = "--runs", paramLabel = "NAME", split = ",", description = "Only these runs of the set, separated by commas.")
  private List<String> runs;

  @Option(names = "--seed", paramLabel = "N", description = "Of the initial parameters and of the order of the batches.")
  private long seed = 1;

  @Option(names = "--threads", paramLabel = "N", description = "Threads of libtorch and of the optimizer. Results do not depend on it.")
  private int threads = 1;

  @Option(names = {"-h", "--help"}, usageHelp = true, description = "Shows this.")
  private boolean help;

  public static void main(String[] args) {
    System.exit(new CommandLine(new FashionMnistJob()).setCaseInsensitiveEnumValuesAllowed(true).execute(args));
  }

  @Override
  public Integer call() throws IOException {
    final List<Run> chosen = chosen();
    if (epochs == null) epochs = set.epochs();
    Jobs.checkPositive(spec, "--epochs", epochs);
    Jobs.checkPositive(spec, "--threads", threads);
    final PrintWriter console = spec.commandLine().getOut();
    final FashionMnist examples;
    try {
      examples = load(data, console);
    } catch (DataException e) {
      spec.commandLine().getErr().println("No data: " + e.getMessage());
      return 1;
    }
    Files.createDirectories(out);
    // OpenBLAS would start a thread per processor, which spin against each other over products as small as these: many times slower.
    openblas.blas_set_num_threads(1);
    torch.set_num_threads(threads);
    final Device device = Device.cpu(threads);
    final List<Outcome> outcomes = new ArrayList<>();
    try (Training training = new Training(examples, seed, device)) {
      training.warmUp(WARM_UP_STEPS);
      for (Run run : chosen) outcomes.add(train(training, run));
    }
    ResultTable.print(outcomes, console);
    ResultFile.write(setting(device), outcomes, out);
    Jobs.draw(spec, () -> draw(outcomes), "the curves are in curves.csv.");
    console.println("Results are in " + out.toAbsolutePath().normalize());
    console.flush();
    return 0;
  }

  /**
   * The data, which is fetched if it is nowhere.
   *
   * @param named by the user, or null
   * @throws DataException if it cannot be had
   */
  static FashionMnist load(Path named, PrintWriter console) {
    final DataFolder folders = new DataFolder(System.getenv(), Path.of("/").resolve(PACKAGE.content()), PACKAGE, console::println);
    final Path folder = folders.find(named);
    try {
      return FashionMnist.load(folder);
    } catch (DataException e) {
      if (!folder.equals(folders.cache())) throw e;
      throw new DataException(e.getMessage() + ".\nDelete " + folder + " to have it fetched again.", e);
    }
  }

  private List<Run> chosen() {
    if (runs == null) return set.runs();
    final List<String> names = set.runs().stream().map(Run::name).toList();
    for (String name : runs)
      if (!names.contains(name))
        throw new ParameterException(spec.commandLine(), "no run '" + name + "'; there are " + String.join(", ", names));
    return set.runs().stream().filter(run -> runs.contains(run.name())).toList();
  }

  private Outcome train(Training training, Run run) {
    try (ProgressBar bar =
        new ProgressBarBuilder()
            .setTaskName(String.format("%-24s", run.name()))
            .setInitialMax(training.steps(epochs))
            .setStyle(ProgressBarStyle.ASCII)
            .setUpdateIntervalMillis(200)
            .hideEta()
            .build()) {
      return training.run(run, epochs, soFar -> show(bar, soFar));
    }
  }

  private static void show(ProgressBar bar, Outcome soFar) {
    bar.stepTo(soFar.steps());
    if (soFar.steps() % 10 != 0 && soFar.steps() != bar.getMax()) return;
    bar.setExtraMessage(
        String.format(Locale.ROOT, "loss %.3f rate %.1e", soFar.recentLoss(), soFar.effectiveRate()));
  }

  private Map<String, Object> setting(Device device) {
    final Map<String, Object> setting = new LinkedHashMap<>();
    setting.put("data", "Fashion-MNIST");
    setting.put("network", "784-256-256-10");
    setting.put("batch", Training.BATCH);
    setting.put("epochs", epochs);
    setting.put("seed", seed);
    setting.put("threads", threads);
    setting.put("device", device.name());
    setting.put("java", System.getProperty("java.version"));
    return setting;
  }

  private void draw(List<Outcome> outcomes) throws IOException {
    switch (set) {
      case MECHANIC -> Charts.write(outcomes, out);
      case METAOPTIMIZE -> StepSizeCharts.write(outcomes, out);
      case MUON -> {} // the table says it
    }
  }
}
