// A thread of execution with a stack of its own that gives way by itself: what a CUDA thread is here.
#pragma once

#include <cstddef>

namespace emulator {

class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  // Sets the fiber to the beginning of body(argument), which must end in leave().
  void prepare(void (*body)(void*), void* argument);
  // Runs the fiber until it gives way or leaves.
  void resume();
  // Goes back to who resumed the fiber; for the fiber itself.
  void give_way();
  [[noreturn]] void leave();

 private:
  static void entry();

  void* stack_ = nullptr;
  void* own_ = nullptr;  // stack pointers
  void* caller_ = nullptr;
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  // What AddressSanitizer wants to know of a switch of stacks.
  void* fake_stack_ = nullptr;
  void* caller_fake_stack_ = nullptr;
  const void* caller_bottom_ = nullptr;
  std::size_t caller_size_ = 0;
};

}  // namespace emulator
