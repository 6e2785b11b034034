// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.bytedeco.javacpp.FloatPointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.ScheduleRefinement;
import org.steptuner.rule.Adam;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.MetaCurvature;
import org.steptuner.tuner.MetaOptimize;

class LogisticSuiteTest {
  private static final Dataset IRIS = Datasets.load(Datasets.ALL.get(0), null);

  /** A small step against the gradient lowers the loss by rate |g|^2. */
  @Test
  void theGradientIsThatOfTheLoss() {
    final int[] all = new int[IRIS.count()];
    for (int i = 0; i < all.length; ++i) all[i] = i;
    final SoftmaxRegression model = new SoftmaxRegression(IRIS, 0.1);
    final double rate = 1e-3;
    try (Optimizer optimizer = FixedRate.of(rate, SGD.defaults()).build(model.on(Device.cpu(1)))) {
      assertEquals(Math.log(3), model.loss(), 1e-6);
      for (int step = 0; step < 30; ++step) {
        final double before = model.backward(all, 0, all.length);
        assertEquals(model.loss(), before, 1e-6);
        final double norm = optimizer.step(before).gradientNorm();
        assertEquals(rate * norm * norm, before - model.loss(), 0.01 * rate * norm * norm);
      }
    }
  }

  /** The diagonal is what gradients change by, and with it the optimizer that needs it steps. */
  @Test
  void theCurvatureIsThatOfTheLoss() {
    final int[] some = {3, 60, 77, 120};
    final SoftmaxRegression model = new SoftmaxRegression(IRIS, 0.1);
    final MetaOptimize tuner = MetaOptimize.tuning(Adam.defaults()).curvature(MetaCurvature.DIAGONAL);
    final ParameterSet parameters = model.withCurvature(Device.cpu(1));
    try (Optimizer optimizer = tuner.build(parameters)) {
      for (int step = 0; step < 3; ++step) optimizer.step(model.backward(some, 0, some.length));
      assertEquals(model.loss(some, 0, some.length), model.backward(some, 0, some.length), 0);
    }
    for (ParameterSet.Tensor tensor : parameters.tensors()) {
      final FloatBuffer values = buffer(tensor.parameterAddress(), tensor.count());
      final FloatBuffer gradients = buffer(tensor.gradientAddress(), tensor.count());
      final FloatBuffer curvature = buffer(tensor.updateAddress(), tensor.count());
      for (int k = 0; k < tensor.count(); ++k) {
        model.backward(some, 0, some.length);
        final float at = values.get(k);
        final double expected = curvature.get(k);
        final double before = gradients.get(k);
        values.put(k, at + 1e-2f);
        model.backward(some, 0, some.length);
        assertEquals(expected, (gradients.get(k) - before) / (values.get(k) - at), 0.02 * expected, tensor.name() + " " + k);
        values.put(k, at);
      }
    }
  }

  private static FloatBuffer buffer(long begin, long count) {
    final FloatPointer pointer = new FloatPointer() {
      {
        address = begin;
      }
    };
    return pointer.capacity(count).asBuffer();
  }

  @Test
  void aSmallSuite(@TempDir Path folder) throws IOException {
    final LogisticSuite.Setting setting = new LogisticSuite.Setting(5, 40, 16, 1e-3, 1);
    final AtomicInteger runs = new AtomicInteger();
    final List<Contender> contenders = Contender.ALL.subList(0, 3);
    final LogisticSuite.Result result = new LogisticSuite(IRIS, setting).run(contenders, runs::incrementAndGet);
    assertEquals(40, result.steps());
    assertEquals(LogisticSuite.runs(contenders), runs.get());
    assertEquals(LogisticSuite.GRID.length, result.grid().size());
    for (LogisticSuite.Run run : result.grid()) assertTrue(run.loss() >= result.tuned().loss());
    assertTrue(result.tuned().loss() < 0.5 * Math.log(3), "tuned " + result.tuned());
    assertEquals(40, result.norms().length);

    final SuiteReport report = new SuiteReport(setting, List.of(result));
    final int untuned = report.names().indexOf("Adam at 1e-3, untuned");
    assertTrue(report.ratios(untuned)[0] > 1.5 && report.near(untuned) == 0, report.table());
    assertTrue(report.table().contains("| Adam at 1e-3, untuned"));
    report.write(folder);
    assertArrayEquals(result.norms(), ScheduleRefinement.load(folder.resolve("gradient-norms/iris.txt")));
    assertTrue(Files.readString(folder.resolve("datasets.json")).contains("\"tuned\""));
    assertEquals(report.table(), Files.readString(folder.resolve("datasets.md")));
  }

  @Test
  void ratiosForPeople() {
    assertEquals("1.04", SuiteReport.text(1.04));
    assertEquals("57", SuiteReport.text(57.2));
    assertEquals("1e+05", SuiteReport.text(123456));
    assertEquals("diverged", SuiteReport.text(Double.POSITIVE_INFINITY));
    assertEquals("diverged", SuiteReport.text(Double.NaN));
  }
}
