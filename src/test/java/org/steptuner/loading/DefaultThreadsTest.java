// SPDX-License-Identifier: Apache-2.0
package org.steptuner.loading;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Without a setting, the CPU has as many threads as the JVM counts processors. */
class DefaultThreadsTest {
  @TempDir
  Path folder;
  private Jvm jvm;

  @BeforeEach
  void prepare() throws IOException {
    final Jars jars = new Jars(folder);
    final List<Path> all = new ArrayList<>(jars.all());
    all.add(jars.program());
    jvm = new Jvm(Jvm.current(), folder.resolve("cache")).classPath(all);
  }

  private void assertThreads(String expected) throws Exception {
    final Jvm.Run run = jvm.run();
    assertEquals(0, run.status(), run.output());
    for (String line : run.lines("cpu")) assertEquals(expected, line.substring(line.lastIndexOf(", ") + 2), run.output());
    assertEquals(2, run.lines("cpu").size(), run.output());
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 3})
  void optionOfTheJvm(int count) throws Exception {
    jvm.with("-XX:ActiveProcessorCount=" + count);
    assertThreads(count == 1 ? "1 thread" : count + " threads");
  }

  @Test
  void aSettingCountsMore() throws Exception {
    jvm.with("-XX:ActiveProcessorCount=1", "-Dsteptuner.threads=2");
    assertThreads("2 threads");
  }

  @Test
  void processorsOfTheProcess() throws Exception {
    assumeTrue(Files.isExecutable(Path.of("/usr/bin/taskset")), "no taskset");
    final String allowed = Files.readAllLines(Path.of("/proc/self/status")).stream().filter(line -> line.startsWith("Cpus_allowed_list:"))
        .findFirst().orElseThrow();
    final String first = allowed.split("[:\\s,-]+")[1];
    jvm.within("/usr/bin/taskset", "-c", first);
    assertThreads("1 thread");
  }

  /** A container's quota: half a processor of time is one thread. Control groups of version 1 have a tree for each resource. */
  @Test
  void quotaOfAContainer() throws Exception {
    final Path root = Path.of("/sys/fs/cgroup");
    final boolean first = Files.isDirectory(root.resolve("cpu"));
    final Path group = root.resolve(first ? "cpu" : "").resolve("steptuner-" + ProcessHandle.current().pid());
    final Path quota = group.resolve(first ? "cpu.cfs_quota_us" : "cpu.max");
    try {
      Files.createDirectory(group);
    } catch (IOException e) {
      assumeTrue(false, "this process may not make a control group: " + e);
    }
    try {
      assumeTrue(Files.isWritable(quota), "control groups without a quota of processor time");
      Files.writeString(quota, first ? "50000" : "50000 100000");
      jvm.within("sh", "-c", "echo $$ > " + group.resolve("cgroup.procs") + " && exec \"$@\"", "sh");
      assertThreads("1 thread");
    } finally {
      Files.delete(group);
    }
  }
}
