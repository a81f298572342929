// A launch on the CPU: the threads of a block are fibers, the blocks follow one another, and what a
// GPU would leave undefined is an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

namespace emulator {

// The thread that runs now.
struct Thread {
  dim3 thread, block;
  unsigned lane, warp;
  uint32_t* counts = nullptr;  // executions of every basic block, where they are counted
};
extern thread_local Thread* current;
extern thread_local dim3 block_dim, grid_dim;

// Where the runnable threads of a block, and the blocks, are taken next. No result may depend on it.
enum class Order : int { kForward, kReverse, kRandom };
void set_order(Order order, uint64_t seed);

// Throws std::runtime_error for a launch that a GPU would refuse, and for what `fail` was told.
void run_grid(dim3 grid, dim3 block, const std::function<void()>& kernel);

// Ends the launch with an error; for the thread that runs.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// All threads of the block that have not ended meet.
void synchronize_block();
// All lanes of `mask` meet. Returns what they brought, lane i at 16 i.
const unsigned char* meet(unsigned mask, const char* what, const void* value, std::size_t size);

// Memory of the block, for code made of PTX; it holds NaN when a block begins.
constexpr std::size_t kSharedMemory = 48 * 1024;
extern thread_local unsigned char shared_memory[kSharedMemory];

// What a launch issues: of every basic block, over all warps, the most that one of its lanes ran it
// (which a warp issues if it reconverges at once), and what all lanes ran.
struct Profile {
  int blocks = 0;
  uint64_t warps = 0;
  double* warp_issues = nullptr;
  double* lane_runs = nullptr;
};
extern thread_local Profile* profile;

struct Counters {
  int64_t launches, blocks, threads, meetings;
};
Counters& counters();

}  // namespace emulator
