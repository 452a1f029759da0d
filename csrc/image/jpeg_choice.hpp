// Which decoder JPEG files go to.
#pragma once

#include <string_view>

namespace veclip {

enum class JpegChoice {
  kAuto,     // ours where it gives libjpeg-turbo's pixels, libjpeg-turbo for the rest
  kOwn,      // ours alone; what it does not take is kUnsupportedVariant (for tests)
  kLibrary,  // libjpeg-turbo alone
};

JpegChoice jpeg_choice() noexcept;

// "auto", "own" or "library", for the whole process. False if there is no such name.
bool choose_jpeg(std::string_view name) noexcept;

}  // namespace veclip
