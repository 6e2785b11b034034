// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.io.IOException;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;

/** What the jobs of the command line have in common. */
final class Jobs {
  /** Draws into files. */
  interface Pictures {
    void draw() throws IOException;
  }

  private Jobs() {}

  /** Refuses an option below 1. */
  static void checkPositive(CommandSpec job, String option, int value) {
    if (value < 1) throw new ParameterException(job.commandLine(), option + " must be 1 or more, not " + value);
  }

  /**
   * Draws, or says why there are no pictures. A machine without fonts makes AWT fail with errors as well as with exceptions; the numbers
   * matter more than the pictures.
   *
   * @param instead where the numbers are
   */
  static void draw(CommandSpec job, Pictures pictures, String instead) {
    System.setProperty("java.awt.headless", "true");
    try {
      pictures.draw();
    } catch (IOException | RuntimeException | LinkageError | InternalError e) {
      job.commandLine()
          .getErr()
          .println("No pictures: " + e
              + "\nJava draws text with fontconfig and a font (Debian: apt-get install fontconfig fonts-dejavu-core); " + instead);
    }
  }
}
