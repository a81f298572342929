#include "grid.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "fiber.h"

namespace emulator {

thread_local Thread* current = nullptr;
thread_local dim3 block_dim, grid_dim;
thread_local Profile* profile = nullptr;
alignas(16) thread_local unsigned char shared_memory[kSharedMemory];

namespace {

constexpr unsigned kWarp = 32;
constexpr std::size_t kLargestValue = 16;

Order order = Order::kForward;
std::mt19937_64 random_numbers(0);
Counters counted{};

// Lanes of a warp that wait for each other.
struct Meeting {
  unsigned mask = 0, arrived = 0;
  const char* what = nullptr;
  std::size_t size = 0;
  uint64_t generation = 0;
  unsigned char brought[kWarp * kLargestValue], result[kWarp * kLargestValue];
};

struct Worker {
  Fiber fiber;
  Thread thread;
  bool done = true;
  std::vector<uint32_t> counts;
  const char* waits_at = nullptr;
  unsigned waits_mask = 0;
};

struct Block {
  std::vector<std::unique_ptr<Worker>> workers;
  std::vector<Meeting> meetings;  // by warp and the lowest lane of the mask
  const std::function<void()>* kernel = nullptr;
  Worker* running = nullptr;
  uint64_t progress = 0, barrier_generation = 0;
  std::size_t at_barrier = 0, alive = 0;
  bool failed = false;
  std::string error;
};
thread_local std::unique_ptr<Block> current_block;

struct Stop {};  // unwinds a thread of a launch that failed

void report(Block& b, const std::string& error) {
  if (b.error.empty()) b.error = error;
  b.failed = true;
}

void give_way() {
  current_block->running->fiber.give_way();
  if (current_block->failed) throw Stop{};
}

void thread_body(void* argument) {
  Worker& w = *static_cast<Worker*>(argument);
  Block& b = *current_block;
  try {
    (*b.kernel)();
  } catch (const Stop&) {
  } catch (const std::exception& e) {
    report(b, e.what());
  }
  w.done = true;
  --b.alive;
  ++b.progress;
  w.fiber.leave();
}

void begin_threads(Block& b, unsigned threads, dim3 at) {
  while (b.workers.size() < threads) b.workers.push_back(std::make_unique<Worker>());
  b.meetings.assign((threads + kWarp - 1) / kWarp * kWarp, Meeting{});
  b.failed = false;
  b.error.clear();
  b.at_barrier = 0;
  b.alive = threads;
  std::memset(shared_memory, 0xff, sizeof shared_memory);
  for (unsigned i = 0; i < threads; ++i) {
    Worker& w = *b.workers[i];
    w.thread.thread =
        dim3(i % block_dim.x, i / block_dim.x % block_dim.y, i / block_dim.x / block_dim.y);
    w.thread.block = at;
    w.thread.lane = i % kWarp;
    w.thread.warp = i / kWarp;
    if (profile) {
      w.counts.assign(std::size_t(profile->blocks), 0);
      w.thread.counts = w.counts.data();
    }
    w.done = false;
    w.waits_at = nullptr;
    w.fiber.prepare(thread_body, &w);
  }
}

void resume(Block& b, Worker& w) {
  b.running = &w;
  current = &w.thread;
  w.fiber.resume();
  b.running = nullptr;
  current = nullptr;
}

// Nobody can go on: some lanes wait for others that went elsewhere or have ended.
void report_deadlock(Block& b, const std::vector<unsigned>& live, unsigned threads, dim3 at) {
  const Worker& w = *b.workers[live[0]];
  unsigned ended = 0;
  const unsigned first = w.thread.warp * kWarp;
  for (unsigned i = first; i < std::min(threads, first + kWarp); ++i)
    if (b.workers[i]->done) ended |= 1u << (i % kWarp);
  char text[300];
  std::snprintf(text, sizeof text,
                "deadlock in block %u: %zu threads wait; thread %u at %s with mask %08x, lanes of "
                "its warp that have ended %08x",
                at.x, live.size(), live[0], w.waits_at ? w.waits_at : "?", w.waits_mask, ended);
  report(b, text);
}

void count_instructions(Block& b, unsigned threads) {
  for (unsigned first = 0; first < threads; first += kWarp) {
    ++profile->warps;
    for (int k = 0; k < profile->blocks; ++k) {
      uint32_t most = 0;
      for (unsigned i = first; i < std::min(threads, first + kWarp); ++i) {
        most = std::max(most, b.workers[i]->counts[std::size_t(k)]);
        profile->lane_runs[k] += b.workers[i]->counts[std::size_t(k)];
      }
      profile->warp_issues[k] += most;
    }
  }
}

void run_block(const std::function<void()>& kernel, dim3 at) {
  Block& b = *current_block;
  b.kernel = &kernel;
  const unsigned threads = block_dim.x * block_dim.y * block_dim.z;
  begin_threads(b, threads, at);
  std::vector<unsigned> live(threads);
  for (unsigned i = 0; i < threads; ++i) live[i] = order == Order::kReverse ? threads - 1 - i : i;
  while (!live.empty()) {
    if (order == Order::kRandom) std::shuffle(live.begin(), live.end(), random_numbers);
    const uint64_t before = b.progress;
    for (unsigned i : live) resume(b, *b.workers[i]);
    std::erase_if(live, [&](unsigned i) { return b.workers[i]->done; });
    if (b.progress == before && !live.empty()) {
      report_deadlock(b, live, threads, at);  // and the next round unwinds every thread
      ++b.progress;
    }
  }
  if (profile) count_instructions(b, threads);
  if (b.failed) throw std::runtime_error("emulated GPU: " + b.error);
}

void check_limits(dim3 grid, dim3 block) {
  const uint64_t threads = uint64_t(block.x) * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads == 0)
    throw std::runtime_error("emulated GPU: invalid configuration: an empty launch");
  if (threads > 1024 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    throw std::runtime_error("emulated GPU: invalid configuration: over the limits of a launch");
}

}  // namespace

void fail(const char* format, ...) {
  char text[300];
  va_list list;
  va_start(list, format);
  std::vsnprintf(text, sizeof text, format, list);
  va_end(list);
  throw std::runtime_error(text);
}

Counters& counters() { return counted; }

void set_order(Order wanted, uint64_t seed) {
  order = wanted;
  random_numbers.seed(seed);
}

void run_grid(dim3 grid, dim3 block, const std::function<void()>& kernel) {
  check_limits(grid, block);
  if (!current_block) current_block = std::make_unique<Block>();
  block_dim = block, grid_dim = grid;
  const uint64_t blocks = uint64_t(grid.x) * grid.y * grid.z;
  ++counted.launches;
  counted.blocks += int64_t(blocks);
  counted.threads += int64_t(blocks * block.x * block.y * block.z);
  std::vector<uint64_t> numbers(blocks);
  for (uint64_t i = 0; i < blocks; ++i) numbers[i] = order == Order::kReverse ? blocks - 1 - i : i;
  if (order == Order::kRandom) std::shuffle(numbers.begin(), numbers.end(), random_numbers);
  for (uint64_t n : numbers)
    run_block(kernel, dim3(unsigned(n % grid.x), unsigned(n / grid.x % grid.y),
                           unsigned(n / grid.x / grid.y)));
}

const unsigned char* meet(unsigned mask, const char* what, const void* value, std::size_t size) {
  Block& b = *current_block;
  Worker& w = *b.running;
  const unsigned lane = w.thread.lane;
  if (!(mask >> lane & 1)) fail("%s: lane %u is not in its own mask %08x", what, lane, mask);
  Meeting& m = b.meetings[w.thread.warp * kWarp + unsigned(__builtin_ctz(mask))];
  if (m.arrived == 0) {
    m.mask = mask, m.what = what, m.size = size;
  } else if (m.mask != mask || std::strcmp(m.what, what) != 0 || m.size != size) {
    fail("lanes of one warp meet differently: %s of %zu bytes with mask %08x, %s of %zu with %08x",
         m.what, m.size, m.mask, what, size, mask);
  }
  std::memcpy(m.brought + kLargestValue * lane, value, size);
  m.arrived |= 1u << lane;
  if (m.arrived == m.mask) {
    std::memcpy(m.result, m.brought, sizeof m.result);
    m.arrived = 0;
    ++m.generation;
    ++b.progress;
    ++counted.meetings;
  } else {
    const uint64_t now = m.generation;
    w.waits_at = what, w.waits_mask = mask;
    while (m.generation == now) give_way();
    w.waits_at = nullptr;
  }
  return m.result;
}

void synchronize_block() {
  Block& b = *current_block;
  const uint64_t now = b.barrier_generation;
  if (++b.at_barrier == b.alive) {
    b.at_barrier = 0;
    ++b.barrier_generation;
    ++b.progress;
    return;
  }
  Worker& w = *b.running;
  w.waits_at = "__syncthreads";
  while (b.barrier_generation == now) give_way();
  w.waits_at = nullptr;
}

}  // namespace emulator
