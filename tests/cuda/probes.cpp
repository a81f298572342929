// Small kernels with a fault each, and one without, run in the emulator by name.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "launch.h"

namespace cg = cooperative_groups;

namespace {

constexpr int kThreads = 64;
constexpr int kTile = 8;

__global__ void sum_kernel(const float* x, float* out) {
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  const float sum = cg::reduce(tile, x[threadIdx.x], cg::plus<float>());
  if (tile.thread_rank() == 0) out[threadIdx.x / kTile] = sum;
}

// A lane stays away from the sum.
__global__ void divergent_kernel(const float* x, float* out) {
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  if (tile.thread_rank() == 3) return;
  out[threadIdx.x / kTile] = cg::reduce(tile, x[threadIdx.x], cg::plus<float>());
}

// Lanes of a tile are at different collectives.
__global__ void mixed_kernel(const float* x, float* out) {
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  out[threadIdx.x / kTile] = tile.thread_rank() == 3 ? tile.shfl(x[threadIdx.x], 0)
                                                     : float(tile.ballot(x[threadIdx.x] > 0));
}

// A thread reads what its neighbour wrote, without a barrier.
__global__ void race_kernel(const float* x, float* out) {
  __shared__ float shared[kThreads];
  shared[threadIdx.x] = x[threadIdx.x];
  const float other = shared[(threadIdx.x + 1) % kThreads];
  __syncthreads();
  shared[threadIdx.x] = 0;
  __syncthreads();
  if (threadIdx.x < kThreads / kTile) out[threadIdx.x] = other;
}

// The sum is not shared with the first lane, which writes.
__global__ void no_shuffle_kernel(const float* x, float* out) {
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  float sum = x[threadIdx.x];
  for (unsigned bits = kTile / 2; bits > 1; bits /= 2) sum += tile.shfl_xor(sum, bits);
  if (tile.thread_rank() == 0) out[threadIdx.x / kTile] = sum;
}

__global__ void unwritten_kernel(const float* x, float* out) {
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  const float sum = cg::reduce(tile, x[threadIdx.x], cg::plus<float>());
  if (tile.thread_rank() == 0 && threadIdx.x) out[threadIdx.x / kTile] = sum;
}

__global__ void read_beyond_kernel(const float* x, float* out) {
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  const float sum = cg::reduce(tile, x[threadIdx.x + 1], cg::plus<float>());
  if (tile.thread_rank() == 0) out[threadIdx.x / kTile] = sum;
}

__global__ void write_before_kernel(const float* x, float* out) {
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  const float sum = cg::reduce(tile, x[threadIdx.x], cg::plus<float>());
  if (tile.thread_rank() == 0) out[int(threadIdx.x / kTile) - 1] = sum;
}

using Kernel = void (*)(const float*, float*);
const std::map<std::string, Kernel> kKernels = {
    {"none", sum_kernel},
    {"divergent collective", divergent_kernel},
    {"different collectives", mixed_kernel},
    {"race", race_kernel},
    {"missing shuffle", no_shuffle_kernel},
    {"unwritten output", unwritten_kernel},
    {"read out of bounds", read_beyond_kernel},
    {"write out of bounds", write_before_kernel},
};

// "right", "wrong", or "depends on the order"; each sum is that of eight ones.
std::string verdict(Kernel kernel) {
  std::vector<std::vector<float>> results;
  for (const auto order :
       {emulator::Order::kForward, emulator::Order::kReverse, emulator::Order::kRandom}) {
    emulator::set_order(order, 1);
    // Heap blocks of their own, so that AddressSanitizer sees both ends.
    std::vector<float> x(kThreads), out(kThreads / kTile, NAN);
    for (int i = 0; i < kThreads; ++i) x[i] = float(i % kTile);
    emulator::configure(kernel, dim3(1), dim3(kThreads))(x.data(), out.data());
    results.push_back(out);
  }
  for (const auto& other : results)
    if (std::memcmp(other.data(), results[0].data(), other.size() * sizeof(float)) != 0)
      return "depends on the order";
  for (float sum : results[0])
    if (sum != float(kTile * (kTile - 1) / 2)) return "wrong";
  return "right";
}

}  // namespace

int main(int, char** names) {
  try {
    std::puts(verdict(kKernels.at(names[1])).c_str());
  } catch (const std::runtime_error& error) {
    std::puts(error.what());
  }
}
