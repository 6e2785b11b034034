// SPDX-License-Identifier: Apache-2.0
/** Learning-rate tuners for trainers on the JVM. The entry is {@link org.steptuner.Device}. */
module org.steptuner {
  // Pointer is in the API.
  requires transitive org.bytedeco.javacpp;
  // Has no classes, and is not found unless someone asks for it: JavaCPP's native library lies in it.
  requires org.bytedeco.javacpp.linux.x86_64;

  exports org.steptuner;
  exports org.steptuner.curvature;
  exports org.steptuner.rule;
  exports org.steptuner.spi;
  exports org.steptuner.tuner;

  uses org.steptuner.spi.DeviceLibrary;
}
