// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.gson.JsonPrimitive;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.steptuner.Device;
import org.steptuner.conformance.Result.Status;

/** The runner reports what it must: a check that cannot fail proves nothing. */
class ConformanceRunnerTest {
  private static final String OPEN = "base_adamw_open.json";
  private static final String CLOSED = "base_adamw_closed.json";
  private static final String MECHANIC = "mechanic_adamw_nodelta_decay0.01_open.json";
  private static final Map<String, Device> CPU = Map.of("cpu", Device.cpu(1));

  @TempDir
  Path directory;

  @BeforeEach
  void copyData() throws IOException {
    for (String data : List.of("open_loop_data.json", "iris_problem.json")) write(data, golden(data));
  }

  @ParameterizedTest
  @ValueSource(strings = {OPEN, CLOSED, MECHANIC})
  void recordingsPassUnderAnyFileName(String file) throws IOException {
    write("whatever.json", golden(file));
    for (Result result : run()) assertStatus(Status.PASSED, result);
  }

  @Test
  void dataMayBeNamedWithoutItsSuffix() throws IOException {
    change(OPEN, golden -> golden.addProperty("data", "open_loop_data"));
    for (Result result : run()) assertStatus(Status.PASSED, result);
  }

  @ParameterizedTest
  @ValueSource(strings = {OPEN, CLOSED, MECHANIC})
  void parametersOffByOneInAHundredMillionFail(String file) throws IOException {
    change(file, golden -> {
      final JsonObject parameters = golden.getAsJsonObject("params_flat_after_step");
      for (String step : parameters.keySet()) scale(parameters, step, 1, x -> x * (1 + 1e-8));
    });
    final Result result = float64();
    assertStatus(Status.FAILED, result);
    assertMessage("parameter[", result);
    assertTrue(result.maxRelativeError() > 5e-9, result.message());
  }

  @ParameterizedTest
  @ValueSource(strings = {"param_sum", "param_l2", "loss_before_step"})
  void everyRecordedSeriesCounts(String series) throws IOException {
    change(CLOSED, golden -> scale(golden, series, 20, x -> x + 1e-6));
    assertMessage(series + " at step 20", float64());
  }

  @ParameterizedTest
  @ValueSource(strings = {"s_sum", "h", "grad_norm"})
  void everyScalarCounts(String scalar) throws IOException {
    change(MECHANIC, golden -> scale(golden.getAsJsonObject("scalars"), scalar, 40, x -> x * (1 + 1e-6)));
    final Result result = float64();
    assertStatus(Status.FAILED, result);
    assertMessage(scalar + " at step 40", result);
  }

  @Test
  void vectorsOfAnotherLengthFail() throws IOException {
    change(MECHANIC, golden -> {
      final JsonArray rows = golden.getAsJsonObject("scalars").getAsJsonArray("s");
      for (JsonElement row : rows) row.getAsJsonArray().remove(0);
    });
    assertMessage("s (length 6, recorded 5)", float64());
  }

  @Test
  void wrongHyperparametersFailInBothTypes() throws IOException {
    change(OPEN, golden -> base(golden).addProperty("lr", 0.0101));
    for (Result result : run()) assertStatus(Status.FAILED, result);
  }

  @Test
  void scalarsRecordedAsAZeroAreUnused() throws IOException {
    change(MECHANIC, golden -> golden.getAsJsonObject("scalars").addProperty("h", 0));
    assertStatus(Status.PASSED, float64());
  }

  @Test
  void runsThatDivergeAreComparedUntilTheyDo() throws IOException {
    final Consumer<JsonObject> diverging = golden -> {
      final JsonArray norms = golden.getAsJsonArray("param_l2");
      for (int i = 25; i < norms.size(); ++i) {
        norms.set(i, new JsonPrimitive(i == 25 ? "Infinity" : "NaN"));
        golden.getAsJsonArray("param_sum").set(i, new JsonPrimitive(7));
      }
      for (String step : List.of("30", "40")) scale(golden.getAsJsonObject("params_flat_after_step"), step, 1, x -> Double.NaN);
    };
    change(OPEN, diverging);
    final Result until = float64();
    assertStatus(Status.PASSED, until);
    assertMessage("to step 25", until);

    change(OPEN, diverging.andThen(golden -> scale(golden, "param_l2", 25, x -> x + 1e-6)));
    assertMessage("param_l2 at step 25", float64());
  }

  @Test
  void nothingFiniteIsNothingCompared() throws IOException {
    change(OPEN, golden -> golden.getAsJsonArray("param_l2").set(0, new JsonPrimitive("NaN")));
    final Result result = float64();
    assertStatus(Status.FAILED, result);
    assertMessage("no finite step", result);
  }

  @Test
  void unknownKindsRulesAndVariantsAreUnsupported() throws IOException {
    change(OPEN, golden -> golden.getAsJsonObject("optimizer").addProperty("kind", "oracle"));
    assertStatus(Status.UNSUPPORTED, float64());
    assertMessage("kind 'oracle'", float64());
    for (String file : List.of(OPEN, MECHANIC)) {
      change(file, golden -> base(golden).addProperty("rule", "newton"));
      assertStatus(Status.UNSUPPORTED, float64());
      assertMessage("rule 'newton'", float64());
    }
    change(MECHANIC, golden -> golden.getAsJsonObject("optimizer").addProperty("variant", "clockwork"));
    assertStatus(Status.UNSUPPORTED, float64());
    assertMessage("variant 'clockwork'", float64());
  }

  @Test
  void filesThatDescribeThemselvesAreListed() throws IOException {
    write("case.json", golden(OPEN));
    write("refinement.json", golden("schedule_refinement.json"));
    final List<Result> unsupported =
        ConformanceRunner.run(directory, CPU).stream().filter(result -> result.status() == Status.UNSUPPORTED).toList();
    assertEquals(List.of("iris_problem", "schedule_refinement"), unsupported.stream().map(Result::name).sorted().toList());
  }

  @Test
  void illFormedFieldsFailByName() throws IOException {
    assertFails("base.lr", golden -> base(golden).addProperty("lr", "fast"));
    assertFails("base.lr is missing", golden -> base(golden).remove("lr"));
    assertFails("weightDecay", golden -> base(golden).addProperty("weight_decay", -1));
    assertFails("betas", golden -> base(golden).getAsJsonArray("betas").remove(1));
    assertFails("'amsgrad'", golden -> base(golden).addProperty("amsgrad", true));
    assertFails("mode", golden -> golden.addProperty("mode", "ajar"));
    assertFails("param_sum", golden -> golden.getAsJsonArray("param_sum").remove(3));
    assertFails("recorded_steps", golden -> golden.getAsJsonArray("recorded_steps").set(4, new JsonPrimitive(2)));
    final String parameters = "params_flat_after_step";
    assertFails(parameters, golden -> golden.getAsJsonObject(parameters).add("last", new JsonArray()));
    assertFails("parameter (length 137, recorded 0)", golden -> golden.getAsJsonObject(parameters).add("7", new JsonArray()));
    assertFails("'elsewhere'", golden -> golden.addProperty("data", "elsewhere"));
    assertFails("the data ends at step 40", golden -> golden.getAsJsonArray("recorded_steps").set(39, new JsonPrimitive(41)));
    assertFails("lr_schedule ends at step 1", golden -> {
      final JsonArray schedule = new JsonArray();
      schedule.add(1);
      golden.getAsJsonObject("optimizer").add("lr_schedule", schedule);
    });
    assertFails("l2", golden -> golden.getAsJsonObject("optimizer").addProperty("l2", 0.1));
  }

  @Test
  void directoriesWithoutACaseFail(@TempDir Path empty) {
    assertMessage("no case in", assertThrows(IllFormedException.class, () -> ConformanceRunner.run(empty, CPU)));
    // The data alone.
    assertMessage("no case in", assertThrows(IllFormedException.class, this::run));
    final Path missing = empty.resolve("missing");
    assertMessage("no directory", assertThrows(IllFormedException.class, () -> ConformanceRunner.run(missing, CPU)));
  }

  @Test
  void unreadableFilesFailByName() throws IOException {
    write("good.json", golden(OPEN));
    final String whole = golden(CLOSED).toString();
    for (String text : List.of(whole.substring(0, whole.length() / 2), "", "[1, 2]", whole + "}", "{\"optimizer\": NaN}")) {
      Files.writeString(directory.resolve("broken.json"), text);
      assertMessage("broken.json", assertThrows(IllFormedException.class, this::run));
    }
  }

  @Test
  void unknownDevicesAreRefused() {
    assertMessage("'abacus'", assertThrows(IllegalArgumentException.class, () -> ConformanceRunner.devices("cpu,abacus")));
  }

  @Test
  void resultsAreWrittenAsJson() throws IOException {
    final Path file = directory.resolve("report/conformance.json");
    Result.write(
        List.of(
            new Result("a", "k", "open", "float64", "cpu", Status.PASSED, 1e-12, "m"),
            new Result("b", "k", "open", "float64", "cpu", Status.FAILED, Double.POSITIVE_INFINITY, "m"),
            new Result("c", "k", "open", "float64", "cpu", Status.UNSUPPORTED, null, "m")),
        file);
    final JsonArray cases = JsonParser.parseString(Files.readString(file)).getAsJsonObject().getAsJsonArray("cases");
    assertEquals(1e-12, cases.get(0).getAsJsonObject().get("maxRelativeError").getAsDouble());
    assertEquals("passed", cases.get(0).getAsJsonObject().get("status").getAsString());
    assertEquals("Infinity", cases.get(1).getAsJsonObject().get("maxRelativeError").getAsString());
    assertTrue(cases.get(2).getAsJsonObject().get("maxRelativeError").isJsonNull());
  }

  private void assertFails(String message, Consumer<JsonObject> change) throws IOException {
    change(OPEN, change);
    final Result result = float64();
    assertStatus(Status.FAILED, result);
    assertMessage(message, result);
  }

  private static void assertStatus(Status expected, Result result) {
    assertEquals(expected, result.status(), result.message());
  }

  private static void assertMessage(String part, Result result) {
    assertTrue(result.message().contains(part), result.message());
  }

  private static void assertMessage(String part, Exception e) {
    assertTrue(e.getMessage().contains(part), e.getMessage());
  }

  /** The results of cases: data that no case names is listed too. */
  private List<Result> run() {
    return ConformanceRunner.run(directory, CPU).stream().filter(result -> !result.dtype().isEmpty()).toList();
  }

  private Result float64() {
    return run().stream().filter(result -> result.dtype().equals("float64")).findFirst().orElseThrow();
  }

  /** Writes a changed copy of a recording as the directory's only case. */
  private void change(String file, Consumer<JsonObject> change) throws IOException {
    final JsonObject golden = golden(file);
    change.accept(golden);
    write("changed.json", golden);
  }

  private void write(String file, JsonObject json) throws IOException {
    Files.writeString(directory.resolve(file), json.toString());
  }

  private static JsonObject base(JsonObject golden) {
    return golden.getAsJsonObject("optimizer").getAsJsonObject("base");
  }

  /** Changes the values of a series from position {@code from} on, counted from 1. */
  private static void scale(JsonObject object, String series, int from, DoubleUnaryOperator change) {
    final JsonArray values = object.getAsJsonArray(series);
    for (int i = from - 1; i < values.size(); ++i) {
      final double value = change.applyAsDouble(values.get(i).getAsDouble());
      values.set(i, Double.isFinite(value) ? new JsonPrimitive(value) : new JsonPrimitive("" + value));
    }
  }

  private static JsonObject golden(String file) throws IOException {
    try (InputStream stream = ConformanceRunnerTest.class.getResourceAsStream("/golden/" + file)) {
      assertNotNull(stream, file);
      return JsonParser.parseReader(new InputStreamReader(stream, StandardCharsets.UTF_8)).getAsJsonObject();
    }
  }
}
