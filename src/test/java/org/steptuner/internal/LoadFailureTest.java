// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.MalformedURLException;
import java.util.ServiceConfigurationError;
import org.bytedeco.javacpp.Loader;
import org.junit.jupiter.api.Test;

/** What is said of reasons that a test cannot bring about everywhere. The others: org.steptuner.loading. */
class LoadFailureTest {
  private static void assertSaid(Throwable thrown, String reason, String advice) {
    final String said = LoadFailure.message("it", thrown);
    assertTrue(said.startsWith("Step Tuner cannot load it: " + reason + ". What to do: "), said);
    assertTrue(said.substring(said.indexOf("What to do: ")).contains(advice), said);
  }

  @Test
  void memory() {
    final String text = "/x.so: failed to map segment from shared object: Cannot allocate memory";
    assertSaid(new UnsatisfiedLinkError(text), text, "ulimit -v");
  }

  @Test
  void musl() {
    final String text = "/x.so: Error loading shared library ld-linux-x86-64.so.2: No such file or directory (needed by /x.so)";
    assertSaid(new UnsatisfiedLinkError(text), text, "glibc");
  }

  @Test
  void theInnermostReasonIsSaid() {
    final UnsatisfiedLinkError outer = new UnsatisfiedLinkError("no jnijavacpp in java.library.path");
    outer.initCause(new UnsatisfiedLinkError("/x.so: failed to map segment from shared object"));
    assertSaid(outer, "/x.so: failed to map segment from shared object", "noexec");
    assertSaid(new UnsatisfiedLinkError().initCause(new IOException("No locks available")), "java.io.IOException: No locks available",
        "locks");
  }

  @Test
  void classesWithoutTheirMethods() {
    assertSaid(new UnsatisfiedLinkError("'int a.b.c()'"), "'int a.b.c()'", "one version of Step Tuner");
  }

  @Test
  void classesThatAreNotOfJavaCpp() {
    final Throwable thrown =
        new NoClassDefFoundError("org/slf4j/LoggerFactory").initCause(new ClassNotFoundException("org.slf4j.LoggerFactory"));
    assertSaid(thrown, "java.lang.ClassNotFoundException: org.slf4j.LoggerFactory", "org.bytedeco.javacpp.logger");
  }

  @Test
  void resourcesThatOnlyTheirClassLoaderReads() {
    final String reason = "java.net.MalformedURLException: unknown protocol: mem";
    assertSaid(new MalformedURLException("unknown protocol: mem"), reason, "class loader");
  }

  @Test
  void reasonsWithoutAMessage() {
    assertSaid(new UnsatisfiedLinkError(), "java.lang.UnsatisfiedLinkError", "readable");
    assertSaid(new IllegalStateException(), "java.lang.IllegalStateException", "remove this reason");
    assertSaid(new ServiceConfigurationError("x"), "java.util.ServiceConfigurationError: x", "GPU jar");
  }

  /** What is said of JavaCPP's version is what the build has. */
  @Test
  void versionOfJavaCpp() throws IOException {
    assertEquals(Loader.getVersion(), NativeLibrary.JAVACPP);
  }
}
