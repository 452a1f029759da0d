// A rectangle of pixels.
#pragma once

#include <cstdint>

namespace veclip {

// Laid out as a row of the int32 [N, 4] arrays that Python passes.
struct Box {
  std::int32_t left = 0;
  std::int32_t top = 0;
  std::int32_t width = 0;
  std::int32_t height = 0;
};

static_assert(sizeof(Box) == 4 * sizeof(std::int32_t));

}  // namespace veclip
