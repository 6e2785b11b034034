// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/**
 * Fashion-MNIST: grey images of 28 x 28 pixels of ten kinds of clothing, 60,000 to train and 10,000 to test. Xiao, Rasul and Vollgraf
 * (2017); MIT licence, Zalando SE.
 *
 * @param train the examples to train with
 * @param test the examples to test with
 */
record FashionMnist(Examples train, Examples test) {
  static final int PIXELS = 28 * 28;
  static final int CLASSES = 10;

  private static final String TRAIN_IMAGES = "train-images-idx3-ubyte";
  private static final String TRAIN_LABELS = "train-labels-idx1-ubyte";
  private static final String TEST_IMAGES = "t10k-images-idx3-ubyte";
  private static final String TEST_LABELS = "t10k-labels-idx1-ubyte";

  /** The files that a folder must hold, each as it is or with {@code .gz} after its name. */
  static final List<String> FILES = List.of(TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS);

  /**
   * Images and their labels.
   *
   * @param count how many
   * @param pixels unsigned, {@link #PIXELS} for each image
   * @param labels from 0 to 9, one for each image
   */
  record Examples(int count, byte[] pixels, byte[] labels) {
    // Of all training pixels.
    private static final float MEAN = 0.2860f;
    private static final float DEVIATION = 0.3530f;

    /** Writes an image into a row, so that over all training images pixels have mean 0 and variance 1. */
    void standardised(int example, float[] row) {
      for (int p = 0, at = example * PIXELS; p < PIXELS; ++p, ++at) row[p] = ((pixels[at] & 0xff) / 255f - MEAN) / DEVIATION;
    }
  }

  /**
   * Reads and checks all four files.
   *
   * @throws DataException if one is missing or not what it should be
   */
  static FashionMnist load(Path folder) {
    return new FashionMnist(
        examples(folder, TRAIN_IMAGES, TRAIN_LABELS, 60_000), examples(folder, TEST_IMAGES, TEST_LABELS, 10_000));
  }

  /** The files that a folder lacks. */
  static List<String> missing(Path folder) {
    return FILES.stream().filter(name -> file(folder, name) == null).toList();
  }

  static Examples examples(Path folder, String images, String labels, int count) {
    final Path labelFile = need(folder, labels);
    final byte[] pixels = Idx.read(need(folder, images), count, 28, 28).bytes();
    final byte[] classes = Idx.read(labelFile, count).bytes();
    for (byte label : classes)
      if (label < 0 || label >= CLASSES)
        throw new DataException(labelFile + " has a label " + Byte.toUnsignedInt(label) + "; labels are 0 to " + (CLASSES - 1));
    return new Examples(count, pixels, classes);
  }

  private static Path need(Path folder, String name) {
    final Path file = file(folder, name);
    if (file == null) throw new DataException(folder + " has no " + name + " and no " + name + ".gz");
    return file;
  }

  private static Path file(Path folder, String name) {
    for (String ending : Arrays.asList(".gz", ""))
      if (Files.isRegularFile(folder.resolve(name + ending))) return folder.resolve(name + ending);
    return null;
  }
}
