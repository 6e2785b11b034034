// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.Pointer;

/**
 * A tuner over a rule, bound to a trainer's parameters and gradients. Built by {@code FixedRate}, {@code Mechanic}, ...
 *
 * <p>A step reads the gradients and moves the parameters in place; it never writes gradients. An optimizer owns its state and must
 * be closed. It belongs to one thread at a time: a call during another call, and any call after {@link #close}, throws
 * {@link IllegalStateException} and changes nothing; only {@link #report}, {@link #parameters}, {@link #steps}, {@link #slots} and
 * {@link #wordsPerElement} always answer. Nothing is allocated by a step.
 */
public interface Optimizer extends AutoCloseable {
  /**
   * One step with the gradients as they are now.
   *
   * @return what it did; the same object every time, see {@link StepReport#copy}
   * @throws NonFiniteException if the optimizer was told to throw ({@link NonFinite#THROW})
   * @throws DeviceException if the device fails
   */
  StepReport step();

  /**
   * The same, with the loss at the current parameters, which some tuners need and every report passes on. A loss that is not finite
   * is treated like a gradient that is not.
   */
  StepReport step(double loss);

  /** The report of the last step. */
  StepReport report();

  /** What is optimized. */
  ParameterSet parameters();

  /** Steps made, skipped ones not counted. */
  long steps();

  /** Words that a step reads and writes per element, by sweep: what the step costs out of cache. */
  double wordsPerElement();

  /** A factor on every gradient, fused into the sweeps: the inverse of a loss scale. Finite and not 0. */
  void setGradientMultiplier(double multiplier);

  /** The stream that sweeps run on, as a raw handle ({@code CUstream}); 0 is the default stream. Ignored by the CPU. */
  void setStream(long stream);

  /** The same for a stream of bytedeco's CUDA presets ({@code CUstream_st}); null is the default stream. The caller keeps it open. */
  default void setStream(Pointer stream) {
    setStream(stream == null ? 0 : stream.address());
  }

  /**
   * Moves a tensor to other addresses, for trainers that allocate gradients anew. Addresses are checked as in {@link ParameterSet}.
   *
   * @param tensor the name that it was added under
   */
  void rebind(String tensor, long parameterAddress, long gradientAddress);

  /** The scalars of the tuner by name, each with one value per scope (and coordinate); a copy. Names are those of the papers; each tuner's page says which
   * there are. What only the implementation knows is in checkpoints and not here. */
  Map<String, double[]> scalars();

  /** The names of the state slots, first the rule's, then the tuner's: those under which saved files have them. */
  List<String> slots();

  /**
   * Where the state of a tensor lies, for whatever needs it beside the optimizer: the trace that a Hessian is to be multiplied with, a
   * second moment to look at.
   *
   * @param slot one of {@link #slots}
   * @param tensor the name that it was added under
   * @throws IllegalArgumentException if there is no such slot or tensor
   */
  StateTensor state(String slot, String tensor);

  /**
   * Saves parameters, state, scalars, step and hyperparameters, so that a restored run equals an uninterrupted one bit for bit. The
   * file appears whole or not at all. A schedule is code and a gradient multiplier changes by the step: the caller sets both again.
   *
   * @throws java.io.UncheckedIOException if it cannot be written
   */
  void save(Path file);

  /**
   * Restores what {@link #save} wrote. The whole file is checked before anything is changed.
   *
   * @throws CheckpointException if the file is damaged, or belongs to another optimizer, other hyperparameters or other tensors
   * @throws java.io.UncheckedIOException if it cannot be read
   */
  void restore(Path file);

  /** Frees the state. Closing twice is harmless; closing during a step throws {@link IllegalStateException}. */
  @Override
  void close();
}
