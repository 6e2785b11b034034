// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * What Java computes and C++ computes once more, over the same made numbers, as hashes. {@code src/test/cpp/native/twins.h} is the other
 * side: it draws the same numbers, and both compare with {@code scalar-digests.txt}.
 */
public final class Twins {
  private static final double[] SPECIAL = {
    0, -0.0, 1, -1, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, Double.NaN, 1e300, -1e300, 1e160, -1e160, Double.MIN_VALUE,
    -Double.MIN_VALUE, 0x1p-1022, 1e-300, Double.MAX_VALUE};

  private long state;
  private long hash;

  public Twins(long seed) {
    state = seed;
  }

  private static long mixed(long of) {
    long z = of;
    z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
    z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
    return z ^ (z >>> 31);
  }

  private long next() {
    state += 0x9e3779b97f4a7c15L;
    return mixed(state);
  }

  /** From 0 to 1. */
  public double uniform() {
    return (next() >>> 11) * 0x1p-53;
  }

  public double uniform(double from, double to) {
    return from + (to - from) * uniform();
  }

  /** Of either sign and of a size from 2^-16 to 2^16; once in {@code rarity}, if that is not 0, a special value. */
  public double number(int rarity) {
    final long choice = next();
    if (rarity > 0 && (choice & 0xffff) % rarity == 0) return SPECIAL[(int) ((choice >>> 32) % SPECIAL.length)];
    return uniform(-1, 1) * Math.scalb(1.0, (int) ((choice >>> 20) % 33) - 16);
  }

  /** The same, but not less than 0. */
  public double size(int rarity) {
    return Math.abs(number(rarity));
  }

  /** Adds the bits of a number to the hash. All NaNs are one. */
  public void take(double value) {
    hash = mixed((hash ^ Double.doubleToLongBits(value)) + 0x9e3779b97f4a7c15L);
  }

  /** Compares the hash with that of the other side. */
  public void check(String name) {
    assertEquals(recorded().get(name), String.format("%016x", hash), name + ", see scalar-digests.txt");
  }

  private static Map<String, String> recorded() {
    try (InputStream file = Twins.class.getResourceAsStream("/scalar-digests.txt")) {
      return new String(file.readAllBytes(), StandardCharsets.UTF_8).lines().filter(line -> !line.startsWith("#")).map(
          line -> line.split("  ")).collect(Collectors.toMap(line -> line[0], line -> line[1]));
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }
}
