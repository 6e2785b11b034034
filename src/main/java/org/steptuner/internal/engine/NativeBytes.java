// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;

/** A view of native memory that somebody else owns and frees. JavaCPP allocates nothing for it, and so checks no limit of its own. */
final class NativeBytes extends BytePointer {
  NativeBytes(long address) {
    super((Pointer) null);
    this.address = address;
  }
}
