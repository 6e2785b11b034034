// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.nio.file.Path;
import java.util.Map;

/** What can be saved to a file, and go on from there: the part of {@link Optimizer} that is about checkpoints. */
public interface Resumable {
  /**
   * Saves parameters, state, scalars, step and hyperparameters, so that a restored run equals an uninterrupted one bit for bit. The file
   * appears whole or not at all: it is written beside its place, forced to the disk, and then takes its name. Schedules and the gradient
   * multiplier are not saved; the caller sets both again. Nor is it saved which tensors {@linkplain Optimizer#sitOut sit out}.
   *
   * <p>The parameters in it are those of training. While {@link Optimizer#isEvaluating}, they are put back for the time of this call.
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
   * {@link #awaitSaved} and {@link Optimizer#close}. They wait on an interrupted thread too, which stays interrupted. The JVM waits for the
   * writer when its last thread ends, but not after {@link System#exit}: call one of these before that.
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
   * anything changes. The parameters are those of training then, also if the optimizer {@link Optimizer#isEvaluating}. Reports begin anew:
   * until a step is made they say the number of steps and the learned scales.
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
}
