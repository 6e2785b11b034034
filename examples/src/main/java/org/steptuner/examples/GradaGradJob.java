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
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** What GradaGrad is for: rates that are too small. Logistic regressions on the sets that come with the example. */
@Command(
    name = "examples/run gradagrad",
    sortOptions = false,
    showDefaultValues = true,
    description = "Trains a logistic regression on four sets with GradaGrad, AdaGrad-Norm and AdaGrad, from initial rates of 1e-6 to 100.")
public final class GradaGradJob implements Callable<Integer> {
  private static final List<Datasets.Source> BUNDLED = Datasets.ALL.stream().filter(Datasets.Source::bundled).toList();

  @Spec
  private CommandSpec spec;

  @Option(names = "--out", paramLabel = "DIR", description = "Folder for result.json, the tables and the picture.")
  private Path out = Path.of("gradagrad-results");

  @Option(names = "--sets", paramLabel = "NAME", split = ",", description = "Only these sets, separated by commas.")
  private List<String> sets = BUNDLED.stream().map(Datasets.Source::name).toList();

  @Option(names = "--epochs", paramLabel = "N", description = "Epochs of each run.")
  private int epochs = 100;

  @Option(names = "--steps", paramLabel = "N", description = "Most steps of a run.")
  private int steps = 5000;

  @Option(names = "--batch", paramLabel = "N", description = "Examples a step; at most all of them.")
  private int batch = 16;

  @Option(names = "--full", paramLabel = "N", description = "Steps of each run with all examples at once, which there are no orders of.")
  private int full = 500;

  @Option(names = "--decay", paramLabel = "X", description = "Of the penalty X/2 |w|^2.")
  private double decay = 1e-3;

  @Option(names = "--seeds", paramLabel = "N", description = "How many orders of the batches: those of the seeds 1 to N.")
  private int seeds = 3;

  @Option(names = {"-h", "--help"}, usageHelp = true, description = "Shows this.")
  private boolean help;

  public static void main(String[] args) {
    System.exit(new CommandLine(new GradaGradJob()).execute(args));
  }

  @Override
  public Integer call() throws IOException {
    for (String name : sets)
      if (BUNDLED.stream().noneMatch(source -> source.name().equals(name)))
        throw new ParameterException(
            spec.commandLine(),
            "no set '" + name + "'; there are " + String.join(", ", BUNDLED.stream().map(Datasets.Source::name).toList()));
    Jobs.checkPositive(spec, "--epochs", epochs);
    Jobs.checkPositive(spec, "--steps", steps);
    Jobs.checkPositive(spec, "--batch", batch);
    Jobs.checkPositive(spec, "--full", full);
    Jobs.checkPositive(spec, "--seeds", seeds);
    if (!(decay >= 0 && decay <= Double.MAX_VALUE))
      throw new ParameterException(spec.commandLine(), "--decay must be finite and not negative, not " + decay);
    final LogisticSuite.Setting parts = new LogisticSuite.Setting(epochs, steps, batch, decay, 1);
    final LogisticSuite.Setting whole = new LogisticSuite.Setting(full, full, Integer.MAX_VALUE, decay, 1);
    final List<RateGrid.Result> results = new ArrayList<>();
    for (Datasets.Source source : BUNDLED)
      if (sets.contains(source.name())) {
        final Dataset data = Datasets.load(source, null);
        results.add(run(data, parts, seeds));
        results.add(run(data, whole, 1));
      }
    final RateGridReport report = new RateGridReport(described(), results);
    final PrintWriter console = spec.commandLine().getOut();
    console.println("\nFinal loss as a multiple of the best of all, mean of " + seeds + " orders of the batches\n");
    console.print(report.tables());
    Files.createDirectories(out);
    report.write(out);
    Jobs.draw(spec, () -> report.draw(out), "the tables are in tables.md.");
    console.println("Results are in " + out.toAbsolutePath().normalize());
    console.flush();
    return 0;
  }

  private RateGrid.Result run(Dataset data, LogisticSuite.Setting setting, int orders) {
    try (ProgressBar bar =
        new ProgressBarBuilder()
            .setTaskName(String.format(Locale.ROOT, "%-14s", data.name()))
            .setInitialMax(RateGrid.runs(orders))
            .setStyle(ProgressBarStyle.ASCII)
            .hideEta()
            .build()) {
      return RateGrid.run(data, setting, orders, bar::step);
    }
  }

  private Map<String, Object> described() {
    final Map<String, Object> setting = new LinkedHashMap<>();
    setting.put("epochs", epochs);
    setting.put("mostSteps", steps);
    setting.put("batch", batch);
    setting.put("stepsWithAllExamples", full);
    setting.put("decay", decay);
    setting.put("seeds", seeds);
    setting.put("rates", RateGrid.RATES);
    return setting;
  }
}
