#include "fiber.h"

#include <sys/mman.h>

#include <cstdlib>
#include <stdexcept>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#else
static void __sanitizer_start_switch_fiber(void**, const void*, std::size_t) {}
static void __sanitizer_finish_switch_fiber(void*, const void**, std::size_t*) {}
#endif

// Saves the registers that a call must keep (System V ABI) and the stack pointer, and takes others.
#if !defined(__x86_64__)
#error "emulator_switch is written for x86-64"
#endif
extern "C" void emulator_switch(void** save, void* load);
asm(R"(
.text
.globl emulator_switch
.hidden emulator_switch
.type emulator_switch,@function
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

namespace emulator {
namespace {

constexpr std::size_t kStack = 512 * 1024;
constexpr int kSavedRegisters = 6;

thread_local Fiber* starting = nullptr;

}  // namespace

Fiber::~Fiber() {
  if (stack_) munmap(stack_, kStack);
}

void Fiber::prepare(void (*body)(void*), void* argument) {
  if (!stack_) {
    void* p = mmap(nullptr, kStack, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::runtime_error("no memory for the stack of a thread");
    stack_ = p;
  }
  void** top = reinterpret_cast<void**>(static_cast<char*>(stack_) + kStack);
  *--top = nullptr;  // a function begins with a stack pointer of 8 modulo 16
  *--top = reinterpret_cast<void*>(&Fiber::entry);
  for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  own_ = top;
  fake_stack_ = nullptr;
  body_ = body;
  argument_ = argument;
}

void Fiber::entry() {
  Fiber& self = *starting;
  __sanitizer_finish_switch_fiber(nullptr, &self.caller_bottom_, &self.caller_size_);
  self.body_(self.argument_);
  std::abort();
}

void Fiber::resume() {
  starting = this;
  __sanitizer_start_switch_fiber(&caller_fake_stack_, stack_, kStack);
  emulator_switch(&caller_, own_);
  __sanitizer_finish_switch_fiber(caller_fake_stack_, nullptr, nullptr);
}

void Fiber::give_way() {
  __sanitizer_start_switch_fiber(&fake_stack_, caller_bottom_, caller_size_);
  emulator_switch(&own_, caller_);
  __sanitizer_finish_switch_fiber(fake_stack_, &caller_bottom_, &caller_size_);
}

void Fiber::leave() {
  __sanitizer_start_switch_fiber(nullptr, caller_bottom_, caller_size_);
  emulator_switch(&own_, caller_);
  std::abort();
}

}  // namespace emulator
