// SPDX-License-Identifier: Apache-2.0
//
// Where the __shared__ variables are. Their declaration cannot say: a macro stands before it and sees neither name nor size.
// The symbol table of this program or library does: it lists every thread_local variable of a function by the function's
// mangled name, and the guard that the macro declares tells which functions are meant.
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "block.h"
#include "device.h"

extern "C" {
__attribute__((weak)) void __asan_poison_memory_region(const volatile void* memory, size_t bytes);

// The variable whose address and place in the symbol table tell where a thread's others are.
__thread char cudaEmulationAnchor;
}

namespace cuda_emulation {

namespace {

struct Variable {
  uint64_t offset;  // from the anchor; it wraps around
  uint64_t bytes;
};

struct Function {
  std::vector<Variable> variables;
  std::vector<Variable> guards;
};

struct Table {
  std::vector<Function> functions;
  std::map<uint64_t, const Function*> byGuard;
};

// The file that this code was loaded from, mapped.
class Image {
 public:
  Image() {
    std::string path;
    dl_iterate_phdr(
        [](dl_phdr_info* info, size_t, void* found) {
          const auto here = reinterpret_cast<uintptr_t>(&cudaDeviceSynchronize);
          for (int i = 0; i < info->dlpi_phnum; ++i) {
            const auto& segment = info->dlpi_phdr[i];
            const uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
            if (segment.p_type != PT_LOAD || here < begin || here >= begin + segment.p_memsz) continue;
            *static_cast<std::string*>(found) = *info->dlpi_name ? info->dlpi_name : "/proc/self/exe";
            return 1;
          }
          return 0;
        },
        &path);
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (file >= 0 && fstat(file, &status) == 0) {
      bytes_ = static_cast<size_t>(status.st_size);
      void* memory = mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, file, 0);
      if (memory != MAP_FAILED) base_ = static_cast<const char*>(memory);
    }
    if (file >= 0) close(file);
  }
  ~Image() {
    if (base_) munmap(const_cast<char*>(base_), bytes_);
  }
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  // f(name, symbol) for the thread_local variables.
  template <class F>
  void forThreadLocals(F f) const {
    if (!base_) return;
    const auto* header = reinterpret_cast<const Elf64_Ehdr*>(base_);
    const auto* sections = reinterpret_cast<const Elf64_Shdr*>(base_ + header->e_shoff);
    for (int i = 0; i < header->e_shnum; ++i) {
      if (sections[i].sh_type != SHT_SYMTAB) continue;
      const char* names = base_ + sections[sections[i].sh_link].sh_offset;
      const auto* symbols = reinterpret_cast<const Elf64_Sym*>(base_ + sections[i].sh_offset);
      for (size_t k = 0; k < sections[i].sh_size / sizeof(Elf64_Sym); ++k) {
        const bool threadLocal = ELF64_ST_TYPE(symbols[k].st_info) == STT_TLS && symbols[k].st_shndx != SHN_UNDEF;
        if (threadLocal) f(names + symbols[k].st_name, symbols[k]);
      }
    }
  }

 private:
  const char* base_ = nullptr;
  size_t bytes_ = 0;
};

// Of a guard's name, _ZZ...E24cudaEmulationSharedGuard7 or so, what the function's other variables begin with: all before the
// number.
std::string_view functionOf(std::string_view name) {
  const size_t guard = name.find("cudaEmulationSharedGuard");
  if (guard == std::string_view::npos) return {};
  const size_t end = name.find_last_not_of("0123456789", guard - 1);
  return name.substr(0, end + 1);
}

Table readTable() {
  std::map<std::string, Variable, std::less<>> variables;
  uint64_t anchor = 0;
  const Image image;
  image.forThreadLocals([&](const char* name, const Elf64_Sym& symbol) {
    if (strcmp(name, "cudaEmulationAnchor") == 0) anchor = symbol.st_value;
    if (strncmp(name, "_ZZ", 3) == 0) variables[name] = {symbol.st_value, symbol.st_size};
  });

  std::map<std::string, Function, std::less<>> functions;
  for (const auto& [name, variable] : variables) {
    const std::string_view function = functionOf(name);
    if (!function.empty()) functions[std::string(function)].guards.push_back({variable.offset - anchor, variable.bytes});
  }
  Table table;
  table.functions.reserve(functions.size());
  for (auto& [prefix, function] : functions) {
    for (auto it = variables.lower_bound(prefix); it != variables.end() && it->first.compare(0, prefix.size(), prefix) == 0; ++it) {
      if (functionOf(it->first).empty()) function.variables.push_back({it->second.offset - anchor, it->second.bytes});
    }
    table.functions.push_back(std::move(function));
    for (const Variable& guard : table.functions.back().guards) table.byGuard[guard.offset] = &table.functions.back();
  }
  if (table.functions.empty()) {
    fprintf(stderr, "CUDA emulation: no symbol table (stripped?): __shared__ variables are neither poisoned nor fenced off\n");
  }
  return table;
}

// Of this OS thread.
char* at(uint64_t offset) { return reinterpret_cast<char*>(reinterpret_cast<uint64_t>(&cudaEmulationAnchor) + offset); }

// Not memset, which ThreadSanitizer would take for a write by the thread of the kernel that happens to be first.
void poison(char* memory, size_t bytes) { asm volatile("rep stosb" : "+D"(memory), "+c"(bytes) : "a"(POISON) : "memory"); }

// A guard is the red zone behind the variable before it, from that one's last byte on.
void fenceOff(const Function& function, const Variable& guard) {
  constexpr uint64_t GRANULE = 8;
  uint64_t begin = guard.offset;
  for (const Variable& variable : function.variables) {
    const uint64_t end = variable.offset + variable.bytes;
    if (guard.offset - end < GRANULE) begin = end;
  }
  __asan_poison_memory_region(at(begin), guard.offset + guard.bytes - begin);
}

}  // namespace

void enterShared(SharedGuard& guard) {
  const unsigned long long block = currentBlockSerial();
  if (guard.block == block) return;
  guard.block = block;
  if (!guard.function) {
    static const Table& table = *new Table(readTable());
    const auto found = table.byGuard.find(static_cast<uint64_t>(reinterpret_cast<char*>(&guard) - &cudaEmulationAnchor));
    if (found == table.byGuard.end()) return;
    guard.function = found->second;
  }
  const Function& function = *static_cast<const Function*>(guard.function);
  for (const Variable& variable : function.variables) poison(at(variable.offset), variable.bytes);
  for (const Variable& other : function.guards) {
    reinterpret_cast<SharedGuard*>(at(other.offset))->block = block;
    if (__asan_poison_memory_region) fenceOff(function, other);
  }
}

}  // namespace cuda_emulation
