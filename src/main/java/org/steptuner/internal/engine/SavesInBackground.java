// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.file.Path;
import java.util.Map;

/** What a folder of checkpoints needs of an optimizer. */
public interface SavesInBackground {
  /**
   * Saves as {@link org.steptuner.Optimizer#saveInBackground(Path, Map)} does.
   *
   * @param whenWritten done by the writer when the file is whole and in its place
   */
  void saveInBackground(Path file, Map<String, byte[]> entries, Runnable whenWritten);
}
