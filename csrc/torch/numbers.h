// The op `numbers`, packed: uniform or normal numbers of a stream.
#pragma once

#include <vector>

#include "../arguments/numbers.h"
#include "../math/counter.h"
#include "checks.h"
#include "tensors.h"

namespace hvae {

struct Numbers {
  Tensor rng, out;
  int64_t samples, rows, each, shell;
  bool normal;

  Numbers(const Tensor& given_rng, int64_t given_samples, int64_t given_rows, int64_t given_each,
          int64_t given_shell, bool given_normal, ScalarType dtype)
      : samples(given_samples),
        rows(given_rows),
        each(given_each),
        shell(given_shell),
        normal(given_normal) {
    constexpr const char* op = "hvae::numbers";
    constexpr int64_t most = 2 * int64_t(kBlocksPerShell);  // a block holds two at least
    check_rng(op, given_rng);
    STD_TORCH_CHECK(is_real(dtype), op, ": dtype must be float32 or float64");
    STD_TORCH_CHECK(samples >= 0 && rows >= 0 && each >= 0, op, ": sizes must not be negative");
    STD_TORCH_CHECK(shell >= 0 && shell < kShellIndices, op, ": shell must be from 0 to ",
                    kShellIndices - 1, ", not ", shell);
    STD_TORCH_CHECK(shell == 0 || each <= most, op, ": a shell has at most ", most, " numbers");
    rng = made_contiguous(given_rng);
    out = torch::stable::new_empty(rng, std::vector<int64_t>{samples, rows, each}, dtype);
  }

  template <class T>
  NumbersArguments<T> arguments() const {
    return {.samples = samples,
            .rows = rows,
            .each = each,
            .shell = shell,
            .normal = normal,
            .rng = rng.const_data_ptr<int64_t>(),
            .out = out.mutable_data_ptr<T>()};
  }
};

}  // namespace hvae
