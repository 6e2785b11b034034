// SPDX-License-Identifier: Apache-2.0
#include "memory_map.h"
#include <algorithm>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <vector>

namespace steptuner {
namespace {

struct Interval {
  uintptr_t begin, end;
};

// Intervals in the order of their addresses; those that touch are one.
class Intervals {
 public:
  void add(uintptr_t begin, uintptr_t end) {
    if (!all_.empty() && all_.back().end == begin)
      all_.back().end = end;
    else
      all_.push_back({begin, end});
  }

  bool cover(uintptr_t begin, uintptr_t end) const {
    const auto after = std::upper_bound(all_.begin(), all_.end(), begin, [](uintptr_t at, const Interval& i) { return at < i.begin; });
    return after != all_.begin() && end <= std::prev(after)->end;
  }

 private:
  std::vector<Interval> all_;
};

// Takes the text of /proc/self/maps piece by piece: lines of "begin-end rw...", where the first two are hexadecimal, in the order of their
// addresses.
class Map {
 public:
  void take(const char* at, const char* end) {
    while (at < end) {
      if (field_ == REST) {
        at = static_cast<const char*>(memchr(at, '\n', static_cast<size_t>(end - at)));
        if (!at) return;
        field_ = BEGIN;
      } else {
        take(*at);
      }
      ++at;
    }
  }

  bool covers(const Range& range) const {
    const uintptr_t begin = reinterpret_cast<uintptr_t>(range.address);
    const uintptr_t end = begin + static_cast<uintptr_t>(range.bytes);
    return range.bytes >= 0 && end >= begin && (end == begin || (range.written ? writable_ : readable_).cover(begin, end));
  }

 private:
  enum Field { BEGIN, END, READ, WRITE, REST };

  void take(char c) {
    switch (field_) {
      case BEGIN:
      case END:
        if (c == '-' || c == ' ') {
          (field_ == BEGIN ? region_.begin : region_.end) = number_;
          number_ = 0;
          field_ = field_ == BEGIN ? END : READ;
        } else {
          number_ = number_ << 4 | static_cast<uintptr_t>(c <= '9' ? c - '0' : c - 'a' + 10);
        }
        break;
      case READ:
        isReadable_ = c == 'r';
        field_ = WRITE;
        break;
      default:
        if (isReadable_) readable_.add(region_.begin, region_.end);
        if (isReadable_ && c == 'w') writable_.add(region_.begin, region_.end);
        field_ = REST;
    }
  }

  Intervals readable_, writable_;
  Interval region_ = {0, 0};
  uintptr_t number_ = 0;
  bool isReadable_ = false;
  Field field_ = BEGIN;
};

// Linux 6.11 and later answer for one address (linux/fs.h, which older systems do not have), without writing all regions as text: that
// takes microseconds for each region with a name, of which a process may have thousands.
struct Question {
  uint64_t size, flags, address;
  uint64_t begin, end, access, pageSize, offset, inode;
  uint32_t deviceMajor, deviceMinor, nameSize, buildIdSize;
  uint64_t name, buildId;
};
constexpr unsigned long ASK = _IOWR('f', 17, Question);
constexpr uint64_t READABLE = 1, WRITABLE = 2;

// Whether a range is known to be mapped; false may mean that the system does not know the question. `last` is the region that was asked
// for last: many ranges are in one.
bool isKnown(int file, const Range& range, Question& last) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(range.address);
  const uintptr_t end = begin + static_cast<uintptr_t>(range.bytes);
  if (range.bytes < 0 || end < begin) return false;
  for (uintptr_t covered = begin; covered < end;) {
    if (covered < last.begin || covered >= last.end) {
      last = {};
      last.size = sizeof last;
      last.address = covered;
      if (ioctl(file, ASK, &last) != 0) {
        last.begin = last.end = 0;
        return false;
      }
    }
    if (!(last.access & READABLE) || (range.written && !(last.access & WRITABLE))) return false;
    covered = static_cast<uintptr_t>(last.end);
  }
  return true;
}

// How many of the ranges, from the first on, are known to be mapped.
size_t askAll(int file, const Range* ranges, size_t count) {
  size_t first = 0;
  Question last = {};
  while (first < count && isKnown(file, ranges[first], last)) ++first;
  return first;
}

// False where the system does not tell.
bool read(Map& map, int file) {
  if (lseek(file, 0, SEEK_SET) != 0) return false;
  char text[8192];
  ssize_t bytes;
  while ((bytes = ::read(file, text, sizeof text)) > 0 || (bytes < 0 && errno == EINTR))
    if (bytes > 0) map.take(text, text + bytes);
  return bytes == 0;
}

// Other threads change the map while it is read, and a region that they join with its neighbour may then be missing: only what is missing
// every time is not there.
constexpr int ATTEMPTS = 3;

}  // namespace

size_t firstUnmapped(const Range* ranges, size_t count) {
  const int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (file < 0) return count;
  size_t first = askAll(file, ranges, count);
  for (int attempt = 0; attempt < ATTEMPTS && first < count; ++attempt) {
    Map map;
    if (!read(map, file)) {
      first = count;
      break;
    }
    while (first < count && map.covers(ranges[first])) ++first;
  }
  ::close(file);
  return first;
}

}  // namespace steptuner
