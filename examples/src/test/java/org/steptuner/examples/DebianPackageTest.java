// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DebianPackageTest {
  @TempDir
  private Path folder;
  private final List<String> ran = new ArrayList<>();
  private boolean listsAreThere = true;
  private boolean online = true;

  @Test
  void downloadsAndUnpacks() throws IOException {
    fetch();
    assertEquals("content", Files.readString(folder.resolve("cache/data/file")));
    assertEquals(List.of("download", "unpack"), ran);
    assertNothingElseIsLeft("data");
  }

  @Test
  void renewsListsOfItsOwnWhereTheSystemHasNone() throws IOException {
    listsAreThere = false;
    fetch();
    assertEquals("content", Files.readString(folder.resolve("cache/data/file")));
    assertEquals(List.of("update with own lists", "download with own lists", "unpack"), ran);
  }

  @Test
  void replacesWhatIsIncomplete() throws IOException {
    Files.createDirectories(folder.resolve("cache/data"));
    Files.writeString(folder.resolve("cache/data/part"), "");
    fetch();
    assertTrue(Files.notExists(folder.resolve("cache/data/part")));
  }

  @Test
  void saysWhatToDoElse() throws IOException {
    online = false;
    final String message = assertThrows(DataException.class, this::fetch).getMessage();
    assertTrue(message.contains("some-package") && message.contains("no network") && message.endsWith("Do this instead."), message);
    assertNothingElseIsLeft();
  }

  private void fetch() {
    new DebianPackage("some-package", "usr/share/data", "Do this instead.", this::pretend).fetch(folder.resolve("cache/data"));
  }

  private void pretend(Path work, List<String> command) throws IOException {
    if (!online) throw new IOException("no network");
    if (command.get(0).equals("dpkg-deb")) {
      ran.add("unpack");
      assertTrue(command.get(2).endsWith("some-package.deb"));
      final Path content = Files.createDirectories(Path.of(command.get(3), "usr/share/data"));
      Files.writeString(content.resolve("file"), "content");
      return;
    }
    final boolean ownLists = command.stream().anyMatch(argument -> argument.startsWith("Dir::State::Lists="));
    if (!ownLists && !listsAreThere) throw new IOException("unable to locate package");
    final boolean update = command.contains("update");
    ran.add((update ? "update" : "download") + (ownLists ? " with own lists" : ""));
    if (!update) Files.createFile(work.resolve("some-package.deb"));
  }

  private void assertNothingElseIsLeft(String... names) throws IOException {
    try (var left = Files.list(folder.resolve("cache"))) {
      assertEquals(List.of(names), left.map(path -> path.getFileName().toString()).toList());
    }
  }
}
