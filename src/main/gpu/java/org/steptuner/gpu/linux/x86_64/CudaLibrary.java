// SPDX-License-Identifier: Apache-2.0
package org.steptuner.gpu.linux.x86_64;

import java.net.URL;
import org.steptuner.spi.DeviceLibrary;

/** The CUDA library that lies beside this class. */
public final class CudaLibrary implements DeviceLibrary {
  /** For the service loader. */
  public CudaLibrary() {}

  @Override
  public String platform() {
    return "linux-x86_64";
  }

  @Override
  public URL resource() {
    return CudaLibrary.class.getResource("libsteptuner_cuda.so");
  }
}
