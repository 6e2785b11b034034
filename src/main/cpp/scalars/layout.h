// SPDX-License-Identifier: Apache-2.0
//
// Where the numbers of captured steps are: in one piece of device memory, and its image on the host.
#pragma once
#include "registry.h"
#include <algorithm>

namespace steptuner {

// Hands out pieces of memory whose beginning is not known yet.
class Layout {
 public:
  template <class T>
  int64_t add(int64_t count) {
    const int64_t begin = (bytes_ + 63) / 64 * 64;
    bytes_ = begin + count * int64_t(sizeof(T));
    return begin;
  }
  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

// Where everything is: first what the host has an image of, beginning with the scalars' piece, then what only the device has; reports are the
// host's alone.
struct Places {
  int64_t whole, firstOf, segmentOf, scopeOf, groupOf, settings, state, scratch, kept, firstSums, secondSums, ring, image;
  int64_t firstRows, secondRows, firstChunks, secondChunks, all;
  int64_t arrived, reports, host;
};

inline Places layOut(const CaptureTables& t, const MachineInfo& machine, int64_t chunks) {
  Places at;
  Layout layout;
  at.whole = layout.add<CaptureState>(1);
  at.firstOf = layout.add<int32_t>(t.scopes + 1);
  at.segmentOf = layout.add<int32_t>(t.segments);
  at.scopeOf = layout.add<int32_t>(t.segments);
  at.groupOf = layout.add<int32_t>(t.segments);
  at.settings = layout.add<double>(machine.settings + t.length);
  at.state = layout.add<double>(int64_t(t.scopes) * t.stateWidth);
  at.scratch = layout.add<double>(int64_t(t.scopes) * t.scratchWidth);
  at.kept = layout.add<double>(int64_t(t.segments) * machine.kept);
  at.firstSums = layout.add<double>(int64_t(t.segments) * t.firstSums);
  at.secondSums = layout.add<double>(int64_t(t.segments) * t.secondSums);
  at.ring = layout.add<double>(int64_t(t.capacity) * t.rowWidth);
  at.image = layout.bytes();
  Layout host = layout;
  at.firstRows = layout.add<double>(int64_t(t.segments) * t.firstCoefficients);
  at.secondRows = layout.add<double>(int64_t(t.segments) * t.secondCoefficients);
  at.firstChunks = layout.add<double>(chunks * t.firstSums);
  at.secondChunks = layout.add<double>(chunks * t.secondSums);
  at.all = layout.bytes();
  at.arrived = host.add<int64_t>(1);
  at.reports = host.add<double>(int64_t(REPORTS) * t.reportWidth);
  at.host = host.bytes();
  return at;
}

template <class T>
T* at(char* memory, int64_t offset) {
  return reinterpret_cast<T*>(memory + offset);
}

inline void point(Capture& capture, const Places& places) {
  CaptureTables& t = capture.tables;
  char* const memory = capture.memory;
  t.memory.whole = at<CaptureState>(memory, places.whole);
  t.memory.firstOf = at<int32_t>(memory, places.firstOf);
  t.memory.segmentOf = at<int32_t>(memory, places.segmentOf);
  t.memory.scopeOf = at<int32_t>(memory, places.scopeOf);
  t.memory.groupOf = at<int32_t>(memory, places.groupOf);
  t.memory.settings = at<double>(memory, places.settings);
  t.memory.state = at<double>(memory, places.state);
  t.memory.scratch = at<double>(memory, places.scratch);
  t.memory.kept = at<double>(memory, places.kept);
  t.memory.firstSumRows = at<double>(memory, places.firstSums);
  t.memory.secondSumRows = at<double>(memory, places.secondSums);
  t.memoryBytes = places.ring;
  t.ring = at<double>(memory, places.ring);
  t.firstRows = at<double>(memory, places.firstRows);
  t.secondRows = at<double>(memory, places.secondRows);
  capture.firstChunkSums = at<double>(memory, places.firstChunks);
  capture.secondChunkSums = at<double>(memory, places.secondChunks);
  t.arrived = at<int64_t>(capture.image, places.arrived);
  t.reports = at<double>(capture.image, places.reports);
}

// The same place in the image as on the device.
template <class T>
T* imageOf(const Capture& capture, const T* onDevice) {
  return reinterpret_cast<T*>(capture.image + (reinterpret_cast<const char*>(onDevice) - capture.memory));
}

inline void fillTables(Capture& capture, const int32_t* scopeOf, const int32_t* groupOf) {
  const CaptureTables& t = capture.tables;
  int32_t* const firstOf = imageOf(capture, t.memory.firstOf);
  int32_t* const segmentOf = imageOf(capture, t.memory.segmentOf);
  std::copy_n(scopeOf, t.segments, imageOf(capture, t.memory.scopeOf));
  std::copy_n(groupOf, t.segments, imageOf(capture, t.memory.groupOf));
  int32_t next = 0;
  std::vector<std::vector<int32_t>> byScope(static_cast<size_t>(t.scopes));
  for (int32_t s = 0; s < t.segments; ++s) byScope[static_cast<size_t>(scopeOf[s])].push_back(s);
  for (int32_t scope = 0; scope < t.scopes; ++scope) {
    firstOf[scope] = next;
    for (const int32_t s : byScope[static_cast<size_t>(scope)]) segmentOf[next++] = s;
  }
  firstOf[t.scopes] = next;
}

}  // namespace steptuner
