// SPDX-License-Identifier: Apache-2.0
package org.steptuner.property;

import java.util.List;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import org.opentest4j.TestAbortedException;
import org.steptuner.Device;
import org.steptuner.SavedState;
import org.steptuner.TestDevices;
import org.steptuner.property.Trial.Call;

/** Whatever a trainer calls, in whatever order, over whatever tensors. */
class CallOrderPropertyTest {
  @Provide
  Arbitrary<Trial> trials() {
    return Trial.any(Action.values());
  }

  /**
   * Skipped steps, rebinding, saving and restoring, evaluating, looking: a run with such calls, wherever they stand, has the bits of the
   * run without them, after each call and at its end.
   */
  @Property(seed = "1")
  void callsThatChangeNothing(@ForAll("trials") Trial trial) {
    final Device device = Device.cpu(2);
    try (Run one = new Run(trial, device); Run other = new Run(trial, device)) {
      int number = 0;
      for (Call call : trial.calls()) {
        if (!call.action().changesNothing) call.action().on(one, call.choice());
        call.action().on(other, call.choice());
        other.assertSameParameters(one, "after call " + ++number + ", " + call);
        // Not after all of them: a save takes sums that wait to be taken.
        if (call.action().changesNothing && call.choice() % 2 == 0)
          SavedState.of(one.optimizer()).assertUnchanged(SavedState.of(other.optimizer()), "after call " + number + ", " + call);
      }
      one.step();
      other.step();
      other.assertSame(one, trial.formName());
      Action.assertClosed(other);
      other.assertSameParameters(one, "closed");
    }
  }

  /** The same calls have the same bits on another device: another instruction set, other threads, an emulated GPU. */
  @Property(seed = "2")
  void everyDeviceGivesTheSameBits(@ForAll("trials") Trial trial, @ForAll byte deviceNumber) {
    final List<TestDevices.Candidate> devices = TestDevices.all();
    final Device device;
    try {
      device = devices.get(Byte.toUnsignedInt(deviceNumber) % devices.size()).open();
    } catch (TestAbortedException lacking) {
      return; // this processor has no such instructions
    }
    try (Run one = new Run(trial, TestDevices.reference()); Run other = new Run(trial, device)) {
      for (Call call : trial.calls()) {
        call.action().on(one, call.choice());
        call.action().on(other, call.choice());
      }
      one.step();
      other.step();
      other.assertSame(one, trial.formName() + " on " + device);
    }
  }
}
