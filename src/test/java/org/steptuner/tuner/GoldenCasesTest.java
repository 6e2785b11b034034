// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.bytedeco.javacpp.BytePointer;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.Schedule;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.MirrorMADGRAD;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

/**
 * The recorded trajectories of the parameter-free tuners, in float64: the directory is that of the system property {@code
 * steptuner.golden}, or the test resources.
 */
class GoldenCasesTest {
  private static final double OPEN = 1e-10;

  @Test
  void prodigy() throws IOException {
    check("prodigy");
  }

  @Test
  void dAdaptation() throws IOException {
    check("dadaptation");
  }

  @Test
  void madgrad() throws IOException {
    check("fixed_rate");
  }

  @Test
  void momo() throws IOException {
    check("momo");
    check("momo_adam");
  }

  private static TunerBuilder<?> builder(JsonObject o) {
    return switch (o.get("kind").getAsString()) {
      case "prodigy" -> prodigy(o);
      case "dadaptation" -> dAdaptation(o);
      case "fixed_rate" -> madgrad(o.getAsJsonObject("base"));
      case "momo", "momo_adam" -> momo(o);
      default -> null;
    };
  }

  private static MoMo momo(JsonObject o) {
    final boolean adam = o.get("kind").getAsString().equals("momo_adam");
    final MoMo momo =
        MoMo.tuning(adam ? adam(o) : SGD.defaults().momentum(number(o, "beta")).weightDecay(number(o, "weight_decay")))
            .maxRate(number(o, "lr"))
            .variant(MoMo.Variant.valueOf(o.get("variant").getAsString().toUpperCase(java.util.Locale.ROOT)))
            .bound(number(o, "lb"))
            .estimateBound(o.get("use_fstar").getAsBoolean());
    return adam
        ? momo.decay(o.get("divide").getAsBoolean() ? MoMo.Decay.DIVIDE : MoMo.Decay.MULTIPLY)
        : momo.biasCorrection(o.get("bias_correction").getAsBoolean());
  }

  private static DAdaptation dAdaptation(JsonObject o) {
    final double decay = number(o, "weight_decay");
    final String rule = o.get("rule").getAsString();
    final DAdaptation tuner =
        switch (rule) {
          case "sgd" -> DAdaptation.tuning(SGD.defaults().momentum(number(o, "momentum")).weightDecay(decay));
          case "adam" -> DAdaptation.tuning(adam(o)).biasCorrection(o.get("use_bias_correction").getAsBoolean());
          case "adagrad" ->
              DAdaptation.tuning(new AdaGrad(0, number(o, "eps"), decay, 1e-6)).momentum(number(o, "momentum"));
          case "lion" -> DAdaptation.tuning(new Lion(numbers(o.get("betas"))[0], numbers(o.get("betas"))[1], decay));
          default -> throw new IllegalArgumentException(rule);
        };
    if (o.has("growth_rate")) tuner.growthRate(number(o, "growth_rate"));
    return tuner.baseRate(number(o, "lr")).initialRate(number(o, "d0"));
  }

  private static FixedRate madgrad(JsonObject base) {
    final Rule rule =
        switch (base.get("rule").getAsString()) {
          case "madgrad" -> new MADGRAD(number(base, "momentum"), number(base, "eps"), number(base, "weight_decay"));
          case "mirror_madgrad" -> new MirrorMADGRAD(number(base, "momentum"), number(base, "eps"), number(base, "weight_decay"));
          default -> null;
        };
    return rule == null ? null : FixedRate.of(number(base, "lr"), rule);
  }

  private static Prodigy prodigy(JsonObject o) {
    final Prodigy prodigy =
        Prodigy.tuning(adam(o))
            .baseRate(number(o, "lr"))
            .initialRate(number(o, "d0"))
            .coefficient(number(o, "d_coef"))
            .growthRate(number(o, "growth_rate"))
            .safeguardWarmup(o.get("safeguard_warmup").getAsBoolean())
            .biasCorrection(o.get("use_bias_correction").getAsBoolean())
            .displacement(Prodigy.Displacement.valueOf(System.getProperty("displacement", "RECOMPUTED")))
            .slice(o.get("slice_p").getAsInt());
    return o.get("beta3").isJsonNull() ? prodigy : prodigy.beta3(number(o, "beta3"));
  }

  private static Rule adam(JsonObject o) {
    final double[] betas = numbers(o.get("betas"));
    final double decay = number(o, "weight_decay");
    return o.has("decouple") && !o.get("decouple").getAsBoolean()
        ? new Adam(betas[0], betas[1], number(o, "eps"), decay)
        : new AdamW(betas[0], betas[1], number(o, "eps"), decay);
  }

  // ---- the run

  private static void check(String kind) throws IOException {
    final List<String> failures = new ArrayList<>();
    int cases = 0;
    final Map<String, Double> worst = new TreeMap<>();
    for (Path file : files()) {
      final JsonObject golden = JsonParser.parseString(Files.readString(file)).getAsJsonObject();
      if (!golden.has("optimizer") || !golden.getAsJsonObject("optimizer").get("kind").getAsString().equals(kind)) continue;
      final TunerBuilder<?> builder = builder(golden.getAsJsonObject("optimizer"));
      if (builder == null) continue;
      ++cases;
      run(file.getParent(), golden, builder, failures, worst);
    }
    worst.forEach((name, error) -> System.out.printf("%-55s %.1e%n", name, error));
    assertTrue(cases > 0, kind);
    assertTrue(failures.isEmpty(), () -> String.join("\n", failures));
  }

  private static List<Path> files() throws IOException {
    final String directory = System.getProperty("steptuner.golden");
    Assumptions.assumeTrue(directory != null || GoldenCasesTest.class.getResource("/golden") != null, "no recorded cases");
    final List<Path> files = new ArrayList<>();
    final Path path = Path.of(directory != null ? directory : GoldenCasesTest.class.getResource("/golden").getPath());
    try (DirectoryStream<Path> stream = Files.newDirectoryStream(path, "*.json")) {
      stream.forEach(files::add);
    }
    files.sort(null);
    return files;
  }

  private static void run(
      Path directory, JsonObject golden, TunerBuilder<?> builder, List<String> failures, Map<String, Double> worst)
      throws IOException {
    final String name = golden.get("name").getAsString();
    final boolean open = golden.get("mode").getAsString().equals("open");
    final JsonObject data = JsonParser.parseString(Files.readString(directory.resolve(golden.get("data").getAsString()))).getAsJsonObject();
    final Problem problem = open ? new OpenLoop(data) : new Softmax(data);
    final JsonObject o = golden.getAsJsonObject("optimizer");
    if (o.has("lr_schedule") && !o.get("lr_schedule").isJsonNull()) builder.schedule(Schedule.of(numbers(o.get("lr_schedule"))));
    final double[] steps = numbers(golden.get("recorded_steps"));
    final double[] sums = numbers(golden.get("param_sum"));
    final double[] norms = numbers(golden.get("param_l2"));
    final double[] start = problem.start();
    double early = 0;
    double late = 0;
    String where = "";
    try (BytePointer memory = new BytePointer(16L * start.length)) {
      final DoubleBuffer x = memory.asByteBuffer().order(ByteOrder.nativeOrder()).asDoubleBuffer();
      x.put(0, start);
      final ParameterSet.Builder parameters = ParameterSet.on(Device.cpu(1));
      long at = memory.address();
      for (int size : problem.sizes()) {
        parameters.add("t" + at, at, at + 8L * start.length, size, DataType.FLOAT64);
        at += 8L * size;
      }
      final double[] point = new double[start.length];
      final double[] gradient = new double[start.length];
      try (Optimizer optimizer = builder.build(parameters.build())) {
        int row = 0;
        for (int step = 1; row < steps.length; ++step) {
          x.get(0, point);
          final double loss = problem.evaluate(step, point, gradient);
          x.put(start.length, gradient);
          if (optimizer.step(loss).skipped()) {
            System.out.println(name + ": step " + step + " skipped, " + optimizer.report());
            break;
          }
          x.get(0, point);
          if (!golden.has("params_flat_after_step")) throw new IOException(name);
          final JsonElement flat = golden.getAsJsonObject("params_flat_after_step").get(Integer.toString(step));
          final int first = row;
          double error = 0;
          final StringBuilder what = new StringBuilder();
          if (flat != null) error = worse(error, vectorError(numbers(flat), point), what, "x");
          if (steps[row] == step) {
            double sum = 0;
            double square = 0;
            double size = 0;
            for (double value : point) {
              sum += value;
              size += Math.abs(value);
              square += value * value;
            }
            if (!Double.isFinite(norms[row])) break;
            error = worse(error, Math.abs(sum - sums[row]) / Math.max(size, 1e-300), what, "sum");
            error = worse(error, Math.abs(Math.sqrt(square) - norms[row]) / norms[row], what, "norm");
            final Map<String, double[]> scalars = optimizer.scalars();
            for (Map.Entry<String, JsonElement> entry : golden.getAsJsonObject("scalars").entrySet()) {
              final String key = key(o.get("kind").getAsString(), entry.getKey());
              if (!scalars.containsKey(key) || !entry.getValue().isJsonArray()) continue;
              final double[] recorded = numbers(entry.getValue());
              final double actual = scalars.get(key)[0];
              error = worse(error, relative(recorded[first], actual), what, key);
            }
            ++row;
          }
          if (open || step <= 15) {
            if (error > early) where = what + " at " + step;
            early = Math.max(early, error);
          } else late = Math.max(late, error);
        }
      }
    }
    worst.put(name, early);
    if (!open) worst.put(name + " (later)", late);
    if (!(early <= (open ? OPEN : 1e-7))) failures.add(name + ": " + early + " " + where);
  }

  private static String key(String kind, String recorded) {
    return switch (recorded) {
      case "numerator" -> kind.equals("prodigy") ? "d_numerator" : "numerator_weighted";
      case "barf" -> "loss_avg";
      default -> recorded;
    };
  }

  private static double worse(double error, double other, StringBuilder what, String name) {
    if (!(other <= error)) {
      what.setLength(0);
      what.append(name);
      return other;
    }
    return error;
  }

  private static double relative(double expected, double actual) {
    return expected == actual ? 0 : Math.abs(expected - actual) / Math.max(Math.abs(expected), 1e-300);
  }

  private static double vectorError(double[] expected, double[] actual) {
    double square = 0;
    double scale = 0;
    for (int i = 0; i < expected.length; ++i) {
      square += (expected[i] - actual[i]) * (expected[i] - actual[i]);
      scale += expected[i] * expected[i];
    }
    return Math.sqrt(square / scale);
  }

  static double number(JsonObject o, String name) {
    return number(o.get(name));
  }

  static double number(JsonElement element) {
    return Double.parseDouble(element.getAsString());
  }

  static double[] numbers(JsonElement element) {
    final JsonArray array = element.getAsJsonArray();
    final double[] values = new double[array.size()];
    for (int i = 0; i < values.length; ++i) values[i] = number(array.get(i));
    return values;
  }

  private interface Problem {
    int[] sizes();

    double[] start();

    double evaluate(int step, double[] x, double[] gradient);
  }

  private record OpenLoop(JsonObject data) implements Problem {
    @Override
    public int[] sizes() {
      final double[] sizes = numbers(data.get("sizes"));
      final int[] result = new int[sizes.length];
      for (int i = 0; i < sizes.length; ++i) result[i] = (int) sizes[i];
      return result;
    }

    @Override
    public double[] start() {
      return numbers(data.get("x1_flat"));
    }

    @Override
    public double evaluate(int step, double[] x, double[] gradient) {
      final double[] g = numbers(data.getAsJsonArray("grads_flat").get(step - 1));
      System.arraycopy(g, 0, gradient, 0, g.length);
      return number(data.getAsJsonArray("loss").get(step - 1));
    }
  }

  private static final class Softmax implements Problem {
    private final double[][] features;
    private final int[] labels;
    private final double[] start;
    private final int classes;

    Softmax(JsonObject data) {
      final JsonArray rows = data.getAsJsonArray("X");
      features = new double[rows.size()][];
      for (int i = 0; i < features.length; ++i) features[i] = numbers(rows.get(i));
      final double[] y = numbers(data.get("y"));
      labels = new int[y.length];
      for (int i = 0; i < y.length; ++i) labels[i] = (int) y[i];
      final JsonElement matrix = data.get("W1_rowmajor");
      final List<Double> flat = new ArrayList<>();
      for (JsonElement row : matrix.getAsJsonArray())
        if (row.isJsonArray()) for (JsonElement value : row.getAsJsonArray()) flat.add(number(value));
        else flat.add(number(row));
      final double[] bias = numbers(data.get("b1"));
      classes = bias.length;
      for (double b : bias) flat.add(b);
      start = flat.stream().mapToDouble(Double::doubleValue).toArray();
      assertEquals(classes * features[0].length + classes, start.length);
      assertFalse(features.length == 0);
    }

    @Override
    public int[] sizes() {
      return new int[] {start.length - classes, classes};
    }

    @Override
    public double[] start() {
      return start;
    }

    @Override
    public double evaluate(int step, double[] x, double[] gradient) {
      java.util.Arrays.fill(gradient, 0);
      final int n = features.length;
      final int d = features[0].length;
      double loss = 0;
      final double[] z = new double[classes];
      for (int i = 0; i < n; ++i) {
        double largest = Double.NEGATIVE_INFINITY;
        for (int k = 0; k < classes; ++k) {
          z[k] = x[classes * d + k];
          for (int j = 0; j < d; ++j) z[k] += x[k * d + j] * features[i][j];
          largest = Math.max(largest, z[k]);
        }
        double sum = 0;
        for (int k = 0; k < classes; ++k) sum += Math.exp(z[k] - largest);
        loss += Math.log(sum) + largest - z[labels[i]];
        for (int k = 0; k < classes; ++k) {
          final double p = (Math.exp(z[k] - largest) / sum - (k == labels[i] ? 1 : 0)) / n;
          gradient[classes * d + k] += p;
          for (int j = 0; j < d; ++j) gradient[k * d + j] += p * features[i][j];
        }
      }
      return loss / n;
    }
  }
}
