#include "image/png_rows.hpp"

#include <cstdlib>
#include <cstring>

namespace veclip {

namespace {

void put_grey(std::uint8_t value, std::uint8_t* out) noexcept { out[0] = out[1] = out[2] = value; }

// Samples of less than a byte, most significant first.
template <int kBits>
int packed_sample(const std::uint8_t* in, std::int64_t i) noexcept {
  constexpr std::int64_t kPerByte = 8 / kBits;
  const int shift = 8 - kBits - static_cast<int>(i % kPerByte) * kBits;
  return in[i / kPerByte] >> shift & ((1 << kBits) - 1);
}

template <int kBits>
void unpack_packed_grey(const std::uint8_t* in, std::int64_t count, std::uint8_t* out, std::size_t stride) noexcept {
  constexpr int kScale = 255 / ((1 << kBits) - 1);
  for (std::int64_t i = 0; i < count; ++i, out += stride) {
    put_grey(static_cast<std::uint8_t>(packed_sample<kBits>(in, i) * kScale), out);
  }
}

template <int kBits>
void unpack_index(const PngPalette& palette, const std::uint8_t* in, std::int64_t count, std::uint8_t* out,
                  std::size_t stride) noexcept {
  for (std::int64_t i = 0; i < count; ++i, out += stride) {
    std::memcpy(out, &palette[static_cast<std::size_t>(packed_sample<kBits>(in, i)) * 3], 3);
  }
}

// The first byte of a sample of either depth; alpha and low bytes are passed over.
template <int kBytesPerPixel>
void unpack_grey(const std::uint8_t* in, std::int64_t count, std::uint8_t* out, std::size_t stride) noexcept {
  for (std::int64_t i = 0; i < count; ++i, in += kBytesPerPixel, out += stride) put_grey(in[0], out);
}

// Pillow's mode I;16 keeps both bytes, and its conversion to 8 bits clips instead of scaling.
void unpack_clipped_grey(const std::uint8_t* in, std::int64_t count, std::uint8_t* out, std::size_t stride) noexcept {
  for (std::int64_t i = 0; i < count; ++i, in += 2, out += stride) put_grey(in[0] == 0 ? in[1] : 255, out);
}

template <int kBytesPerSample, int kBytesPerPixel>
void unpack_rgb(const std::uint8_t* in, std::int64_t count, std::uint8_t* out, std::size_t stride) noexcept {
  for (std::int64_t i = 0; i < count; ++i, in += kBytesPerPixel, out += stride) {
    out[0] = in[0];
    out[1] = in[kBytesPerSample];
    out[2] = in[2 * kBytesPerSample];
  }
}

std::uint8_t add(std::uint8_t a, int b) noexcept { return static_cast<std::uint8_t>(a + b); }

int paeth(int left, int up, int corner) noexcept {
  const int by_left = std::abs(up - corner);
  const int by_up = std::abs(left - corner);
  const int by_corner = std::abs(left + up - 2 * corner);
  if (by_left <= by_up && by_left <= by_corner) return left;
  return by_up <= by_corner ? up : corner;
}

void undo_left(std::uint8_t* row, std::size_t size, std::size_t step) noexcept {
  for (std::size_t i = step; i < size; ++i) row[i] = add(row[i], row[i - step]);
}

void undo_up(std::uint8_t* row, const std::uint8_t* above, std::size_t size) noexcept {
  for (std::size_t i = 0; i < size; ++i) row[i] = add(row[i], above[i]);
}

void undo_average(std::uint8_t* row, const std::uint8_t* above, std::size_t size, std::size_t step) noexcept {
  for (std::size_t i = 0; i < step; ++i) row[i] = add(row[i], above[i] / 2);
  for (std::size_t i = step; i < size; ++i) row[i] = add(row[i], (row[i - step] + above[i]) / 2);
}

void undo_paeth(std::uint8_t* row, const std::uint8_t* above, std::size_t size, std::size_t step) noexcept {
  for (std::size_t i = 0; i < step; ++i) row[i] = add(row[i], above[i]);
  for (std::size_t i = step; i < size; ++i) row[i] = add(row[i], paeth(row[i - step], above[i], above[i - step]));
}

}  // namespace

Status make_palette(Bytes triples, PngPalette& out) noexcept {
  const std::size_t entries = triples.size() / 3;
  if (entries > 256) return Status::kCorrupt;
  out.fill(0);
  if (entries > 0) std::memcpy(out.data(), triples.data(), entries * 3);
  return Status::kOk;
}

int bits_per_pixel(PngPixels pixels) noexcept {
  using enum PngPixels;
  switch (pixels) {
    case kNone:
      return 0;
    case kGrey1:
    case kIndex1:
      return 1;
    case kGrey2:
    case kIndex2:
      return 2;
    case kGrey4:
    case kIndex4:
      return 4;
    case kGrey8:
    case kIndex8:
      return 8;
    case kGrey16:
    case kGreyAlpha8:
      return 16;
    case kRgb8:
      return 24;
    case kGreyAlpha16:
    case kRgba8:
      return 32;
    case kRgb16:
      return 48;
    case kRgba16:
      return 64;
  }
  return 0;
}

Status undo_filter(std::uint8_t* row, const std::uint8_t* above, std::size_t size, std::size_t step) noexcept {
  const int filter = row[0];
  ++row;
  ++above;
  switch (filter) {
    case 0:
      return Status::kOk;
    case 1:
      undo_left(row, size, step);
      return Status::kOk;
    case 2:
      undo_up(row, above, size);
      return Status::kOk;
    case 3:
      undo_average(row, above, size, step);
      return Status::kOk;
    case 4:
      undo_paeth(row, above, size, step);
      return Status::kOk;
    default:
      return Status::kCorrupt;
  }
}

void unpack_row(PngPixels pixels, const PngPalette& palette, const std::uint8_t* in, std::int64_t count,
                std::uint8_t* out, std::size_t stride) noexcept {
  using enum PngPixels;
  switch (pixels) {
    case kNone:
      return;
    case kGrey1:
      return unpack_packed_grey<1>(in, count, out, stride);
    case kGrey2:
      return unpack_packed_grey<2>(in, count, out, stride);
    case kGrey4:
      return unpack_packed_grey<4>(in, count, out, stride);
    case kGrey8:
      return unpack_grey<1>(in, count, out, stride);
    case kGrey16:
      return unpack_clipped_grey(in, count, out, stride);
    case kRgb8:
      return unpack_rgb<1, 3>(in, count, out, stride);
    case kRgb16:
      return unpack_rgb<2, 6>(in, count, out, stride);
    case kIndex1:
      return unpack_index<1>(palette, in, count, out, stride);
    case kIndex2:
      return unpack_index<2>(palette, in, count, out, stride);
    case kIndex4:
      return unpack_index<4>(palette, in, count, out, stride);
    case kIndex8:
      return unpack_index<8>(palette, in, count, out, stride);
    case kGreyAlpha8:
      return unpack_grey<2>(in, count, out, stride);
    case kGreyAlpha16:
      return unpack_grey<4>(in, count, out, stride);
    case kRgba8:
      return unpack_rgb<1, 4>(in, count, out, stride);
    case kRgba16:
      return unpack_rgb<2, 8>(in, count, out, stride);
  }
}

}  // namespace veclip
