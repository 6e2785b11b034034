// SPDX-License-Identifier: Apache-2.0
package org.steptuner.checkpoint;

import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.function.Function;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterRounding;
import org.steptuner.TestTensors;
import org.steptuner.tuner.TunerBuilder;

/**
 * A short run that a recorded checkpoint belongs to: {@link #SAVED} calls of {@code step}, a checkpoint, and as many calls more as make
 * {@link #FINISHED}. Everything that decides about its bits is in this package, so that the file of an older library can be gone on with.
 *
 * @param name also that of the recorded files
 * @param tensors what is trained
 * @param updates what the trainer writes into the update buffers
 * @param tuner made for the trainer, which some tuners ask for curvature
 */
public record RecordedRun(String name, Kind tensors, Updates updates, Function<Bowl, TunerBuilder<?>> tuner) {
  /** Calls of {@code step} before the checkpoint; one of them is skipped, since its gradient is not finite. */
  public static final int SAVED = 6;
  /** Calls of {@code step} in all. */
  public static final int FINISHED = 12;
  private static final int SKIPPED = 3;

  /** What is in the update buffers. */
  public enum Updates {
    /** The step of plain descent. */
    DESCENT,
    /** The diagonal of the Hessian. */
    DIAGONAL
  }

  /** The sets of tensors. */
  public enum Kind {
    /** All types, three groups, an empty tensor, and names and groups in which nothing can be searched. */
    ODD {
      @Override
      public TestTensors make() {
        return new TestTensors()
            .add("layer.0/weight", DataType.FLOAT32, 7)
            .add("", DataType.FLOAT64, 5)
            .group("no decay")
            .add(" blanks = \"quotes\", and 12 FLOAT32 in a: b ", DataType.BFLOAT16, 9)
            .add("two\nlines\r\\n\\", DataType.FLOAT16, 4)
            .group("a: b, in c\n\\")
            .add("gr\u00f6\u00dfe \u91cd\u307f \ud83d\ude00", DataType.FLOAT32, DataType.BFLOAT16, 3, 0)
            .add("empty", DataType.FLOAT32, 0)
            .add("tensor.0", DataType.FLOAT64, DataType.FLOAT32, 1, 0);
      }
    },
    /** Some of these in another order, one of them in another group, and others. */
    CHANGED {
      @Override
      public TestTensors make() {
        return new TestTensors()
            .add("tensor.0", DataType.FLOAT64, 1)
            .add("new, large", DataType.FLOAT32, 300)
            .group("no decay")
            .add("two\nlines\r\\n\\", DataType.FLOAT16, 4)
            .add("new", DataType.BFLOAT16, 2)
            .group("a: b, in c\n\\")
            .add("empty", DataType.FLOAT32, 0)
            .add("gr\u00f6\u00dfe \u91cd\u307f \ud83d\ude00", DataType.FLOAT32, 3)
            .group("default")
            .add("layer.0/weight", DataType.FLOAT32, 7);
      }
    },
    /** Two tensors, in one group. */
    PLAIN {
      @Override
      public TestTensors make() {
        return new TestTensors().add("w", DataType.FLOAT32, 6).add("b", DataType.FLOAT64, 3);
      }
    },
    /** More than the buffer of a writer. */
    LARGE {
      @Override
      public TestTensors make() {
        return new TestTensors().add("w", DataType.FLOAT32, 17_000).group("no decay").add("b", DataType.BFLOAT16, 300);
      }
    },
    /** Types that state of 16 bits can be beside. */
    NARROW {
      @Override
      public TestTensors make() {
        return new TestTensors().add("w", DataType.FLOAT32, 90).group("no decay").add("b", DataType.BFLOAT16, 40)
            .add("h", DataType.FLOAT16, 5);
      }
    },
    /** More tensors than elements of most. */
    MANY {
      @Override
      public TestTensors make() {
        final TestTensors many = new TestTensors();
        for (int t = 0; t < 60; ++t) many.group("group " + t % 7).add("tensor " + t, DataType.values()[t % 4], t % 3);
        return many;
      }
    };

    /** New tensors, at the point where a run begins. */
    public abstract TestTensors make();
  }

  static RecordedRun odd(String name, Function<Bowl, TunerBuilder<?>> tuner) {
    return new RecordedRun(name, Kind.ODD, Updates.DESCENT, tuner);
  }

  static RecordedRun plain(String name, Function<Bowl, TunerBuilder<?>> tuner) {
    return new RecordedRun(name, Kind.PLAIN, Updates.DESCENT, tuner);
  }

  static RecordedRun diagonal(String name, Function<Bowl, TunerBuilder<?>> tuner) {
    return new RecordedRun(name, Kind.ODD, Updates.DIAGONAL, tuner);
  }

  /** The same tuner over another set of tensors. */
  public RecordedRun over(Kind other) {
    return new RecordedRun(name + " over " + other, other, updates, tuner);
  }

  /** A trainer at the beginning of the run. */
  public Bowl begin() {
    return new Bowl(tensors.make(), updates);
  }

  /** The optimizer of a trainer, as it is before the first step. It rounds as the libraries did that wrote the files. */
  public Optimizer optimizer(Bowl bowl) {
    return tuner.apply(bowl).parameterRounding(ParameterRounding.NEAREST).build(bowl.tensors().on(Device.cpu(1)));
  }

  /** Makes the calls of {@code step} from one number to another. */
  public void train(Bowl bowl, Optimizer optimizer, int from, int to) {
    for (int call = from; call < to; ++call) bowl.step(optimizer, call, call == SKIPPED);
  }

  /** What a run ends with: steps, skipped steps, and the bits of all parameters, a line for each tensor. */
  public static List<String> outcome(Bowl bowl, Optimizer optimizer) {
    final List<String> lines = new ArrayList<>();
    lines.add("steps " + optimizer.steps());
    lines.add("skipped " + optimizer.report().skippedSteps());
    bowl.tensors().all().forEach(tensor -> lines.add("bits " + HexFormat.of().formatHex(tensor.parameters().toBytes())));
    return lines;
  }

  @Override
  public String toString() {
    return name;
  }
}
