// The inverse DCT of Loeffler, Ligtenberg and Moschytz (ICASSP 1989) in 13-bit fixed point, as libjpeg's "islow".
// Factors that multiply the same input are added up beforehand, which changes no sum.
#pragma once

#include <cstdint>

namespace veclip::idct {

inline constexpr int kFactorBits = 13;
inline constexpr int kBetweenBits = 2;  // more precision between the passes
inline constexpr int kFirstShift = kFactorBits - kBetweenBits;
inline constexpr int kSecondShift = kFactorBits + kBetweenBits + 3;

constexpr std::int32_t fixed(double factor) noexcept { return static_cast<std::int32_t>(factor * 8192 + 0.5); }

inline constexpr std::int32_t kOne = 1 << kFactorBits;
// Outputs 2 and 3 of the even part, from inputs 2 and 6.
inline constexpr std::int32_t kEven22 = fixed(0.541196100);
inline constexpr std::int32_t kEven26 = kEven22 - fixed(1.847759065);
inline constexpr std::int32_t kEven32 = kEven22 + fixed(0.765366865);
inline constexpr std::int32_t kEven36 = kEven22;
// The odd part: z3 = in3 + in7 and z4 = in1 + in5 among themselves, then the inputs on their own.
inline constexpr std::int32_t kOdd34 = fixed(1.175875602);
inline constexpr std::int32_t kOdd33 = kOdd34 - fixed(1.961570560);
inline constexpr std::int32_t kOdd44 = kOdd34 - fixed(0.390180644);
inline constexpr std::int32_t kOdd17 = -fixed(0.899976223);
inline constexpr std::int32_t kOdd35 = -fixed(2.562915447);
inline constexpr std::int32_t kOdd11 = fixed(1.501321110) + kOdd17;
inline constexpr std::int32_t kOdd33b = fixed(3.072711026) + kOdd35;
inline constexpr std::int32_t kOdd55 = fixed(2.053119869) + kOdd35;
inline constexpr std::int32_t kOdd77 = fixed(0.298631336) + kOdd17;

// While the magnitudes of the dequantised coefficients in two columns (0 and 4, 1 and 5, 2 and 6, 3 and 7) sum to no
// more than this, no input or sum of two inputs of either pass leaves 16 bits (a pass multiplies by at most
// 4 * sqrt(2)), and no 32-bit sum overflows: libjpeg-turbo's SIMD and C code then agree. Encoders stay below it.
inline constexpr int kLargestSum = 5790;
// libjpeg's C code clips by a table that repeats beyond this.
inline constexpr int kLargestSample = 511;

}  // namespace veclip::idct
