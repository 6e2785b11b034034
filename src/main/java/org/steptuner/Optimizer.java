// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.bytedeco.javacpp.Pointer;

/**
 * A tuner over a rule, bound to a trainer's parameters and gradients. Built by {@code FixedRate}, {@code Mechanic}, ...
 *
 * <p>A step reads the gradients and moves the parameters in place; only {@link #zeroGradients} writes gradients. An optimizer owns its
 * state and must be closed. It belongs to one thread at a time: a call during another call, and any call after {@link #close}, throws
 * {@link IllegalStateException} and changes nothing; only {@link #report}, {@link #parameters}, {@link #steps}, {@link #slots},
 * {@link #lossScale}, {@link #isEvaluating}, {@link #isFrozen} and {@link #wordsPerElement} always answer. Nothing is allocated by a step,
 * but for the one at which {@code tuneFor} ends tuning.
 */
public interface Optimizer extends Resumable, AutoCloseable {
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

  /**
   * Lets the device make the coming steps alone, so that they can be part of a CUDA graph: {@link #capturable(CaptureOptions)} with the
   * defaults.
   */
  CapturableSteps capturable();

  /**
   * Lets the device make the coming steps alone: nothing is read back between the sweeps, so that a step can be part of a CUDA graph. The
   * optimizer is held until what this returns is closed, and then goes on where it is. It waits for the steps so far, and allocates.
   *
   * <p>There are such steps for {@code FixedRate}, {@code Mechanic}, {@code Prodigy}, {@code DAdaptation}, {@code MoMo} and {@code
   * MetaOptimize}, in most of their forms: {@code docs/tuners.md} says in which. They need one process, no loss scale, no exponential
   * average, no rule that keeps an average, no {@code gradientL1}, no {@code tuneFor} that is still to come, and all tensors in the steps.
   *
   * @throws UnsupportedOperationException if this optimizer cannot do that; the message says why
   * @throws IllegalStateException while {@link #isEvaluating}, while tensors {@linkplain #sitOut sit out}, while the stream is being captured,
   *     or if the tuner needs the loss and the options have no place for it
   * @throws IllegalArgumentException if the capacity is too large for a buffer, or the loss cannot be read at its address
   * @throws DeviceException if the device fails, or has no memory for it
   */
  CapturableSteps capturable(CaptureOptions options);

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
   * Puts the training parameters back where they were before {@link #evaluating} or {@link #swapAverages}, bit for bit. What has been
   * written to the parameters in between is lost. Moves 2 words per element; does nothing if they are in their place.
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
   * that was skipped. It writes one word per element, on the stream of the steps; on a GPU nothing waits. Tensors without gradients are
   * left out, and update buffers stay as they are. It may be called while {@linkplain #evaluating evaluating}. Nothing is allocated.
   *
   * <p>Everything else only reads gradients, so it is here that they must be memory which may be written. On the CPU the first call after
   * gradients have moved checks that.
   *
   * @throws IllegalArgumentException if the gradients of a tensor cannot be written, naming it; none has changed then
   * @throws DeviceException if the device fails
   */
  void zeroGradients();

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
   * the new parameters, which ends the momentum that it had. An exponential average is no such point: it goes on from where it is, towards
   * the parameters as they are now. Of parameters {@linkplain ParameterRounding#IN_PARTS in parts} the rest becomes 0, and without this call
   * it stays: less than the distance of two bfloat16 numbers. Before the first step there is nothing else to do. A call reads each parameter
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
   * @throws IllegalStateException before the first step; if no rate above 0 has been learned; if the run cannot go on with the rule alone
   *     at one rate, as with a rate for each weight, dual averaging, or a rule whose step is not a multiple of its rate; or while {@link
   *     #isEvaluating}. The message says why, and nothing has changed
   * @throws DeviceException if the device fails
   * @see org.steptuner.tuner.TunerBuilder#tuneFor
   */
  void freeze();

  /** Whether tuning has ended, by {@link #freeze} or after the steps that {@code tuneFor} allows. */
  boolean isFrozen();

  /**
   * Frees the state, after a save in the background has ended. Closing twice is harmless; closing during a step throws
   * {@link IllegalStateException}.
   *
   * @throws java.io.UncheckedIOException if an earlier save in the background failed and no call has said so yet; the state is freed then
   */
  @Override
  void close();
}
