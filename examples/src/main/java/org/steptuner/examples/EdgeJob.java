// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.Consumer;
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
import picocli.CommandLine.Spec;

/** Trains with rates that follow the curvature, watches the sharpness, and measures what that costs. */
@Command(
    name = "examples/run edge",
    sortOptions = false,
    showDefaultValues = true,
    description = {
      "Gradient descent on some examples of Fashion-MNIST, all at once: at the best constant rate of a grid, with a line search, with",
      "quadratically greedy and Polyak's rates, and with CDAT, which stays on the edge of stability."
    })
public final class EdgeJob implements Callable<Integer> {
  private static final int COST_ROUNDS = 15;

  @Spec
  private CommandSpec spec;

  @Option(names = "--data", paramLabel = "DIR", description = "Folder with the four files; fetched if not given and not found.")
  private Path data;

  @Option(names = "--out", paramLabel = "DIR", description = "Folder for result.json, curves.csv and the pictures.")
  private Path out = Path.of("edge-results");

  @Option(names = "--steps", paramLabel = "N", description = "Steps of each run.")
  private int steps = 400;

  @Option(names = "--examples", paramLabel = "N", description = "How many examples to train on, the first ones.")
  private int examples = 1000;

  // Odd, since rates swing from step to step.
  @Option(names = "--every", paramLabel = "N", description = "Looks at the sharpness every so many steps.")
  private int every = 9;

  @Option(names = "--seed", paramLabel = "N", description = "Of the initial parameters.")
  private long seed = 1;

  @Option(names = "--threads", paramLabel = "N", description = "Threads of libtorch and of the optimizer.")
  private int threads = 1;

  @Option(names = {"-h", "--help"}, usageHelp = true, description = "Shows this.")
  private boolean help;

  public static void main(String[] args) {
    System.exit(new CommandLine(new EdgeJob()).execute(args));
  }

  @Override
  public Integer call() throws IOException {
    Jobs.checkPositive(spec, "--steps", steps);
    Jobs.checkPositive(spec, "--examples", examples);
    Jobs.checkPositive(spec, "--every", every);
    Jobs.checkPositive(spec, "--threads", threads);
    final PrintWriter console = spec.commandLine().getOut();
    final FashionMnist.Examples train;
    try {
      train = FashionMnistJob.load(data, console).train();
    } catch (DataException e) {
      spec.commandLine().getErr().println("No data: " + e.getMessage());
      return 1;
    }
    if (examples > train.count())
      throw new ParameterException(spec.commandLine(), "--examples must be at most " + train.count() + ", not " + examples);
    Files.createDirectories(out);
    openblas.blas_set_num_threads(threads);
    torch.set_num_threads(threads);
    final Device device = Device.cpu(threads);
    final EdgeReport report;
    try (EdgeTraining training = new EdgeTraining(train, examples, seed, device)) {
      report = train(training, device);
    }
    report.print(console);
    report.write(out);
    Jobs.draw(spec, () -> draw(report), "the curves are in curves.csv.");
    console.println("Results are in " + out.toAbsolutePath().normalize());
    console.flush();
    return 0;
  }

  private EdgeReport train(EdgeTraining training, Device device) {
    final List<EdgeTrace> grid = new ArrayList<>();
    for (double rate : EdgeRun.GRID) grid.add(train(training, EdgeRun.constant(rate), 0));
    final int best = grid.indexOf(grid.stream().min(Comparator.comparingDouble(EdgeTrace::finalLoss)).orElseThrow());
    final EdgeTrace constant = train(training, grid.get(best).run(), every);
    final List<EdgeTrace> classical = EdgeRun.classical().stream().map(run -> train(training, run, every)).toList();
    final List<EdgeTrace> onTheEdge = EdgeRun.onTheEdge().stream().map(run -> train(training, run, every)).toList();
    return new EdgeReport(setting(device), grid, constant, classical, onTheEdge, training.cost(EdgeRun.GRID.get(best), COST_ROUNDS));
  }

  private EdgeTrace train(EdgeTraining training, EdgeRun run, int every) {
    try (ProgressBar bar =
        new ProgressBarBuilder()
            .setTaskName(String.format("%-20s", run.name()))
            .setInitialMax(steps)
            .setStyle(ProgressBarStyle.ASCII)
            .setUpdateIntervalMillis(200)
            .hideEta()
            .build()) {
      return training.run(run, steps, every, show(bar));
    }
  }

  private static Consumer<EdgeTrace> show(ProgressBar bar) {
    return trace -> {
      bar.stepTo(trace.steps());
      if (trace.steps() % 10 == 0)
        bar.setExtraMessage(String.format(Locale.ROOT, "loss %.1e rate %.1e", trace.finalLoss(), trace.rate()));
    };
  }

  private Map<String, Object> setting(Device device) {
    final Map<String, Object> setting = new LinkedHashMap<>();
    setting.put("data", "Fashion-MNIST");
    setting.put(
        "network",
        FashionMnist.PIXELS + "-" + EdgeTraining.HIDDEN[0] + "-" + EdgeTraining.HIDDEN[1] + "-" + FashionMnist.CLASSES + ", tanh");
    setting.put("examples", examples);
    setting.put("steps", steps);
    setting.put("every", every);
    setting.put("seed", seed);
    setting.put("threads", threads);
    setting.put("device", device.name());
    setting.put("java", System.getProperty("java.version"));
    return setting;
  }

  private void draw(EdgeReport report) throws IOException {
    EdgeCharts.write(report, out);
    EdgeCharts.writeModels(out);
  }
}
