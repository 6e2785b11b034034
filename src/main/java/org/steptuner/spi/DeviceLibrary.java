// SPDX-License-Identifier: Apache-2.0
package org.steptuner.spi;

import java.net.URL;

/**
 * A GPU library that a jar brings. {@link org.steptuner.Device#cuda(int)} finds it by {@link java.util.ServiceLoader}: the jar names its
 * class in {@code META-INF/services} for the class path, and in its module descriptor for the module path.
 */
public interface DeviceLibrary {
  /** The platform that the library is for, as JavaCPP names it: {@code linux-x86_64}. */
  String platform();

  /** Where the shared library is, a resource of the jar; null if the jar was built without it. */
  URL resource();
}
