// The layout of the random counter (row, sample, shell * 2^16 + block, step): what a shell has to
// itself, and the limits that follow.
#pragma once

#include <cstdint>

namespace hvae {

// Blocks of four words that a shell has in the third word of the counter: its proposals from block
// 0 on, the normal numbers of its tangent from kTangentBlock on.
constexpr uint32_t kBlocksPerShell = 1u << 16;
constexpr uint32_t kTangentBlock = 1u << 15;

// Indices that the third word has for the shells of a row.
constexpr int64_t kShellIndices = int64_t(1) << 16;

// The largest ambient dimension: a block holds two normal numbers at least, so the tangent can be
// drawn twice, should its projection vanish.
constexpr int64_t kMostDimensions = int64_t(1) << 15;
// Shells of one call are fewer than this: with kMostDimensions each, a row still has less than 2^31
// coordinates.
constexpr int64_t kMostShells = int64_t(1) << 15;

}  // namespace hvae
