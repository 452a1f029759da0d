#include "image/jpeg_choice.hpp"

#include <atomic>
#include <utility>

namespace veclip {

namespace {

std::atomic<JpegChoice>& chosen() noexcept {
  static std::atomic<JpegChoice> choice{JpegChoice::kAuto};
  return choice;
}

}  // namespace

JpegChoice jpeg_choice() noexcept { return chosen().load(std::memory_order_relaxed); }

bool choose_jpeg(std::string_view name) noexcept {
  using Named = std::pair<std::string_view, JpegChoice>;
  for (const auto& [known, choice] :
       {Named{"auto", JpegChoice::kAuto}, Named{"own", JpegChoice::kOwn}, Named{"library", JpegChoice::kLibrary}}) {
    if (known != name) continue;
    chosen().store(choice, std::memory_order_relaxed);
    return true;
  }
  return false;
}

}  // namespace veclip
