// SPDX-License-Identifier: Apache-2.0
//
// Tensors that move: all or none, as if at once, and only what differs is looked at. Tensors lie in mappings of their own, some of which
// are taken away, so that whether a range was looked at shows.
#include "core/memory_map.h"
#include "run.h"
#include <sys/mman.h>
#include <unistd.h>

using namespace door;

namespace {

const size_t PAGE = static_cast<size_t>(sysconf(_SC_PAGESIZE));

// Pages with nothing mapped after them, so that no two are one region.
class Pages {
 public:
  explicit Pages(size_t count, int protection = PROT_READ | PROT_WRITE) {
    for (size_t i = 0; i < count; ++i) {
      void* const both = mmap(nullptr, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      munmap(static_cast<char*>(both) + PAGE, PAGE);
      mprotect(both, PAGE, protection);
      pages_.push_back(both);
    }
  }
  ~Pages() {
    for (void* page : pages_) munmap(page, PAGE);
  }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  void unmap(size_t i) { munmap(pages_[i], PAGE); }
  float* at(size_t i) const { return static_cast<float*>(pages_[i]); }
  int64_t address(size_t i) const { return door::address(pages_[i]); }
  std::vector<int64_t> addresses() const {
    std::vector<int64_t> all;
    for (void* page : pages_) all.push_back(door::address(page));
    return all;
  }

 private:
  std::vector<void*> pages_;
};

constexpr size_t TENSORS = 100;
constexpr int64_t COUNT = 16;

// SGD over tensors of 16 elements each, two of them empty, with x <- x - 0.5 (0.5 g + 0.5 x).
struct Sgd {
  int64_t plan = 0;
  int32_t binding = -1;

  Sgd(int64_t device, const Pages& parameters, const Pages& gradients) {
    std::vector<int64_t> counts(TENSORS, COUNT);
    counts[7] = counts[TENSORS - 1] = 0;
    const std::vector<int32_t> types(TENSORS, ST_FLOAT32);
    std::vector<int32_t> segments(TENSORS, 1);
    segments[0] = 0;
    CHECK_EQUAL(st_plan_create(device, TENSORS, parameters.addresses().data(), types.data(), gradients.addresses().data(), types.data(),
                               nullptr, counts.data(), segments.data(), 0, nullptr, 1, &plan),
                ST_OK);
    const int32_t slots[] = {-1, -1};
    CHECK_EQUAL(st_plan_bind(plan, st_kernel_find("fixed_rate", "sgd"), slots, 2, &binding), ST_OK);
    double* const rows = reinterpret_cast<double*>(st_binding_coefficients(plan, binding));
    const auto coefficients = door::split(door::split(st_kernel_describe(st_kernel_find("fixed_rate", "sgd")), '|')[3], ',').size();
    for (size_t i = 0; i < 2 * coefficients; ++i) rows[i] = 0.5;
  }
  ~Sgd() { st_plan_destroy(plan); }
  Sgd(const Sgd&) = delete;
  Sgd& operator=(const Sgd&) = delete;

  st_status move(const std::vector<int32_t>& tensors, const int64_t* parameters, const int64_t* gradients) const {
    return st_plan_rebind(plan, static_cast<int32_t>(tensors.size()), tensors.data(), parameters, gradients, nullptr, 1);
  }
  st_status moveAll(const int64_t* parameters, const int64_t* gradients) const {
    return st_plan_rebind(plan, TENSORS, nullptr, parameters, gradients, nullptr, 1);
  }
  void step() const {
    CHECK_EQUAL(st_sweep(plan, binding, 0), ST_OK);
    CHECK_EQUAL(st_wait(plan, 0), ST_OK);
  }
};

bool stepped(const Pages& parameters, size_t t, float gradient) { return parameters.at(t)[COUNT - 1] == -0.25f * gradient; }

void allOrNone(int64_t device) {
  const Pages x(TENSORS), g(TENSORS), y(TENSORS), h(TENSORS), readOnly(1, PROT_READ), nothing(1, PROT_NONE);
  const Sgd sgd(device, x, g);
  for (size_t t = 0; t < TENSORS; ++t) {
    g.at(t)[COUNT - 1] = 4;
    h.at(t)[COUNT - 1] = 8;
  }
  for (size_t bad : {size_t(0), size_t(1), size_t(50), TENSORS - 2}) {
    const std::string name = "tensor #" + std::to_string(bad);
    std::vector<int64_t> parameters = y.addresses(), gradients = h.addresses();
    for (int64_t wrong :
         {int64_t(4096), y.address(bad) + 1, int64_t(0), nothing.address(0), readOnly.address(0), y.address(bad) + int64_t(PAGE) - 4}) {
      parameters[bad] = wrong;
      CHECK_REFUSED(sgd.moveAll(parameters.data(), gradients.data()), name.c_str());
      CHECK(told("parameter"));
    }
    parameters[bad] = y.address(bad);
    for (int64_t wrong : {int64_t(4096), h.address(bad) + 2, int64_t(0), nothing.address(0), h.address(bad) + int64_t(PAGE) - 4}) {
      gradients[bad] = wrong;
      CHECK_REFUSED(sgd.moveAll(parameters.data(), gradients.data()), name.c_str());
      CHECK(told("gradient"));
    }
  }
  sgd.step();
  for (size_t t = 0; t < TENSORS; ++t) CHECK(t == 7 || t == TENSORS - 1 || (stepped(x, t, 4) && y.at(t)[COUNT - 1] == 0));
  CHECK_EQUAL(sgd.moveAll(y.addresses().data(), h.addresses().data()), ST_OK);
  sgd.step();
  for (size_t t = 0; t < TENSORS; ++t) CHECK(t == 7 || t == TENSORS - 1 || (stepped(x, t, 4) && stepped(y, t, 8)));
  // Gradients are only read.
  std::vector<int64_t> gradients = h.addresses();
  gradients[3] = readOnly.address(0);
  CHECK_EQUAL(sgd.moveAll(nullptr, gradients.data()), ST_OK);
  // What is empty goes anywhere.
  gradients[7] = 1;
  gradients[TENSORS - 1] = 0;
  CHECK_EQUAL(sgd.moveAll(nullptr, gradients.data()), ST_OK);
  sgd.step();
}

// Memory that is gone is not noticed where a tensor has stayed, and is where it has moved.
void onlyWhatDiffersIsLookedAt(int64_t device) {
  const Pages x(TENSORS), g(TENSORS);
  Pages h(TENSORS);
  const Sgd sgd(device, x, g);
  std::vector<int64_t> gradients = g.addresses();
  for (size_t t = 0; t < 50; ++t) gradients[t] = h.address(t);
  CHECK_EQUAL(sgd.moveAll(nullptr, gradients.data()), ST_OK);
  h.unmap(20);
  CHECK_EQUAL(sgd.moveAll(x.addresses().data(), gradients.data()), ST_OK);
  gradients[60] = h.address(60);
  CHECK_EQUAL(sgd.moveAll(x.addresses().data(), gradients.data()), ST_OK);
  CHECK_EQUAL(sgd.move({20}, nullptr, &gradients[20]), ST_OK);
  gradients[21] = h.address(20);
  CHECK_REFUSED(sgd.moveAll(nullptr, gradients.data()), "tensor #21");
  gradients[21] = h.address(21);
  gradients[20] = g.address(20);
  CHECK_EQUAL(sgd.moveAll(nullptr, gradients.data()), ST_OK);
  sgd.step();
}

void tensorsByNumber(int64_t device) {
  const Pages x(TENSORS), g(TENSORS), h(TENSORS);
  const Sgd sgd(device, x, g);
  const int64_t places[] = {h.address(0), h.address(1), h.address(2)};
  h.at(0)[COUNT - 1] = 4;
  h.at(1)[COUNT - 1] = 8;
  h.at(2)[COUNT - 1] = 12;
  CHECK_EQUAL(sgd.move({90, 5, 90}, nullptr, places), ST_OK);  // the last one counts
  sgd.step();
  CHECK(stepped(x, 90, 12) && stepped(x, 5, 8) && stepped(x, 6, 0));
  CHECK_REFUSED(sgd.move({1, 100}, nullptr, places), "no tensor #100");
  CHECK_REFUSED(sgd.move({-1}, nullptr, places), "no tensor #-1");
  CHECK_REFUSED(st_plan_rebind(sgd.plan, 3, nullptr, nullptr, places, nullptr, 1), "100 tensors");
  CHECK_REFUSED(st_plan_rebind(sgd.plan, -1, nullptr, nullptr, places, nullptr, 1), "100 tensors");
  const int32_t none = -1;
  CHECK_EQUAL(st_plan_rebind(sgd.plan, 0, &none, nullptr, nullptr, nullptr, 1), ST_OK);
}

// Regions that touch are one range of memory, whatever the system makes of them; a gap or another protection is seen to the byte.
void theMemoryMap() {
  using steptuner::isMapped;
  char* const all = static_cast<char*>(mmap(nullptr, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const int64_t page = static_cast<int64_t>(PAGE);
  for (size_t i = 0; i < 20; i += 2) mprotect(all + i * PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
  mprotect(all + 20 * PAGE, PAGE, PROT_READ);
  mprotect(all + 30 * PAGE, PAGE, PROT_NONE);
  munmap(all + 40 * PAGE, PAGE);
  CHECK(isMapped(all, 20 * page, true));
  CHECK(!isMapped(all, 20 * page + 1, true));
  CHECK(isMapped(all, 30 * page, false));
  CHECK(!isMapped(all, 30 * page + 1, false));
  CHECK(!isMapped(all + 30 * PAGE, 1, false));
  CHECK(isMapped(all + 31 * PAGE, 9 * page, true));
  CHECK(!isMapped(all + 31 * PAGE, 9 * page + 1, false));
  CHECK(!isMapped(all + 41 * PAGE - 1, 2, false));
  CHECK(isMapped(all + 41 * PAGE, 23 * page, true));
  CHECK(isMapped(all + 40 * PAGE, 0, true));
  CHECK(!isMapped(nullptr, 1, false));
  CHECK(!isMapped(all, -1, false));
  CHECK(!isMapped(reinterpret_cast<void*>(UINTPTR_MAX), 1, false));
  CHECK(!isMapped(reinterpret_cast<void*>(UINTPTR_MAX - 8), 100, false));
  std::vector<steptuner::Range> ranges;
  for (size_t i = 0; i < 64; ++i) ranges.push_back({all + i * PAGE, page, i != 20});
  CHECK_EQUAL(steptuner::firstUnmapped(ranges.data(), 30), 30u);
  CHECK_EQUAL(steptuner::firstUnmapped(ranges.data(), 64), 30u);
  CHECK_EQUAL(steptuner::firstUnmapped(ranges.data() + 31, 33), 9u);
  CHECK_EQUAL(steptuner::firstUnmapped(nullptr, 0), 0u);
  munmap(all, 64 * PAGE);
}

// Zeroing goes where gradients are now, and tells apart what can be read from what can be written.
void zeroing(int64_t device) {
  const Pages x(TENSORS), g(TENSORS), h(TENSORS), readOnly(1, PROT_READ);
  const Sgd sgd(device, x, g);
  const auto fill = [&] {
    for (const Pages* pages : {&g, &h})
      for (size_t t = 0; t < TENSORS; ++t)
        for (int64_t i = 0; i <= COUNT; ++i) pages->at(t)[i] = 5;
  };
  const auto zeroed = [&](const Pages& pages, size_t t) {
    for (int64_t i = 0; i < COUNT; ++i)
      if (pages.at(t)[i] != 0) return false;
    return pages.at(t)[COUNT] == 5;
  };
  fill();
  CHECK_EQUAL(st_plan_zero_gradients(sgd.plan, 0, 1), ST_OK);
  CHECK_EQUAL(st_wait(sgd.plan, 0), ST_OK);
  for (size_t t = 0; t < TENSORS; ++t) CHECK((t == 7 || t == TENSORS - 1 ? g.at(t)[0] == 5 : zeroed(g, t)) && h.at(t)[0] == 5);
  fill();
  std::vector<int64_t> gradients = g.addresses();
  gradients[30] = readOnly.address(0);
  gradients[31] = h.address(31);
  CHECK_EQUAL(sgd.moveAll(nullptr, gradients.data()), ST_OK);
  CHECK_REFUSED(st_plan_zero_gradients(sgd.plan, 0, 1), "gradient of tensor #30");
  CHECK(g.at(0)[0] == 5 && h.at(31)[0] == 5);
  gradients[30] = g.address(0);  // two tensors with one gradient
  CHECK_EQUAL(sgd.moveAll(nullptr, gradients.data()), ST_OK);
  CHECK_EQUAL(st_plan_zero_gradients(sgd.plan, 0, 1), ST_OK);
  CHECK_EQUAL(st_wait(sgd.plan, 0), ST_OK);
  CHECK(zeroed(g, 0) && g.at(30)[0] == 5 && g.at(31)[0] == 5 && zeroed(h, 31) && zeroed(g, 32));
}

}  // namespace

int main(int count, char** arguments) {
  const int64_t device = openDevice(count, arguments);
  allOrNone(device);
  onlyWhatDiffersIsLookedAt(device);
  tensorsByNumber(device);
  theMemoryMap();
  zeroing(device);
  st_device_close(device);
  return report("rebind_test");
}
