// Decodes mutated JPEG files with our own decoder and with libjpeg-turbo; built with sanitizers by sanitize.sh.
// What ours accepts, the library must accept with the same pixels, whole and cropped; what other decoders may be given
// has the size that the header's check finds. Says how many files went which way.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "image/decode.hpp"
#include "image/jpeg_choice.hpp"
#include "image/probe.hpp"
#include "image/resample_kernels.hpp"
#include "image/transform_jpeg.hpp"
#include "mutate.hpp"

namespace {

using fuzz::File;
using veclip::Status;

// Small enough that a mutated header cannot make one round take long.
constexpr veclip::Limits kLimits{200'000, 16'384, 1 << 20};

struct Counts {
  long own = 0;      // decoded by ours, the same by the library
  long library = 0;  // left to the library, which decoded them
  long refused = 0;  // by both
  long plain = 0;    // of all: what other decoders may be given
};

struct Pixels {
  veclip::RgbImage own;
  veclip::RgbImage library;
  veclip::StreamScratch scratch;
};

[[noreturn]] void fail(const File& file, const char* what) {
  std::fprintf(stderr, "%s; the file is in fuzz_jpeg.failed\n", what);
  std::ofstream("fuzz_jpeg.failed", std::ios::binary)
      .write(reinterpret_cast<const char*>(file.data()), static_cast<std::streamsize>(file.size()));
  std::abort();
}

Status decode(const char* decoder, veclip::Bytes data, veclip::JpegScratch& scratch, veclip::RgbImage& out) {
  veclip::choose_jpeg(decoder);
  return veclip::decode_rgb(data, kLimits, scratch, out);
}

bool same(const veclip::RgbImage& a, const veclip::RgbImage& b) {
  return a.width() == b.width() && a.height() == b.height() &&
         std::memcmp(a.data(), b.data(), a.stride() * static_cast<std::size_t>(a.height())) == 0;
}

// Rows straight from the decoder, of any box, to the same crop as from the whole image. The fast mode has no reference
// but must stay within its memory.
void compare_crops(const File& file, veclip::Bytes data, Pixels& pixels, std::mt19937_64& random) {
  constexpr int kSize = 24;
  veclip::choose_jpeg("own");
  const auto frame = veclip::own_frame(data, kLimits);
  if (!frame) fail(file, "decoded but has no frame");
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const int width = 1 + below(frame->width);
  const int height = 1 + below(frame->height);
  const veclip::Box box{below(frame->width - width + 1), below(frame->height - height + 1), width, height};
  const auto order = random() % 2 == 0 ? veclip::PassOrder::kPillow11 : veclip::PassOrder::kPillow13;
  const veclip::TransformSpec spec{kSize, veclip::PixelType::kUint8, order, nullptr};
  std::uint8_t streamed[veclip::kChannels * kSize * kSize];
  std::uint8_t whole[sizeof streamed];
  if (!veclip::stream_crop(*frame, box, spec, pixels.scratch, streamed)) fail(file, "decoded but not streamed");
  veclip::crop_and_resize(pixels.library.view(), box, spec, pixels.scratch.resize, whole);
  if (std::memcmp(streamed, whole, sizeof whole) != 0) fail(file, "different crops");
  veclip::stream_crop_fast(*frame, box, spec, pixels.scratch, streamed);
}

bool checked_plain(const File& file, veclip::Bytes data) {
  const auto plain = veclip::plain_jpeg(data, kLimits);
  veclip::ImageInfo info;
  if (!plain) return false;
  if (veclip::probe(data, kLimits, info) != Status::kOk) fail(file, "plain, but its header is refused");
  if (plain->width != info.width || plain->height != info.height) fail(file, "plain, of another size");
  return true;
}

void compare(const File& file, Pixels& pixels, std::mt19937_64& random, Counts& counts) {
  // A copy of exactly this size, so that the sanitizer sees one byte read too far.
  const std::unique_ptr<std::uint8_t[]> exact(new std::uint8_t[file.size()]);
  std::copy(file.begin(), file.end(), exact.get());
  const veclip::Bytes data(exact.get(), file.size());
  const Status own = decode("own", data, pixels.scratch.jpeg, pixels.own);
  const Status library = decode("library", data, pixels.scratch.jpeg, pixels.library);
  if (own == Status::kOk && library != Status::kOk) fail(file, "accepted by ours alone");
  if (own == Status::kOk && !same(pixels.own, pixels.library)) fail(file, "different pixels");
  if (own == Status::kOk) compare_crops(file, data, pixels, random);
  counts.plain += checked_plain(file, data);
  ++(own == Status::kOk ? counts.own : library == Status::kOk ? counts.library : counts.refused);
}

// Values in the tables and headers: these leave a file regular far more often than other damage does.
void edit_gently(File& file, std::mt19937_64& random) {
  const std::size_t at = random() % std::min<std::size_t>(700, file.size());
  if (file[at] == 0xff || (at > 0 && file[at - 1] == 0xff)) return;
  file[at] = random() % 2 == 0 ? static_cast<std::uint8_t>(random() % 255)
                               : static_cast<std::uint8_t>(file[at] + random() % 3 - 1);
}

File mutate(File file, std::mt19937_64& random) {
  const bool gentle = random() % 2 == 0;
  for (std::size_t edits = 1 + random() % 4; edits > 0 && !file.empty(); --edits) {
    gentle ? edit_gently(file, random) : fuzz::edit(file, random);
  }
  return file;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: fuzz_jpeg ROUNDS SEED FILE...\n");
    return 2;
  }
  std::vector<File> seeds;
  for (int i = 3; i < argc; ++i) seeds.push_back(fuzz::read_file(argv[i]));
  std::mt19937_64 random(std::strtoull(argv[2], nullptr, 10));
  const auto kernels = veclip::usable_kernels();
  Pixels pixels;
  Counts counts;
  for (const File& seed : seeds) compare(seed, pixels, random, counts);
  for (long round = std::atol(argv[1]); round > 0; --round) {
    veclip::choose_kernels(kernels[random() % kernels.size()]);
    compare(mutate(seeds[random() % seeds.size()], random), pixels, random, counts);
  }
  std::printf("%ld decoded by ours, equal; %ld left to the library; %ld refused by both; %ld plain\n", counts.own,
              counts.library, counts.refused, counts.plain);
  return 0;
}
