// Decodes and prepares mutated image files; built with sanitizers by sanitize.sh. Says nothing unless something breaks.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "image/decode.hpp"
#include "image/prepare.hpp"
#include "image/probe.hpp"

namespace {

using File = std::vector<std::uint8_t>;

// Small enough that a mutated header cannot make one round take seconds.
constexpr veclip::Limits kLimits{4'000'000, 16'384, 1 << 20};

File read_file(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return File(std::istreambuf_iterator<char>(in), {});
}

// Headers decide most, so half of all edits go to the first 400 bytes.
std::size_t pick(const File& file, std::mt19937_64& random) {
  const std::size_t range = random() % 2 == 0 ? std::min<std::size_t>(400, file.size()) : file.size();
  return random() % range;
}

void edit(File& file, std::mt19937_64& random) {
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

void try_all(const File& file, veclip::PrepareScratch& scratch) {
  // A copy of exactly this size, so that the sanitizer sees one byte read too far.
  const std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[file.size()]);
  std::copy(file.begin(), file.end(), exact.get());
  const veclip::Bytes data(exact.get(), file.size());
  veclip::ImageInfo info;
  const veclip::Status probed = veclip::probe(data, kLimits, info);
  const veclip::Status decoded = veclip::decode_rgb(data, kLimits, scratch.jpeg, scratch.decoded);
  if (decoded == veclip::Status::kOk && probed != veclip::Status::kOk)
    std::abort();  // a header check may not be stricter
  veclip::PreparedImage prepared;
  veclip::prepare_image(data, {true, 0, {}, true, kLimits}, scratch, prepared);
  veclip::prepare_image(data, {true, 16, {75, veclip::Subsampling::k444}, false, kLimits}, scratch, prepared);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: fuzz_decode ROUNDS SEED FILE...\n");
    return 2;
  }
  std::vector<File> seeds;
  for (int i = 3; i < argc; ++i) seeds.push_back(read_file(argv[i]));
  std::mt19937_64 random(std::strtoull(argv[2], nullptr, 10));
  veclip::PrepareScratch scratch;
  for (const File& seed : seeds) try_all(seed, scratch);
  for (long round = std::atol(argv[1]); round > 0; --round) {
    File file = seeds[random() % seeds.size()];
    for (std::size_t edits = 1 + random() % 6; edits > 0 && !file.empty(); --edits) edit(file, random);
    try_all(file, scratch);
  }
  return 0;
}
