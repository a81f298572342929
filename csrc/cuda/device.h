// What every GPU kernel stands on: launches on torch's current stream, and indices.
#pragma once

#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>

#include <algorithm>

#include "../torch/tensors.h"

namespace hvae {
namespace {

constexpr int kThreads = 256;
constexpr int kWarp = 32;
// Shells or columns whose tables travel with one launch, in the kernel's parameters.
constexpr int kShellsALaunch = 256;

inline cudaStream_t current_stream(const Tensor& t) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

inline void check_launch(const char* op) {
  const cudaError_t error = cudaGetLastError();
  STD_TORCH_CHECK(error == cudaSuccess, op, ": ", cudaGetErrorString(error));
}

inline unsigned blocks_for(int64_t threads) {
  return unsigned(std::min<int64_t>((threads + kThreads - 1) / kThreads, int64_t(1) << 30));
}

__device__ int64_t thread_index() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ int64_t thread_count() { return int64_t(gridDim.x) * blockDim.x; }

}  // namespace
}  // namespace hvae
