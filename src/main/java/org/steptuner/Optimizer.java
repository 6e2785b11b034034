// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.Pointer;

/**
 * A tuner over a rule, bound to a trainer's parameters and gradients. Built by {@code FixedRate}, {@code Mechanic}, ...
 *
 * <p>A step reads the gradients and moves the parameters in place; only {@link #zeroGradients} writes gradients. An optimizer owns its state and must
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
   *     or not finite, or the parameters are not those of training, see {@link #evaluating} and {@link #swapAverages}, or processes that
   *     train together do not agree, see {@link SumReducer}
   * @throws NonFiniteException if the optimizer was built with {@link NonFinite#THROW}
   * @throws DeviceException if the device fails
   */
  StepReport step();

  /**
   * The same, with the loss at the current parameters. Some tuners need it; every report contains it. A loss that is not finite is treated
   * like a gradient that is not finite.
   *
   * @param loss of the batch that the gradients belong to; where several processes train together, of this one's part of the batch
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
   * @throws IllegalStateException if the parameters are their averages, see {@link #swapAverages}
   * @throws DeviceException if the device fails, or has no memory for the training parameters
   */
  void evaluating();

  /**
   * Puts the training parameters back where they were before {@link #evaluating} or {@link #swapAverages}, bit for bit. What has been written to the parameters in
   * between is lost. Moves 2 words per element; does nothing if they are in their place.
   *
   * @throws DeviceException if the device fails
   */
  void training();

  /**
   * Whether the parameters are not those of training: since {@link #evaluating}, where that changes them, or since {@link #swapAverages},
   * until the training parameters are back.
   */
  boolean isEvaluating();

  /**
   * Exchanges the parameters and their exponential averages, for an optimizer built with {@code exponentialAverage(decay)}: the first call
   * puts the averages in the place of the parameters, rounded to their type, and the next one puts the training parameters back, bit for
   * bit. {@link #training} does that too. What has been written to the parameters in between is lost. Before the first step the averages
   * are the parameters.
   *
   * <p>The averages themselves stay in their slot. The training parameters are kept in the same scratch memory as by {@link #evaluating}: 4
   * words per element there, 2 back. The same holds meanwhile: a step is refused, and {@link #save} saves the training parameters. Only one
   * of the two can be on at a time, and the other is refused.
   *
   * @throws IllegalStateException if the optimizer keeps no exponential average, or the parameters are those of {@link #evaluating}
   * @throws DeviceException if the device fails, or has no memory for the training parameters
   */
  void swapAverages();

  /**
   * Sets the factor by which a step multiplies every gradient, such as the inverse of a loss scale. It costs no pass of its own.
   *
   * @param multiplier finite and not 0
   * @throws IllegalArgumentException if it is 0 or not finite
   */
  void setGradientMultiplier(double multiplier);

  /**
   * The factor to multiply the loss by before the coming backward pass; 1 unless the optimizer was built with a {@link LossScale}. A step
   * may change it. Gradients are divided by it in addition to {@link #setGradientMultiplier}.
   */
  double lossScale();

  /**
   * The tensors in which a parameter, a gradient or an element of the state is infinite or not a number, as they are now: after a skipped
   * step, before the trainer writes new gradients, it says what was wrong. Empty where everything is finite; a step may be skipped then
   * because a sum is too large for its type. It reads all of this memory once, and allocates on the device for that time.
   *
   * @return the tensors, in the order in which they were added
   * @throws DeviceException if the device fails
   */
  List<NonFiniteTensor> nonFiniteTensors();

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
   * The same, with the buffer of the caller's update (or curvature). The method without it leaves that where it is.
   *
   * @param updateAddress address of the first element of the update; 0 for none
   */
  void rebind(String tensor, long parameterAddress, long gradientAddress, long updateAddress);

  /**
   * Moves all tensors at once, or none: to where those of another set are, by their names. It takes what a set can be made of, such as
   * buffers and JavaCPP pointers. The optimizer keeps the set reachable, and with it its buffers and pointers, until the next call of this
   * method. On a GPU, memory from before must stay as it is until the steps that used it are done.
   *
   * <p>This and the methods for arrays of addresses cost far less than moving tensors one by one. Addresses that have not changed cost
   * nothing. Tensors that move together may take each other's places.
   *
   * @param moved a set on the same device with the same tensors: names, groups, types and counts
   * @throws IllegalArgumentException if the set differs, naming the tensor and what differs, or an address cannot be used, naming the
   *     tensor; nothing has changed then
   */
  void rebind(ParameterSet moved);

  /**
   * Moves all tensors at once, or none. Updates stay where they are. If only gradients move, nothing is allocated.
   *
   * @param parameterAddresses one for each tensor, in the order of {@code parameters().tensors()}
   * @param gradientAddresses likewise
   * @throws IllegalArgumentException if there are not as many addresses as tensors, or one cannot be used, naming the tensor; nothing has
   *     changed then
   */
  void rebind(long[] parameterAddresses, long[] gradientAddresses);

  /**
   * The same, with the updates.
   *
   * @param updateAddresses one for each tensor; 0 where there is none
   */
  void rebind(long[] parameterAddresses, long[] gradientAddresses, long[] updateAddresses);

  /**
   * Sets the gradients of all tensors to 0, for trainers that add gradients up: before the next backward pass, and just so after a step
   * that was skipped. It writes one word per element, on the stream of the steps; on a GPU nothing waits. Tensors without gradients are left
   * out, and update buffers stay as they are. It may be called while {@linkplain #evaluating evaluating}. Nothing is allocated.
   *
   * <p>Everything else only reads gradients, so it is here that they must be memory which may be written. On the CPU the first call after
   * gradients have moved checks that.
   *
   * @throws IllegalArgumentException if the gradients of a tensor cannot be written, naming it; none has changed then
   * @throws DeviceException if the device fails
   */
  void zeroGradients();

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
   * Ends tuning: from now on steps are those of the base rule, at the rate that has been learned so far, for each scope its own, times the
   * schedule and the factors of groups. The tuner's own state is freed, and steps cost what those of {@link
   * org.steptuner.tuner.FixedRate} cost: with Prodigy over AdamW 8 words per element instead of 14, and 2 words of state instead of 5. The
   * state of the rule goes on; where the tuner has its rate in it, it is divided out. A step then does to the bit what {@code FixedRate} at
   * that rate would do from the same state. Rules multiply their weight decay by that rate, as always.
   *
   * <p>A loss may still be given, and is only reported. An average that the tuner itself keeps for {@link #evaluating} ends: the parameters
   * are then the point to evaluate. A frozen run is saved and restored as such; restoring its file freezes an optimizer of the same tuner.
   * Limits of the rate act no longer. With a fixed rate there is nothing to freeze, and nothing happens.
   *
   * @throws IllegalStateException before the first step; if no rate above 0 has been learned; if the run cannot go on with the rule alone at
   *     one rate, as with a rate for each weight, dual averaging, or a rule whose step is not a multiple of its rate; or while {@link
   *     #isEvaluating}. The message says why, and nothing has changed
   * @throws DeviceException if the device fails
   * @see org.steptuner.tuner.TunerBuilder#tuneFor
   */
  void freeze();

  /** Whether tuning has ended, by {@link #freeze} or after the steps that {@code tuneFor} allows. */
  boolean isFrozen();

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
