// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

/**
 * The largest eigenvalue of a symmetric tridiagonal matrix T, and its eigenvector. The eigenvalue is found by bisection on the signs of the
 * pivots of T - x I; the eigenvector by factorizations of T - x I from both ends, which meet where it is largest (Parlett and Dhillon
 * 1997).
 */
public final class Tridiagonal {
  private final double[] diagonal;
  private final double[] below; // below[i] couples i and i + 1
  private final double[] down; // pivots from the top
  private final double[] up; // pivots from the bottom
  private final double[] vector;
  private int size;

  public Tridiagonal(int most) {
    diagonal = new double[most];
    below = new double[most];
    down = new double[most];
    up = new double[most];
    vector = new double[most];
  }

  public void clear() {
    size = 0;
  }

  /** The largest number of rows. */
  public int capacity() {
    return diagonal.length;
  }

  public int size() {
    return size;
  }

  /** Adds a row; {@code coupling} is its element beside the next one's diagonal. */
  public void add(double element, double coupling) {
    diagonal[size] = element;
    below[size++] = coupling;
  }

  public double diagonal(int i) {
    return diagonal[i];
  }

  public double below(int i) {
    return below[i];
  }

  /** The largest eigenvalue; {@link #vector} then has its eigenvector, of length 1. */
  public double largest() {
    double least = Double.NEGATIVE_INFINITY;
    double most = Double.NEGATIVE_INFINITY;
    for (int i = 0; i < size; ++i) {
      least = Math.max(least, diagonal[i]); // the largest eigenvalue is no less, and within Gershgorin's discs
      most = Math.max(most, diagonal[i] + (i > 0 ? Math.abs(below[i - 1]) : 0) + (i + 1 < size ? Math.abs(below[i]) : 0));
    }
    for (double middle = least + (most - least) / 2; middle > least && middle < most; middle = least + (most - least) / 2) {
      if (isAbove(middle)) most = middle;
      else least = middle;
    }
    solve(most);
    return most;
  }

  /** Element i of the eigenvector. */
  public double vector(int i) {
    return vector[i];
  }

  // Whether all eigenvalues are less than x: all pivots of T - x I are negative.
  private boolean isAbove(double x) {
    double pivot = diagonal[0] - x;
    for (int i = 1; i < size && pivot < 0; ++i) pivot = diagonal[i] - x - below[i - 1] * below[i - 1] / pivot;
    return pivot < 0;
  }

  private void solve(double x) {
    for (int i = 0; i < size; ++i)
      down[i] = pivot(diagonal[i] - x - (i > 0 ? below[i - 1] * below[i - 1] / down[i - 1] : 0));
    for (int i = size - 1; i >= 0; --i)
      up[i] = pivot(diagonal[i] - x - (i + 1 < size ? below[i] * below[i] / up[i + 1] : 0));
    int meeting = 0;
    double least = Double.POSITIVE_INFINITY;
    for (int i = 0; i < size; ++i) {
      final double twist = Math.abs(down[i] + up[i] - (diagonal[i] - x));
      if (twist < least) meeting = i;
      least = Math.min(least, twist);
    }
    vector[meeting] = 1;
    for (int i = meeting - 1; i >= 0; --i) vector[i] = -below[i] / down[i] * vector[i + 1];
    for (int i = meeting + 1; i < size; ++i) vector[i] = -below[i - 1] / up[i] * vector[i - 1];
    double square = 0;
    for (int i = 0; i < size; ++i) square += vector[i] * vector[i];
    for (int i = 0; i < size; ++i) vector[i] /= Math.sqrt(square);
  }

  private static double pivot(double value) {
    return value == 0 ? -Double.MIN_NORMAL : value;
  }
}
