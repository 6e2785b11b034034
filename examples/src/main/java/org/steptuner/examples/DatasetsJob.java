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
import org.steptuner.examples.LogisticSuite.Result;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/**
 * The suite of logistic regressions of the D-Adaptation and Prodigy papers, on the sets that can be had: every tuner with its defaults
 * against the best rate of a grid. Forward and backward are plain Java.
 */
@Command(
    name = "examples/run datasets",
    sortOptions = false,
    showDefaultValues = true,
    description = "Trains a logistic regression on twelve sets with Adam at every rate of a grid, and with every tuner, nothing tuned.")
public final class DatasetsJob implements Callable<Integer> {
  private static final DebianPackage PACKAGE =
      new DebianPackage(
          "r-cran-mlbench",
          "usr/lib/R/site-library/mlbench/data",
          "Get R's package mlbench from https://cran.r-project.org/package=mlbench and pass its folder 'data' as --data.");

  @Spec
  private CommandSpec spec;

  @Option(names = "--data", paramLabel = "DIR", description = "Folder 'data' of R's package mlbench; fetched if not given and not found.")
  private Path data;

  @Option(names = "--out", paramLabel = "DIR", description = "Folder for the table, the pictures and the gradient norms.")
  private Path out = Path.of("datasets-results");

  @Option(names = "--sets", paramLabel = "NAME", split = ",", description = "Only these sets, separated by commas.")
  private List<String> sets = Datasets.ALL.stream().map(Datasets.Source::name).toList();

  @Option(names = "--epochs", paramLabel = "N", description = "Epochs of each run.")
  private int epochs = 100;

  @Option(names = "--steps", paramLabel = "N", description = "Most steps of a run, for the large sets.")
  private int steps = 20_000;

  @Option(names = "--batch", paramLabel = "N", description = "Examples a step.")
  private int batch = 16;

  @Option(names = "--decay", paramLabel = "X", description = "Of the penalty X/2 |w|^2.")
  private double decay = 1e-3;

  @Option(names = "--seed", paramLabel = "N", description = "Of the batches and their order.")
  private long seed = 1;

  @Option(names = {"-h", "--help"}, usageHelp = true, description = "Shows this.")
  private boolean help;

  public static void main(String[] args) {
    System.exit(new CommandLine(new DatasetsJob()).execute(args));
  }

  @Override
  public Integer call() throws IOException {
    for (String name : sets)
      if (Datasets.ALL.stream().noneMatch(source -> source.name().equals(name)))
        throw new ParameterException(
            spec.commandLine(),
            "no set '" + name + "'; there are " + String.join(", ", Datasets.ALL.stream().map(Datasets.Source::name).toList()));
    Jobs.checkPositive(spec, "--epochs", epochs);
    Jobs.checkPositive(spec, "--steps", steps);
    Jobs.checkPositive(spec, "--batch", batch);
    if (!(decay >= 0 && decay <= Double.MAX_VALUE))
      throw new ParameterException(spec.commandLine(), "--decay must be finite and not negative, not " + decay);
    final PrintWriter console = spec.commandLine().getOut();
    final List<Dataset> datasets = load(console);
    if (datasets.isEmpty()) return 1;
    Files.createDirectories(out);
    final LogisticSuite.Setting setting = new LogisticSuite.Setting(epochs, steps, batch, decay, seed);
    final List<Result> results = new ArrayList<>();
    for (Dataset dataset : datasets) results.add(run(new LogisticSuite(dataset, setting), dataset.name()));
    final SuiteReport report = new SuiteReport(setting, results);
    console.println();
    console.print(report.table());
    report.write(out);
    Jobs.draw(spec, () -> draw(report), "the table is in datasets.md.");
    console.println("Results are in " + out.toAbsolutePath().normalize());
    console.flush();
    return 0;
  }

  private void draw(SuiteReport report) throws IOException {
    SuitePicture.write(report, out);
    SchedulePicture.write(report, out);
  }

  /** The sets asked for, without those that cannot be had, which it names. */
  private List<Dataset> load(PrintWriter console) {
    final List<Dataset> datasets = new ArrayList<>();
    Path folder = null;
    DataException missing = null;
    if (Datasets.ALL.stream().anyMatch(source -> !source.bundled() && sets.contains(source.name())))
      try {
        folder =
            new DataFolder(
                System.getenv(), "STEPTUNER_MLBENCH", Path.of("/").resolve(PACKAGE.content()), "mlbench", Datasets::missing, PACKAGE,
                "Fetching R's data sets mlbench (1 MB, once)", console::println)
                .find(data);
      } catch (DataException e) {
        missing = e;
      }
    for (Datasets.Source source : Datasets.ALL) {
      if (!sets.contains(source.name())) continue;
      try {
        if (!source.bundled() && missing != null) throw missing;
        datasets.add(Datasets.load(source, folder));
      } catch (DataException e) {
        spec.commandLine().getErr().println("Left out, " + source.name() + ": " + e.getMessage());
      }
    }
    return datasets;
  }

  private static Result run(LogisticSuite suite, String name) {
    try (ProgressBar bar =
        new ProgressBarBuilder()
            .setTaskName(String.format(Locale.ROOT, "%-14s", name))
            .setInitialMax(LogisticSuite.runs(Contender.ALL))
            .setStyle(ProgressBarStyle.ASCII)
            .hideEta()
            .build()) {
      return suite.run(Contender.ALL, bar::step);
    }
  }
}
