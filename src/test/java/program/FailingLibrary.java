// SPDX-License-Identifier: Apache-2.0
package program;

import java.net.URL;
import org.steptuner.spi.DeviceLibrary;

/** The class of a GPU jar that cannot start. */
public final class FailingLibrary implements DeviceLibrary {
  static final int LIMIT = Integer.parseInt("planted");

  /** For the service loader. */
  public FailingLibrary() {}

  @Override
  public String platform() {
    return "linux-x86_64";
  }

  @Override
  public URL resource() {
    return null;
  }
}
