// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

import java.io.IOException;
import java.net.MalformedURLException;
import java.security.CodeSource;
import java.util.LinkedHashSet;
import java.util.ServiceConfigurationError;
import java.util.Set;
import org.bytedeco.javacpp.Loader;

/** What is said where a native library cannot be loaded: the first reason, and what to do. */
final class LoadFailure {
  private static final String CACHE =
      "choose another folder with -Dorg.bytedeco.javacpp.cachedir=FOLDER, or put the libraries on java.library.path";

  private LoadFailure() {}

  static String message(String what, Throwable thrown) {
    final Throwable reason = first(thrown);
    return "Step Tuner cannot load " + what + ": " + text(reason) + ". What to do: " + advice(thrown, reason);
  }

  /** JavaCPP and the JVM wrap reasons; what came first is innermost. */
  private static Throwable first(Throwable thrown) {
    Throwable reason = thrown;
    while (!(reason instanceof LoadingException) && reason.getCause() != null) reason = reason.getCause();
    return reason;
  }

  private static String text(Throwable reason) {
    final boolean plain = reason.getMessage() != null
        && (reason instanceof LoadingException || reason instanceof UnsatisfiedLinkError || reason instanceof IllegalCallerException);
    final String text = plain ? reason.getMessage() : reason.toString();
    return text.endsWith(".") ? text.substring(0, text.length() - 1) : text;
  }

  private static String advice(Throwable thrown, Throwable reason) {
    if (reason instanceof LoadingException known) return known.advice();
    if (reason instanceof IllegalCallerException) return nativeAccess();
    if (reason instanceof SecurityException)
      return "give Step Tuner and JavaCPP the permission in the policy of the security manager, or run without one";
    if (thrown instanceof ServiceConfigurationError)
      return "take the whole GPU jar, of the same version: minimized jars must keep its class and its *.so file";
    if (reason instanceof MalformedURLException)
      return "its class loader has addresses of resources that JavaCPP cannot read: put the libraries on java.library.path";
    if (reason instanceof IOException) return "the cache needs a folder that can be written, with space left and file locks: " + CACHE;
    if (reason instanceof UnsatisfiedLinkError) return adviceOfLinker(text(reason));
    if (thrown instanceof ExceptionInInitializerError || String.valueOf(thrown.getMessage()).contains("Could not initialize class"))
      return "a class of JavaCPP cannot start: correct the system properties that begin with org.bytedeco.javacpp";
    if (thrown instanceof NoClassDefFoundError && !String.valueOf(thrown.getMessage()).startsWith("org/bytedeco/"))
      return "put the jar of that class beside JavaCPP, or leave out the system property org.bytedeco.javacpp.logger if that asks for it";
    if (thrown instanceof LinkageError)
      return "put one version of JavaCPP beside Step Tuner, org.bytedeco:javacpp:" + NativeLibrary.JAVACPP + " with its jar for "
          + NativeLibrary.PLATFORM + "; there is " + presentJavaCpp();
    return "remove this reason; the cause of this exception shows where it arose";
  }

  /** The option of newer JVMs (JEP 472) that permits native code to the modules that need it. */
  private static String nativeAccess() {
    final Set<String> modules = new LinkedHashSet<>();
    for (Class<?> user : new Class<?>[] {LoadFailure.class, Loader.class})
      modules.add(user.getModule().isNamed() ? user.getModule().getName() : "ALL-UNNAMED");
    final String names = String.join(",", modules);
    return "start the JVM with --enable-native-access=" + names
        + (names.equals("ALL-UNNAMED") ? " (or put \"Enable-Native-Access: ALL-UNNAMED\" into the manifest of the jar that is started)"
            : "");
  }

  private static String adviceOfLinker(String text) {
    if (text.contains("Cannot allocate memory")) return "give the process more address space (ulimit -v) or memory";
    if (text.contains("failed to map segment") || text.contains("Operation not permitted"))
      return "programs may not be loaded from this folder (noexec): " + CACHE;
    if (text.contains("Error loading shared library") || text.contains("Error relocating")) // musl's words
      return "this system's C library seems to be musl: use a system with glibc";
    if (text.contains("GLIBC"))
      return "this system's C or C++ library is too old for it: use a newer system, or build Step Tuner on this one";
    if (text.startsWith("'"))
      return "its classes and its library do not belong together: keep one version of Step Tuner, and load it by one class loader";
    return "the file must be readable, complete, and made for this system; delete it if it is in JavaCPP's cache, or " + CACHE;
  }

  private static String presentJavaCpp() {
    try {
      final Class<?> loader = Class.forName("org.bytedeco.javacpp.Loader", false, LoadFailure.class.getClassLoader());
      final CodeSource source = loader.getProtectionDomain().getCodeSource();
      return source == null ? "one of an unknown place" : String.valueOf(source.getLocation());
    } catch (ClassNotFoundException | LinkageError e) {
      return "none";
    }
  }
}
