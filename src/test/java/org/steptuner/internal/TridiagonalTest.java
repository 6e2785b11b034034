// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class TridiagonalTest {
  /** That of the second difference, 2 on the diagonal and -1 beside it: 2 - 2 cos(n pi / (n + 1)), and a sine for eigenvector. */
  @Test
  void secondDifferences() {
    for (int n : new int[] {1, 2, 3, 10, 100}) {
      final Tridiagonal matrix = new Tridiagonal(100);
      for (int i = 0; i < n; ++i) matrix.add(2, -1);
      assertEquals(2 - 2 * Math.cos(n * Math.PI / (n + 1)), matrix.largest(), 1e-14 * 4, n + " rows");
      for (int i = 0; i < n; ++i)
        assertEquals(
            Math.sqrt(2.0 / (n + 1)) * Math.abs(Math.sin((i + 1) * n * Math.PI / (n + 1))), Math.abs(matrix.vector(i)), 1e-10,
            n + " rows, " + i);
    }
  }

  @Test
  void eigenvectorsSatisfyTheirEquation() {
    final SplittableRandom random = new SplittableRandom(3);
    for (int round = 0; round < 200; ++round) {
      final int n = 1 + random.nextInt(40);
      final Tridiagonal matrix = new Tridiagonal(40);
      final double scale = Math.scalb(1, random.nextInt(-60, 60));
      double trace = Double.NEGATIVE_INFINITY;
      for (int i = 0; i < n; ++i) {
        matrix.add(scale * random.nextDouble(-1, 1), random.nextInt(8) == 0 ? 0 : scale * random.nextDouble(-1, 1));
        trace = Math.max(trace, matrix.diagonal(i));
      }
      final double largest = matrix.largest();
      assertTrue(largest >= trace, "no less than the diagonal");
      for (int i = 0; i < n; ++i) {
        double row = matrix.diagonal(i) * matrix.vector(i);
        if (i > 0) row += matrix.below(i - 1) * matrix.vector(i - 1);
        if (i + 1 < n) row += matrix.below(i) * matrix.vector(i + 1);
        assertEquals(largest * matrix.vector(i), row, 1e-12 * scale, "round " + round + ", row " + i + " of " + n);
      }
    }
  }

  @Test
  void ofNothingButZeros() {
    final Tridiagonal matrix = new Tridiagonal(3);
    for (int i = 0; i < 3; ++i) matrix.add(0, 0);
    assertEquals(0, matrix.largest());
  }
}
