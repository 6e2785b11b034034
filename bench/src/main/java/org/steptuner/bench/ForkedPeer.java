// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.steptuner.Device;
import org.steptuner.tuner.TunerBuilder;

/**
 * A peer whose libraries do not go with libtorch's, in a JVM of its own. It answers lines: {@code size N}, {@code time K} (runs K
 * steps, answers nanoseconds), {@code check K FILE} (K steps from the start, each with gradients {@code seed 100 + step}; writes the
 * parameters as float32). See bench/peers.
 */
final class ForkedPeer implements Contender {
  private final String name;
  private final int threads;
  private final String ours;
  private final TunerBuilder<?> tuner;
  private final Process process;
  private final BufferedReader answers;
  private final PrintWriter questions;

  /**
   * Starts it.
   *
   * @param classPath of the peer
   * @param main its main class
   * @param ours what it is compared with, and {@code tuner} how to build that
   */
  ForkedPeer(String name, String classPath, String main, int threads, String ours, TunerBuilder<?> tuner) throws IOException {
    this.name = name;
    this.threads = threads;
    this.ours = ours;
    this.tuner = tuner;
    final ProcessBuilder builder =
        new ProcessBuilder(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-Xmx4g", "-Dorg.bytedeco.javacpp.maxbytes=0",
                "-Dorg.bytedeco.javacpp.maxphysicalbytes=0", "-Dthreads=" + threads, "-cp", classPath, main));
    builder.environment().put("OMP_NUM_THREADS", Integer.toString(threads));
    builder.environment().put("MKL_NUM_THREADS", Integer.toString(threads));
    builder.redirectError(ProcessBuilder.Redirect.DISCARD);
    process = builder.start();
    answers = new BufferedReader(new InputStreamReader(process.getInputStream()));
    questions = new PrintWriter(process.getOutputStream(), true);
  }

  @Override
  public String name() {
    return name;
  }

  int threads() {
    return threads;
  }

  String ours() {
    return ours;
  }

  TunerBuilder<?> tuner() {
    return tuner;
  }

  void resize(long size) {
    ask("size " + size);
  }

  @Override
  public void run() {
    time(1);
  }

  @Override
  public long time(int repetitions) {
    return Long.parseLong(ask("time " + repetitions));
  }

  void check() throws IOException {
    final Path file = Files.createTempFile("peer", ".f32");
    try (Model gradients = Model.of(Shapes.one(Check.SIZE));
        Step step = Step.of("ours", Device.cpu(threads), gradients.sharing(), tuner)) {
      final float[] first = step.model().values();
      resize(Check.SIZE);
      ask("check " + Check.STEPS + " " + file);
      for (int i = 0; i < Check.STEPS; ++i) {
        gradients.newGradients(100 + i);
        step.run();
      }
      final float[] theirs = new float[(int) Check.SIZE];
      ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(theirs);
      Check.same(ours, step.model().values(), name, theirs, first);
    } finally {
      Files.deleteIfExists(file);
    }
  }

  private String ask(String question) {
    questions.println(question);
    try {
      // Libraries print what they like at first; answers are marked.
      for (String line; (line = answers.readLine()) != null;) if (line.startsWith("> ")) return line.substring(2);
    } catch (IOException e) {
      throw new IllegalStateException(name + " does not answer '" + question + "'", e);
    }
    throw new IllegalStateException(name + " ended at '" + question + "'; try its class path by hand");
  }

  @Override
  public void close() {
    // Closed with the run, not with a group.
  }

  void end() {
    process.destroy();
  }
}
