// Random damage to files, for the fuzz programs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

namespace fuzz {

using File = std::vector<std::uint8_t>;

inline File read_file(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return File(std::istreambuf_iterator<char>(in), {});
}

// Headers decide most, so half of all edits go to the first 400 bytes.
inline std::size_t pick(const File& file, std::mt19937_64& random) {
  const std::size_t range = random() % 2 == 0 ? std::min<std::size_t>(400, file.size()) : file.size();
  return random() % range;
}

inline void edit(File& file, std::mt19937_64& random) {
  const std::size_t at = pick(file, random);
  const auto begin = file.begin() + static_cast<std::ptrdiff_t>(at);
  const std::size_t count = std::min<std::size_t>(1 + random() % 16, file.size() - at);
  switch (random() % 5) {
    case 0:
      file[at] = static_cast<std::uint8_t>(random());
      break;
    case 1:
      file[at] ^= static_cast<std::uint8_t>(1 << random() % 8);
      break;
    case 2:
      file.erase(begin, begin + static_cast<std::ptrdiff_t>(count));
      break;
    case 3:
      file.insert(begin, count, static_cast<std::uint8_t>(random()));
      break;
    default:
      if (random() % 4 == 0) file.resize(at);
  }
}

}  // namespace fuzz
