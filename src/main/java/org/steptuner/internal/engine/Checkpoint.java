// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import org.steptuner.CheckpointException;
import org.steptuner.ParameterSet;

/**
 * The file of a saved optimizer: a zip archive, uncompressed, each entry with its CRC-32.
 *
 * <pre>
 * manifest             text: format, version, optimizer and hyperparameters, step, tensors, scalars (as exact hexadecimal floats)
 * entries/NAME         what the caller saves with it
 * parameters/N         the elements of tensor N, little-endian
 * state/SLOT/N         the elements of tensor N in a state slot
 * </pre>
 */
final class Checkpoint {
  private static final String FORMAT = "steptuner-checkpoint";
  private static final String VERSION = "2";
  static final String MANIFEST = "manifest";
  private static final int BUFFER = 1 << 16;

  private Checkpoint() {}

  static void restore(BoundOptimizer optimizer, Path file) {
    try (ZipFile zip = ZipArchive.open(file)) {
      final Map<String, String> manifest = readManifest(zip, file);
      final List<Array> arrays = arrays(optimizer);
      final Map<String, double[]> scalars = check(optimizer, manifest, file);
      for (Array array : arrays) verify(zip, array, file);
      final byte[] bytes = new byte[BUFFER];
      for (Array array : arrays) {
        try (InputStream in = zip.getInputStream(zip.getEntry(array.entry))) {
          long at = 0;
          for (int part; at < array.bytes && (part = in.readNBytes(bytes, 0, BUFFER)) > 0; at += part)
            optimizer.plan.write(array.slot, array.tensor, at, bytes, part);
        }
      }
      optimizer.resume(Long.parseLong(manifest.get("steps")), Long.parseLong(manifest.get("skippedSteps")), scalars);
    } catch (NoSuchFileException e) {
      throw new UncheckedIOException("no checkpoint at " + file, e);
    } catch (ZipException | EOFException e) {
      throw new CheckpointException(file + " is no checkpoint, or a truncated one: " + e.getMessage(), e);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + file + ": " + WholeFile.reason(e), e);
    }
  }

  /** What the manifest of an optimizer's checkpoint says, line by line. */
  static Map<String, String> manifest(BoundOptimizer optimizer) {
    final Map<String, String> manifest = new LinkedHashMap<>();
    manifest.put("format", FORMAT);
    manifest.put("version", VERSION);
    manifest.putAll(identity(optimizer));
    manifest.put("steps", Long.toString(optimizer.steps()));
    manifest.put("skippedSteps", Long.toString(optimizer.skippedSteps()));
    optimizer.savedScalars()
        .forEach(
            (name, values) -> manifest.put(
                "scalar." + name,
                String.join(",", Arrays.stream(values).mapToObj(Double::toHexString).toArray(String[]::new))));
    return manifest;
  }

  /** What must be the same in the file and in the optimizer that it is restored to. */
  private static Map<String, String> identity(BoundOptimizer optimizer) {
    final Map<String, String> identity = new LinkedHashMap<>();
    identity.put("optimizer", oneLine(optimizer.description()));
    final List<ParameterSet.Tensor> tensors = optimizer.parameters().tensors();
    identity.put("tensors", Integer.toString(tensors.size()));
    for (int t = 0; t < tensors.size(); ++t) {
      final ParameterSet.Tensor tensor = tensors.get(t);
      identity.put(
          "tensor." + t,
          tensor.count() + " " + tensor.parameterType() + " in " + oneLine(tensor.group()) + ": " + oneLine(tensor.name()));
    }
    return identity;
  }

  private static String oneLine(String text) {
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r");
  }

  private static Map<String, String> readManifest(ZipFile zip, Path file) throws IOException {
    final ZipEntry entry = zip.getEntry(MANIFEST);
    if (entry == null) throw new CheckpointException(file + " is no Step Tuner checkpoint: it has no manifest");
    final CRC32 crc = new CRC32();
    final byte[] bytes;
    try (InputStream in = new CheckedInputStream(zip.getInputStream(entry), crc)) {
      bytes = in.readAllBytes();
    }
    if (crc.getValue() != entry.getCrc()) throw damaged(file, MANIFEST);
    final Map<String, String> manifest = new LinkedHashMap<>();
    for (String line : new String(bytes, StandardCharsets.UTF_8).split("\n")) {
      final int equals = line.indexOf('=');
      if (equals > 0) manifest.put(line.substring(0, equals), line.substring(equals + 1));
    }
    if (!FORMAT.equals(manifest.get("format"))) throw new CheckpointException(file + " is no Step Tuner checkpoint");
    if (!VERSION.equals(manifest.get("version")))
      throw new CheckpointException(
          file + " has checkpoint version " + manifest.get("version") + "; this library reads version " + VERSION);
    return manifest;
  }

  private static Map<String, double[]> check(BoundOptimizer optimizer, Map<String, String> manifest, Path file) {
    identity(optimizer)
        .forEach(
            (key, here) -> {
              if (!here.equals(manifest.get(key)))
                throw new CheckpointException(
                    file + " belongs to another optimizer: its " + key + " is " + manifest.get(key) + ", this one's is " + here);
            });
    final Map<String, double[]> scalars = new TreeMap<>();
    try {
      Long.parseLong(String.valueOf(manifest.get("steps")));
      Long.parseLong(String.valueOf(manifest.get("skippedSteps")));
      for (Map.Entry<String, double[]> wanted : optimizer.savedScalars().entrySet()) {
        final String text = manifest.get("scalar." + wanted.getKey());
        final double[] values =
            text == null ? new double[0] : Arrays.stream(text.split(",")).mapToDouble(Double::parseDouble).toArray();
        if (values.length != wanted.getValue().length)
          throw new CheckpointException(
              file + " has " + values.length + " values of scalar " + wanted.getKey() + ", not " + wanted.getValue().length);
        scalars.put(wanted.getKey(), values);
      }
    } catch (NumberFormatException e) {
      throw new CheckpointException(file + " has a damaged manifest: " + e.getMessage(), e);
    }
    return scalars;
  }

  private static void verify(ZipFile zip, Array array, Path file) throws IOException {
    final ZipEntry entry = zip.getEntry(array.entry);
    if (entry == null) throw new CheckpointException(file + " lacks " + array.entry);
    if (entry.getSize() != array.bytes)
      throw new CheckpointException(file + " has " + entry.getSize() + " bytes of " + array.entry + ", not " + array.bytes);
    final CRC32 crc = new CRC32();
    try (InputStream in = new CheckedInputStream(zip.getInputStream(entry), crc)) {
      in.transferTo(OutputStream.nullOutputStream());
    }
    if (crc.getValue() != entry.getCrc()) throw damaged(file, array.entry);
  }

  private static CheckpointException damaged(Path file, String entry) {
    return new CheckpointException(file + " is damaged: the checksum of " + entry + " does not match");
  }

  /** An array of the optimizer's and its entry. */
  record Array(String entry, String slot, int tensor, long bytes) {}

  /** All arrays that a checkpoint has. */
  static List<Array> arrays(BoundOptimizer optimizer) {
    final List<Array> arrays = new ArrayList<>();
    for (int t = 0; t < optimizer.parameters().tensors().size(); ++t) {
      arrays.add(new Array("parameters/" + t, null, t, optimizer.plan.bytes(null, t)));
      for (String slot : optimizer.plan.slots()) arrays.add(new Array("state/" + slot + "/" + t, slot, t, optimizer.plan.bytes(slot, t)));
    }
    return arrays;
  }
}
