// SPDX-License-Identifier: Apache-2.0
/** Step Tuner's CUDA library for Linux on x86-64. Nothing has to require it: it is found as a service. */
@SuppressWarnings("module") // no digits at the end of a name: they belong to the name of the platform
module org.steptuner.gpu.linux.x86_64 {
  requires org.steptuner;

  provides org.steptuner.spi.DeviceLibrary with org.steptuner.gpu.linux.x86_64.CudaLibrary;
}
