// kernel<<<grid, block>>>(arguments) of a kernel that was made of PTX, found by its name.
#pragma once

#include <cctype>
#include <cstdio>
#include <string>
#include <vector>

#include "cuda.h"

namespace emulator {

struct PtxKernel {
  void (*run)(const unsigned char* const* parameters);
  int blocks;          // basic blocks, and of each
  const float* costs;  // what its instructions cost, in issue slots
  const int* loads;    // of global memory
  const int* stores;
  int double_precision;  // arithmetic instructions in the kernel
};

// "columns_kernel 5 float" of "... [with auto Kernel = hvae::columns_kernel<hvae::kDivergence, float>;
// ...]": words and numbers, without names of scopes, an enumerator by its number.
inline std::string kernel_key(const std::string& text, const char* const* enumerators, int count) {
  const auto open = text.find("_kernel<");
  auto begin = open;
  while (begin > 0 && (std::isalnum((unsigned char)text[begin - 1]) || text[begin - 1] == '_'))
    --begin;
  std::string key = text.substr(begin, open + 7 - begin), word;
  const auto finish = [&] {
    for (int i = 0; i < count; ++i)
      if (word == enumerators[i]) word = std::to_string(i);
    static const char* const scopes[] = {"hvae",   "anonymous", "namespace", "emulated",
                                         "Layout", "Quantity",  ""};
    for (const char* scope : scopes)
      if (word == scope) return word.clear();
    key += " " + word;
    word.clear();
  };
  int depth = 1;
  for (auto at = open + 8; depth > 0; ++at) {
    depth += text[at] == '<' ? 1 : text[at] == '>' ? -1 : 0;
    if (std::isalnum((unsigned char)text[at]) || text[at] == '_') {
      word += text[at];
    } else {
      finish();
    }
  }
  return key;
}

inline void print_profile(const std::string& key, const PtxKernel& kernel, const Profile& taken,
                          dim3 grid, dim3 block) {
  double warp = 0, lane = 0, loads = 0, stores = 0;
  for (int i = 0; i < kernel.blocks; ++i) {
    warp += taken.warp_issues[i] * kernel.costs[i];
    lane += taken.lane_runs[i] * kernel.costs[i];
    loads += taken.warp_issues[i] * kernel.loads[i];
    stores += taken.warp_issues[i] * kernel.stores[i];
  }
  std::printf("PROFILE %s|%u|%u|%llu|%.0f|%.0f|%.0f|%.0f|%d\n", key.c_str(), grid.x, block.x,
              (unsigned long long)taken.warps, warp, lane, loads, stores, kernel.double_precision);
}

template <class... P>
struct PtxLauncher {
  PtxKernel kernel;
  dim3 grid, block;
  std::string key;

  template <class... A>
  void operator()(A&&... arguments) const {
    std::tuple<P...> held(static_cast<P>(std::forward<A>(arguments))...);
    std::apply([&](auto&... each) { run({reinterpret_cast<const unsigned char*>(&each)...}); },
               held);
  }

 private:
  void run(std::vector<const unsigned char*> pointers) const {
#ifdef EMULATOR_COUNTS
    std::vector<double> issues(kernel.blocks), runs(kernel.blocks);
    Profile taken{kernel.blocks, 0, issues.data(), runs.data()};
    profile = &taken;
#endif
    run_grid(grid, block, [&] { kernel.run(pointers.data()); });
#ifdef EMULATOR_COUNTS
    profile = nullptr;
    print_profile(key, kernel, taken, grid, block);
#endif
  }
};

template <class... P, class... Rest>
PtxLauncher<P...> configure_ptx(void (*)(P...), PtxKernel kernel, std::string key, dim3 grid,
                                dim3 block, Rest&&...) {
  return {kernel, grid, block, std::move(key)};
}

}  // namespace emulator
