// SPDX-License-Identifier: Apache-2.0
package org.steptuner.property;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.steptuner.Device;
import org.steptuner.property.Trial.Call;

/** Beside a plain {@link Model} in float64, over any sequence of calls. */
class ModelPropertyTest {
  @Provide
  Arbitrary<Trial> trials() {
    return Trial.inFloat64(Arrays.stream(Action.values()).filter(action -> action != Action.FREEZE && action != Action.PARAMETERS_MOVED)
        .toArray(Action[]::new));
  }

  @Property(seed = "6")
  void theLibraryDoesWhatTheFormulasSay(@ForAll("trials") Trial trial, @ForAll Model.Kind kind) {
    try (Run run = new Run(Run.whole(trial), () -> kind.builder(trial.clips()), trial.seed(), Device.cpu(2))) {
      final Model model = kind.model(trial.clips(), run.byElement());
      run.onStep(model::step);
      for (Call call : trial.calls()) {
        call.action().on(run, call.choice());
        assertClose(model, run, kind + " after " + call);
      }
      run.step();
      assertClose(model, run, kind + " at the end");
    }
  }

  private static void assertClose(Model model, Run run, String what) {
    final double most = Arrays.stream(model.x).map(Math::abs).max().orElse(0);
    assertArrayEquals(model.x, run.byElement(), 1e-9 * Math.max(1, most), what);
    assertEquals(model.scale, run.optimizer().report().learnedScale(), 1e-8 * model.scale, what);
  }
}
