// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.Pointer;

/**
 * A tuner over a rule, bound to a trainer's parameters and gradients. Built by {@code FixedRate}, {@code Mechanic}, ...
 *
 * <p>A step reads the gradients and moves the parameters in place; it never writes gradients. An optimizer owns its state and must
 * be closed. It belongs to one thread at a time: a call during another call, and any call after {@link #close}, throws
 * {@link IllegalStateException} and changes nothing; only {@link #report}, {@link #parameters}, {@link #steps}, {@link #slots},
 * {@link #isEvaluating} and {@link #wordsPerElement} always answer. Nothing is allocated by a step.
 */
public interface Optimizer extends AutoCloseable {
  /**
   * One step with the gradients as they are now.
   *
   * @return what it did; the same object every time, see {@link StepReport#copy}
   * @throws IllegalStateException if the tuner needs the loss, see {@link #step(double)}, or the schedule gives a factor that is negative
   *     or not finite, or the parameters are those to evaluate, see {@link #evaluating}
   * @throws NonFiniteException if the optimizer was built with {@link NonFinite#THROW}
   * @throws DeviceException if the device fails
   */
  StepReport step();

  /**
   * The same, with the loss at the current parameters. Some tuners need it; every report contains it. A loss that is not finite is treated
   * like a gradient that is not finite.
   *
   * @param loss of the batch that the gradients belong to
   * @return what it did; the same object every time, see {@link StepReport#copy}
   */
  StepReport step(double loss);

  /** The report of the last step. */
  StepReport report();

  /** The parameters that it moves, at the addresses that they have now: after a {@link #rebind} it is another set. */
  ParameterSet parameters();

  /** The number of steps made; skipped ones are not counted. */
  long steps();

  /**
   * The words that a step reads and writes per element, over all its sweeps. Beyond the caches they determine its time. A word is one
   * element of parameters, gradients or state, whatever its type.
   */
  double wordsPerElement();

  /**
   * Puts the point that is to be evaluated, and saved as the model, in the place of the parameters. Some tuners and rules average the
   * points that they visit, and train at others than they answer for; their pages say so. For all others this does nothing, so that a
   * trainer may always call it before it evaluates a model or writes it to a file. Calling it twice is harmless.
   *
   * <p>The training parameters are kept in scratch memory, one word per element, which the first call allocates. A call moves 4 words per
   * element, on the stream of the steps. While evaluating, a step is refused, and {@link #rebind} moves a tensor as always. {@link #close}
   * leaves the parameters as they are.
   *
   * @throws DeviceException if the device fails, or has no memory for the training parameters
   */
  void evaluating();

  /**
   * Puts the training parameters back where they were before {@link #evaluating}, bit for bit. What has been written to the parameters in
   * between is lost. Moves 2 words per element; does nothing if they are in their place.
   *
   * @throws DeviceException if the device fails
   */
  void training();

  /** Whether the parameters are those to evaluate, and not those of training: since {@link #evaluating}, where that changes them. */
  boolean isEvaluating();

  /**
   * Sets the factor by which a step multiplies every gradient, such as the inverse of a loss scale. It costs no pass of its own.
   *
   * @param multiplier finite and not 0
   * @throws IllegalArgumentException if it is 0 or not finite
   */
  void setGradientMultiplier(double multiplier);

  /**
   * Sets the stream of a GPU that steps run on. The CPU ignores it.
   *
   * @param stream a raw handle ({@code CUstream}); 0 is the default stream
   */
  void setStream(long stream);

  /**
   * The same for a stream of bytedeco's CUDA presets.
   *
   * @param stream a {@code CUstream_st}, which the caller keeps open; null is the default stream
   */
  default void setStream(Pointer stream) {
    setStream(stream == null ? 0 : stream.address());
  }

  /**
   * Moves a tensor to other addresses, for trainers that allocate gradients anew. Addresses are checked as in {@link ParameterSet}.
   *
   * @param tensor the name that it was added under
   * @param parameterAddress address of the first parameter, on the device
   * @param gradientAddress address of the first gradient, on the device
   * @throws IllegalArgumentException if there is no such tensor, or an address cannot be used; nothing has changed then
   */
  void rebind(String tensor, long parameterAddress, long gradientAddress);

  /**
   * Sets which tensors have no gradient from now on, for steps that leave parts of a model out. The others take part. A step goes on as if
   * those were not there: their parameters and state stay as they are, bit for bit, whatever is in their gradients' memory, even NaN, and
   * their gradients are in no sum, norm or guard, and are not clipped. Scalars of a scope, or of a group, that has no other tensor stay
   * too, and the report's effective rate of such a scope is 0. If all tensors sit out, a step is made and nothing moves; no scalar changes.
   *
   * <p>The number of steps is the run's, also for tensors that sit out: rules that correct a bias by it, such as Adam, go on with the
   * number that they find when they come back. A tensor that comes back goes on from its parameters: what the others have learned meanwhile
   * does not move it.
   *
   * <p>{@link #rebind} and {@link #restore} leave this setting as it is, and {@link #save} does not save it. A file has all tensors as if
   * they came back at that moment. A call with the tensors that sit out already costs nothing. With several processes, each of them makes
   * this call at the same point, with its own tensors or none, since a scope sits out if it does so in all of them: the reducer is called
   * once.
   *
   * @param tensors the names of all tensors that sit out from now on; empty for none
   * @throws IllegalArgumentException if there is no tensor of a name; the message has all such names, and nothing has changed then
   * @throws IllegalStateException while the parameters are those to {@linkplain #evaluating evaluate}
   * @throws DeviceException if the device fails
   */
  void sitOut(Collection<String> tensors);

  /** {@link #parametersMoved(Collection)} of all tensors. */
  void parametersMoved();

  /**
   * Says that the trainer has written into the parameters of tensors since the last step: loaded weights, a constraint, an average of
   * several runs. They stay as they were written, and training goes on from there. Without this call, tuners and rules that rebuild x from
   * points of their own, or lead x to such a point, undo the change in part or as a whole, see the table in {@code docs/life.md}. For the
   * others the call does nothing, so that a trainer may always make it.
   *
   * <p>What has been learned stays. What is kept as a sum of steps moves along with the parameters. A point that is kept itself is put at
   * the new parameters, which ends the momentum that it had. Before the first step there is nothing to do. A call reads each parameter
   * once, and the slots that are tied to it, on the stream of the steps.
   *
   * @param tensors the names of the tensors that were written
   * @throws IllegalArgumentException if there is no tensor of a name; the message has all such names, and nothing has changed then
   * @throws IllegalStateException while the parameters are those to {@linkplain #evaluating evaluate}
   * @throws DeviceException if the device fails
   */
  void parametersMoved(Collection<String> tensors);

  /**
   * The scalars of the tuner by name, each with one value per scope (and coordinate); a copy. The names are those of the papers; the page
   * of a tuner or rule lists them. Those of rules have one value per parameter group, or per tensor with {@link Scope#TENSOR}. Values that
   * only the implementation uses are in checkpoints, but not here.
   */
  Map<String, double[]> scalars();

  /** The names of the state slots, as in saved files: first those of the rule, then those of the tuner. */
  List<String> slots();

  /**
   * The place where the state of a tensor is kept, for code outside the optimizer that needs it: to multiply a Hessian with a trace, or to
   * look at a second moment.
   *
   * @param slot one of {@link #slots}
   * @param tensor the name that it was added under
   * @throws IllegalArgumentException if there is no such slot or tensor
   */
  StateTensor state(String slot, String tensor);

  /**
   * Saves parameters, state, scalars, step and hyperparameters, so that a restored run equals an uninterrupted one bit for bit. The file
   * appears whole or not at all: it is written beside its place, forced to the disk, and then takes its name. The schedule and the gradient
   * multiplier are not saved; the caller sets both again.
   *
   * <p>The parameters in it are those of training. While {@link #isEvaluating}, they are put back for the time of this call.
   *
   * <p>The file may be on any file system, such as {@code zipfs}. A symbolic link stays, and the file that it leads to is replaced. A file
   * that is replaced hands on its permissions. An interrupted thread can save; it stays interrupted.
   *
   * <p>If a {@linkplain #saveInBackground(Path) save in the background} is going on, this waits for its end. If that one failed, this
   * one is made all the same, and then the error of the other is thrown.
   *
   * @param file where to write; an existing file is replaced
   * @throws java.io.UncheckedIOException if it cannot be written, with the reason; an existing file stays as it is, and nothing is left
   *     beside it. Also if an earlier save in the background failed: the message then begins with "in the background"
   * @throws DeviceException if the device fails
   */
  void save(Path file);

  /**
   * The same, with entries of the caller's own, such as an epoch, a position in the data, the state of a random generator. In the zip file
   * they are {@code entries/NAME}.
   *
   * @param file where to write; an existing file is replaced
   * @param entries contents by name. A name has parts of the letters a-z and A-Z, digits and {@code ._-}, with {@code /} between parts,
   *     and at most 200 characters. No part is {@code .} or {@code ..}, and no name is the folder of another
   * @throws IllegalArgumentException if a name cannot be used
   */
  void save(Path file, Map<String, byte[]> entries);

  /** {@link #saveInBackground(Path, Map)} without entries. */
  void saveInBackground(Path file);

  /**
   * Saves what {@link #save(Path, Map)} would save now, while the caller goes on. This call copies everything into memory of the host;
   * a thread of its own then writes that to the file and frees the memory. Steps made meanwhile do not change the file, and cost no more
   * than they always do.
   *
   * <p>The copy is as large as the file. It is outside of the Java heap.
   *
   * <p>One file is written at a time: a second call waits for the end of the first. So do {@link #save}, {@link #restore},
   * {@link #awaitSaved} and {@link #close}. They wait on an interrupted thread too, which stays interrupted. The JVM waits for the writer
   * when its last thread ends, but not after {@link System#exit}: call one of these before that.
   *
   * <p>If writing fails, the next of these calls throws the {@link java.io.UncheckedIOException}, once. A call that saves or closes does
   * its own work before.
   *
   * @param file where to write; an existing file is replaced
   * @param entries as in {@link #save(Path, Map)}; their contents are copied
   * @throws IllegalArgumentException if a name of an entry cannot be used
   * @throws DeviceException if there is not enough memory for the copy, or the device fails; nothing has changed then
   * @throws java.io.UncheckedIOException if an earlier save in the background failed; this one has been begun all the same
   */
  void saveInBackground(Path file, Map<String, byte[]> entries);

  /**
   * Waits until the file of {@link #saveInBackground(Path)} is whole and in its place. Returns at once if none is being written.
   *
   * @throws java.io.UncheckedIOException if it could not be written, with the reason
   */
  void awaitSaved();

  /**
   * Restores what {@link #save} wrote, from any file system, if nothing differs: the run then goes on as if it had never been interrupted,
   * bit for bit. Otherwise the file is refused, and nothing has changed.
   *
   * @param file a checkpoint of an optimizer with the same tuner, rule, settings and tensors, in the same order and groups
   * @return what the file has: the caller's own entries
   * @throws CheckpointException if the file is damaged, or belongs to another optimizer, other settings or other tensors
   * @throws java.io.UncheckedIOException if it cannot be read, or an earlier save in the background failed; nothing has changed then
   * @throws DeviceException if the device fails; its message says so if parameters and state have been restored in part
   */
  default Restored restore(Path file) {
    return restore(file, RestoreOptions.strict());
  }

  /**
   * Restores what {@link #save} wrote, where some things may differ. Parameters and state are taken by the names of tensors, and learned
   * scalars by those of scopes. Settings are those that this optimizer was built with. All that is used of the file is checked before
   * anything changes. The parameters are those of training then, also if the optimizer {@link #isEvaluating}.
   *
   * <p>A tensor that the file lacks keeps its parameters, and starts with the state of a first step. The number of steps is that of the
   * optimizer, for all tensors: rules that correct a bias by it, such as Adam, have no bias correction for a tensor that joins late, so its
   * first steps may be some times as long as usual.
   *
   * @param file a checkpoint of an optimizer with the same tuner, form and rule
   * @param options what may differ
   * @return what differs, and the caller's own entries
   * @throws CheckpointException if the file is damaged, or something differs that may not; its message names both values, and the option
   *     that would accept them. Nothing has changed then
   * @throws IllegalArgumentException if the options name a tensor that this optimizer does not have
   * @throws java.io.UncheckedIOException if it cannot be read, or an earlier save in the background failed; nothing has changed then
   * @throws DeviceException if the device fails; its message says so if parameters and state have been restored in part
   */
  Restored restore(Path file, RestoreOptions options);

  /**
   * Frees the state, after a save in the background has ended. Closing twice is harmless; closing during a step throws
   * {@link IllegalStateException}.
   *
   * @throws java.io.UncheckedIOException if an earlier save in the background failed and no call has said so yet; the state is freed then
   */
  @Override
  void close();
}
