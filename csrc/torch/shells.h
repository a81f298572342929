// The shells of a row, from the list of their ambient dimensions.
#pragma once

#include <torch/headeronly/util/Exception.h>

#include <vector>

#include "../arguments/shells.h"
#include "../math/counter.h"

namespace hvae {

struct PackedShells {
  std::vector<int64_t> dims, offsets;
  int64_t width = 0, first;

  // first: the index of the first of them in the random stream.
  PackedShells(const char* op, const std::vector<int64_t>& given, int64_t given_first)
      : dims(given), first(given_first) {
    STD_TORCH_CHECK(!dims.empty() && count() < kMostShells, op, ": dims must name 1 to ",
                    kMostShells - 1, " shells");
    for (int64_t m : dims) {
      STD_TORCH_CHECK(m >= 2 && m <= kMostDimensions, op,
                      ": a shell has an ambient dimension from 2 to ", kMostDimensions, ", not ",
                      m);
      offsets.push_back(width);
      width += m;
    }
    STD_TORCH_CHECK(first >= 0 && first < kShellIndices - count(), op, ": shell must be from 0 to ",
                    kShellIndices - 1 - count(), " for ", count(), " shells, not ", first);
  }

  int64_t count() const { return int64_t(dims.size()); }

  Shells shells() const {
    return {.count = int(count()),
            .width = width,
            .first = first,
            .dims = dims.data(),
            .offsets = offsets.data()};
  }
};

}  // namespace hvae
