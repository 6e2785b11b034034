// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * How {@link Optimizer#capturable(CaptureOptions)} makes steps.
 *
 * @param capacity the most steps that can be prepared ahead, 1 or more; 1,024 by default. A step takes, on the device and on the host,
 *     8 bytes for each coefficient of its sweeps and each parameter group: about 200 bytes with AdamW and one group
 * @param lossAddress where the device finds the loss of a step, for tuners that need it and for reports; 0 for none, the default
 * @param lossType the type of the loss; {@link DataType#FLOAT32} by default
 */
public record CaptureOptions(int capacity, long lossAddress, DataType lossType) {
  /** Makes the options; throws {@link IllegalArgumentException} if a value is out of its range. */
  public CaptureOptions {
    if (capacity < 1) throw new IllegalArgumentException("capacity must be 1 or more, not " + capacity);
    if (lossType == null) throw new IllegalArgumentException("lossType must not be null");
  }

  /** 1,024 steps ahead, without a loss. */
  public static CaptureOptions defaults() {
    return new CaptureOptions(1024, 0, DataType.FLOAT32);
  }

  /** The same with another number of steps that can be prepared ahead, 1 or more. */
  public CaptureOptions capacity(int value) {
    return new CaptureOptions(value, lossAddress, lossType);
  }

  /**
   * The same with a loss, one number on the device that the trainer writes before each step, in the order of the stream.
   *
   * @param address where it lies; aligned for its type
   * @param type its type
   */
  public CaptureOptions loss(long address, DataType type) {
    return new CaptureOptions(capacity, address, type);
  }
}
