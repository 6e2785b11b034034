// SPDX-License-Identifier: Apache-2.0
package org.steptuner.torture;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.UnaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Ways to damage a checkpoint: its bytes, the structure of the archive, or its content with checksums that fit. Only the last ones may make
 * a file that says something else and is none the worse for it.
 */
enum Damage {
  FLIPPED_BITS(false) {
    @Override
    byte[] damage(SplittableRandom random, byte[] file, byte[] other) {
      for (int n = 1 + random.nextInt(8); n > 0; --n) file[random.nextInt(file.length)] ^= (byte) (1 << random.nextInt(8));
      return file;
    }
  },
  /** In the headers between the contents and in the directory, which no checksum covers. */
  FLIPPED_BITS_OF_STRUCTURE(false) {
    @Override
    byte[] damage(SplittableRandom random, byte[] file, byte[] other) {
      final List<Integer> headers = new ArrayList<>();
      for (int i = 0; i + 4 <= file.length; ++i)
        if (file[i] == 'P' && file[i + 1] == 'K' && file[i + 2] < 9 && file[i + 3] < 9) headers.add(i);
      for (int n = 1 + random.nextInt(3); n > 0; --n) {
        final int at = headers.get(random.nextInt(headers.size())) + random.nextInt(50);
        if (at < file.length) file[at] ^= (byte) (1 << random.nextInt(8));
      }
      return file;
    }
  },
  OVERWRITTEN(false) {
    @Override
    byte[] damage(SplittableRandom random, byte[] file, byte[] other) {
      final int from = random.nextInt(file.length);
      final byte[] with = bytes(random, 1 + random.nextInt(Math.min(file.length - from, 300)));
      if (random.nextBoolean()) Arrays.fill(with, (byte) (random.nextBoolean() ? 0 : -1));
      System.arraycopy(with, 0, file, from, with.length);
      return file;
    }
  },
  /** Blocks that a file system had no time to write. */
  HOLES(false) {
    @Override
    byte[] damage(SplittableRandom random, byte[] file, byte[] other) {
      final int block = 512 << random.nextInt(4);
      for (int n = 1 + random.nextInt(3); n > 0; --n) {
        final int from = random.nextInt(1 + file.length / block) * block;
        Arrays.fill(file, Math.min(from, file.length), Math.min(from + block, file.length), (byte) 0);
      }
      return file;
    }
  },
  TRUNCATED(false) {
    @Override
    byte[] damage(SplittableRandom random, byte[] file, byte[] other) {
      return Arrays.copyOf(file, random.nextInt(4) == 0 ? file.length - 1 - random.nextInt(22) : random.nextInt(file.length));
    }
  },
  INSERTED(false) {
    @Override
    byte[] damage(SplittableRandom random, byte[] file, byte[] other) {
      final int at = random.nextInt(file.length + 1);
      final int from = random.nextInt(file.length);
      final byte[] more =
          random.nextBoolean() ? bytes(random, 1 + random.nextInt(100))
              : Arrays.copyOfRange(file, from, from + 1 + random.nextInt(file.length - from));
      return join(Arrays.copyOf(file, at), more, Arrays.copyOfRange(file, at, file.length));
    }
  },
  DELETED(false) {
    @Override
    byte[] damage(SplittableRandom random, byte[] file, byte[] other) {
      final int from = random.nextInt(file.length);
      final int to = from + 1 + random.nextInt(Math.min(file.length - from, random.nextBoolean() ? 8 : file.length));
      return join(Arrays.copyOf(file, from), Arrays.copyOfRange(file, to, file.length));
    }
  },
  SWAPPED_BLOCKS(false) {
    @Override
    byte[] damage(SplittableRandom random, byte[] file, byte[] other) {
      final int size = 1 + random.nextInt(Math.min(512, file.length / 2));
      final int one = random.nextInt(file.length - 2 * size + 1);
      final int two = one + size + random.nextInt(file.length - one - 2 * size + 1);
      final byte[] saved = Arrays.copyOfRange(file, one, one + size);
      System.arraycopy(file, two, file, one, size);
      System.arraycopy(saved, 0, file, two, size);
      return file;
    }
  },
  SPLICED(false) {
    @Override
    byte[] damage(SplittableRandom random, byte[] file, byte[] other) {
      final int at = random.nextInt(file.length);
      final int from = random.nextBoolean() ? Math.min(at, other.length) : random.nextInt(other.length);
      return join(Arrays.copyOf(file, at), Arrays.copyOfRange(other, from, other.length));
    }
  },
  CONCATENATED(false) {
    @Override
    byte[] damage(SplittableRandom random, byte[] file, byte[] other) {
      return join(other, file);
    }
  },
  GARBAGE(false) {
    @Override
    byte[] damage(SplittableRandom random, byte[] file, byte[] other) {
      return random.nextInt(4) == 0 ? new byte[random.nextInt(3)]
          : join(random.nextBoolean() ? new byte[] {'P', 'K', 3, 4} : new byte[0], bytes(random, random.nextInt(400)));
    }
  },

  DUPLICATE_ENTRY(false) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      final ZipForge.Entry copy = any(random, zip).copy();
      if (copy.content.length > 0 && random.nextInt(4) > 0) {
        final byte[] content = copy.content.clone();
        content[random.nextInt(content.length)] ^= (byte) (1 << random.nextInt(7));
        copy.store(content);
      }
      zip.entries.add(random.nextInt(zip.entries.size() + 1), copy);
    }
  },
  WRONG_SIZES(false) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      final ZipForge.Entry entry = any(random, zip);
      switch (random.nextInt(5)) {
        case 0 -> entry.size = number(random);
        case 1 -> entry.packedSize = number(random);
        case 2 -> entry.centralSize = number(random) & 0xffffffffL;
        case 3 -> entry.size = entry.packedSize = number(random);
        default -> {
          entry.deflate(entry.content, 1);
          entry.size = number(random);
        }
      }
    }
  },
  WRONG_CHECKSUMS(false) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      final ZipForge.Entry entry = any(random, zip);
      if (random.nextBoolean()) {
        entry.crc ^= 1L << random.nextInt(32);
      } else {
        entry.centralCrc = entry.crc ^ 1L << random.nextInt(32);
      }
    }
  },
  ZIP64_FIELDS(false) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      final ZipForge.Entry entry = any(random, zip);
      final long[] numbers = random.longs(1 + random.nextInt(3)).map(n -> number(random)).toArray();
      entry.extra = ZipForge.zip64Extra(numbers);
      if (random.nextBoolean()) entry.localExtra = ZipForge.zip64Extra(numbers);
      if (random.nextBoolean()) entry.centralSize = 0xffffffffL;
      if (random.nextBoolean()) entry.packedSize = 0xffffffffL;
      if (random.nextBoolean()) entry.offset = 0xffffffffL;
      if (random.nextBoolean()) {
        zip.zip64 = new long[] {number(random), number(random), number(random), random.nextBoolean() ? -1 : number(random)};
        zip.count = 0xffff;
        if (random.nextBoolean()) zip.directorySize = zip.directoryOffset = 0xffffffffL;
      }
    }
  },
  WRONG_PLACES(false) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      switch (random.nextInt(5)) {
        case 0 -> any(random, zip).offset = number(random) & 0xffffffffL;
        case 1 -> zip.directoryOffset = number(random) & 0xffffffffL;
        case 2 -> zip.directorySize = number(random) & 0xffffffffL;
        case 3 -> zip.count = number(random) & 0xffff;
        default -> zip.before = bytes(random, 1 + random.nextInt(2000));
      }
    }
  },
  WRONG_FLAGS(false) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      final ZipForge.Entry entry = any(random, zip);
      if (random.nextBoolean()) {
        entry.flags ^= 1 << random.nextInt(16);
      } else {
        entry.method = random.nextBoolean() ? 8 - entry.method : random.nextInt(1 << 16);
      }
      if (random.nextInt(4) == 0) zip.comment = bytes(random, random.nextInt(1 << 16));
    }
  },
  WRONG_NAMES(false) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      final ZipForge.Entry entry = any(random, zip);
      entry.name = switch (random.nextInt(7)) {
        case 0 -> bytes(random, random.nextInt(40));
        case 1 -> new byte[0];
        case 2 -> new byte[0xffff];
        case 3 -> ("../" + entry.name()).getBytes(StandardCharsets.UTF_8);
        case 4 -> (entry.name() + "/").getBytes(StandardCharsets.UTF_8);
        case 5 -> (entry.name() + "\0x").getBytes(StandardCharsets.UTF_8);
        default -> any(random, zip).name;
      };
    }
  },
  /** An entry that would not fit into the memory. */
  BOMB(false) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      final ZipForge.Entry entry = random.nextBoolean() ? zip.manifest() : any(random, zip);
      final long size = entry.size;
      Bomb.plant(entry);
      switch (random.nextInt(3)) {
        case 0 -> entry.size = size;
        case 1 -> entry.centralSize = size;
        default -> {} // it says what it is
      }
    }
  },

  NUMBERS(true) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      edit(
          zip.manifest(),
          text -> {
            final List<int[]> places = new ArrayList<>();
            for (Matcher m = NUMBER.matcher(text); m.find();) places.add(new int[] {m.start(), m.end()});
            final int[] place = places.get(random.nextInt(places.size()));
            return text.substring(0, place[0]) + NUMBERS_TO_TRY.get(random.nextInt(NUMBERS_TO_TRY.size())) + text.substring(place[1]);
          });
    }
  },
  LINES(true) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      edit(
          zip.manifest(),
          text -> {
            final List<String> lines = new ArrayList<>(Arrays.asList(text.split("\n")));
            final List<String> others = Arrays.asList(text(other.manifest()).split("\n"));
            final int at = random.nextInt(lines.size());
            switch (random.nextInt(6)) {
              case 0 -> lines.remove(at);
              case 1 -> lines.add(random.nextInt(lines.size()), lines.get(at));
              case 2 -> lines.set(at, others.get(random.nextInt(others.size())));
              case 3 -> Collections.swap(lines, at, random.nextInt(lines.size()));
              case 4 -> lines.set(at, lines.get(at).replaceFirst("=.*", random.nextBoolean() ? "=" : ""));
              default -> lines.add(at, random.nextBoolean() ? "" : "unknown.key=1");
            }
            return String.join("\n", lines) + (random.nextInt(8) == 0 ? "" : "\n");
          });
    }
  },
  CHARACTERS(true) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      edit(
          zip.manifest(),
          text -> {
            final StringBuilder edited = new StringBuilder(text);
            for (int n = 1 + random.nextInt(4); n > 0; --n) {
              final int at = random.nextInt(edited.length());
              final char with =
                  random.nextInt(4) == 0 ? (char) random.nextInt(1 << 16) : "0123456789-+.,:=\\ \"pxe\r\n\t\0".charAt(random.nextInt(25));
              switch (random.nextInt(3)) {
                case 0 -> edited.setCharAt(at, with);
                case 1 -> edited.insert(at, with);
                default -> edited.deleteCharAt(at);
              }
            }
            return edited.toString();
          });
    }
  },
  /** No UTF-8, or much of it. */
  LONG_OR_NO_TEXT(true) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      final ZipForge.Entry manifest = zip.manifest();
      if (random.nextInt(5) == 0) { // brackets within brackets, as descriptions of older versions have
        final int depth = random.nextInt(20_000);
        edit(manifest, words -> words.replaceFirst("\\n(optimizer|tuner)=.*", "\n$1=" + "A[a=".repeat(depth) + "]".repeat(depth)));
        return;
      }
      final byte[] text = manifest.content;
      final int at = random.nextInt(text.length);
      final byte[] more =
          switch (random.nextInt(4)) {
            case 0 -> bytes(random, 1 + random.nextInt(20));
            case 1 -> "9".repeat(1 + random.nextInt(100_000)).getBytes(StandardCharsets.UTF_8);
            case 2 -> ",0x1p0".repeat(1 + random.nextInt(20_000)).getBytes(StandardCharsets.UTF_8);
            default -> "\nk=v".repeat(1 + random.nextInt(20_000)).getBytes(StandardCharsets.UTF_8);
          };
      manifest.store(join(Arrays.copyOf(text, at), more, Arrays.copyOfRange(text, at, text.length)));
    }
  },
  ARRAY_LENGTHS(true) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      final ZipForge.Entry entry = any(random, zip);
      final byte[] content = entry.content;
      entry.store(
          Arrays.copyOf(content, Math.max(0, content.length + (random.nextBoolean() ? 1 + random.nextInt(9) : -1 - random.nextInt(9)))));
    }
  },
  ENTRIES(true) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      final List<ZipForge.Entry> entries = zip.entries;
      switch (random.nextInt(4)) {
        case 0 -> entries.remove(random.nextInt(entries.size()));
        case 1 -> entries.add(random.nextInt(entries.size() + 1),
            new ZipForge.Entry("unknown/" + random.nextInt(9), bytes(random, random.nextInt(99))));
        case 2 -> Collections.swap(entries, random.nextInt(entries.size()), random.nextInt(entries.size()));
        default -> entries.set(random.nextInt(entries.size()), any(random, other));
      }
    }
  },
  EXCHANGED_CONTENTS(true) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      final ZipForge.Entry one = any(random, zip);
      final ZipForge.Entry two = any(random, zip);
      final byte[] content = one.content;
      one.store(two.content);
      two.store(content);
    }
  },
  OTHER_ELEMENTS(true) {
    @Override
    void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
      final ZipForge.Entry entry = zip.entries.get(1 + random.nextInt(zip.entries.size() - 1));
      entry.store(random.nextBoolean() ? bytes(random, entry.content.length)
          : filled(entry.content.length, (byte) (random.nextBoolean() ? -1 : 0x7f)));
    }
  };

  private static final Pattern NUMBER = Pattern.compile("-?0x[0-9a-f.]+p-?[0-9]+|-?[0-9]+(\\.[0-9]+)?([eE]-?[0-9]+)?");
  private static final List<String> NUMBERS_TO_TRY =
      List.of(
          "NaN", "-1", "0", "-0", "1", "2", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "2147483648",
          "4294967296",
          "1e400", "-1e400", "Infinity", "-Infinity", "0x1p1023", "-0x1.8p-1074", "0x1.0p0", "", " ", "1.5", "1e3", "0x", "0x1", "+1",
          "007", "1_000",
          "1L", "1d", "\u0661", "999999999999999999999999999999", "1,1");

  /** Whether the file may be accepted with another content than it had. */
  final boolean mayChange;

  Damage(boolean mayChange) {
    this.mayChange = mayChange;
  }

  /** A damaged copy of a file. Another file of the same kind may lend parts. */
  final byte[] of(SplittableRandom random, byte[] file, byte[] other) {
    return damage(random, file.clone(), other);
  }

  byte[] damage(SplittableRandom random, byte[] file, byte[] other) {
    final ZipForge zip = ZipForge.of(file);
    forge(random, zip, ZipForge.of(other));
    return zip.write();
  }

  void forge(SplittableRandom random, ZipForge zip, ZipForge other) {
    throw new AssertionError(this);
  }

  private static byte[] bytes(SplittableRandom random, int count) {
    final byte[] bytes = new byte[count];
    random.nextBytes(bytes);
    return bytes;
  }

  private static byte[] filled(int count, byte value) {
    final byte[] bytes = new byte[count];
    Arrays.fill(bytes, value);
    return bytes;
  }

  private static byte[] join(byte[]... parts) {
    final ByteArrayOutputStream joined = new ByteArrayOutputStream();
    for (byte[] part : parts) joined.writeBytes(part);
    return joined.toByteArray();
  }

  private static ZipForge.Entry any(SplittableRandom random, ZipForge zip) {
    return zip.entries.get(random.nextInt(zip.entries.size()));
  }

  /** Small, at a border of a type, or anything. */
  private static long number(SplittableRandom random) {
    return switch (random.nextInt(4)) {
      case 0 -> random.nextInt(100);
      case 1 -> (1L << random.nextInt(64)) - random.nextInt(3);
      case 2 -> random.nextLong() >>> random.nextInt(64);
      default -> random.nextInt(1 << 16);
    };
  }

  private static String text(ZipForge.Entry entry) {
    return new String(entry.content, StandardCharsets.UTF_8);
  }

  private static void edit(ZipForge.Entry entry, UnaryOperator<String> change) {
    entry.store(change.apply(text(entry)).getBytes(StandardCharsets.UTF_8));
  }

  /** 320 MiB of zeros, packed once: more than the heap of .ci/fuzz-checkpoints, and than a reader takes of the suite's. */
  private static final class Bomb {
    private static final ZipForge.Entry PACKED = pack();

    private static ZipForge.Entry pack() {
      final ZipForge.Entry bomb = new ZipForge.Entry("", new byte[0]);
      bomb.deflate(new byte[1 << 20], 320);
      return bomb;
    }

    static void plant(ZipForge.Entry entry) {
      entry.content = PACKED.content;
      entry.method = PACKED.method;
      entry.packedSize = PACKED.packedSize;
      entry.size = PACKED.size;
      entry.crc = PACKED.crc;
    }
  }
}
