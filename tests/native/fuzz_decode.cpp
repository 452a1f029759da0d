// Decodes and prepares mutated image files; built with sanitizers by sanitize.sh. Says nothing unless something breaks.
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "image/decode.hpp"
#include "image/prepare.hpp"
#include "image/probe.hpp"
#include "mutate.hpp"

namespace {

using fuzz::File;

// Small enough that a mutated header cannot make one round take seconds.
constexpr veclip::Limits kLimits{4'000'000, 16'384, 1 << 20};

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
  for (int i = 3; i < argc; ++i) seeds.push_back(fuzz::read_file(argv[i]));
  std::mt19937_64 random(std::strtoull(argv[2], nullptr, 10));
  veclip::PrepareScratch scratch;
  for (const File& seed : seeds) try_all(seed, scratch);
  for (long round = std::atol(argv[1]); round > 0; --round) {
    File file = seeds[random() % seeds.size()];
    for (std::size_t edits = 1 + random() % 6; edits > 0 && !file.empty(); --edits) fuzz::edit(file, random);
    try_all(file, scratch);
  }
  return 0;
}
