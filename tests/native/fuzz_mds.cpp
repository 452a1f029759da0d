// Reads mutated shards under ASan and UBSan (fuzz_mds.sh): every value that is handed out is touched byte by byte.
// usage: fuzz_mds ITERATIONS SEED
#include <cstdio>
#include <cstdlib>
#include <random>

#include "mds/gather.hpp"
#include "mds/hash.hpp"
#include "mds/little_endian.hpp"
#include "mds/pack.hpp"

namespace {

using namespace veclip;
using Random = std::mt19937_64;
using Image = std::vector<std::uint8_t>;

const mds::Columns kColumns{{"fixed", "text", "tail"}, {4, mds::kVariableSize, mds::kVariableSize}};

std::size_t below(Random& random, std::size_t n) { return random() % n; }

Image sound_shard(Random& random) {
  mds::ShardPacker packer(kColumns, "{\"some\": \"config\"}", 0);
  std::vector<Image> values;
  std::vector<ByteSpans> columns(3);
  const std::size_t samples = below(random, 12);
  values.reserve(3 * samples);
  for (std::size_t i = 0; i < samples; ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      values.emplace_back(c == 0 ? 4 : below(random, 40), static_cast<std::uint8_t>(i));
      columns[c].items.emplace_back(values.back());
    }
  }
  std::size_t appended = 0;
  if (!packer.append(columns, 0, appended).ok() || appended != samples) std::exit(2);
  Bytes header, body;
  packer.parts(header, body);
  Image image(header.begin(), header.end());
  image.insert(image.end(), body.begin(), body.end());
  return image;
}

void damage(Image& image, Random& random) {
  constexpr std::uint32_t edges[] = {0, 1, 4, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
  for (std::size_t n = below(random, 4); n > 0 && !image.empty(); --n) {
    const std::size_t at = below(random, image.size());
    switch (below(random, 5)) {
      case 0:
        image[at] ^= static_cast<std::uint8_t>(1u << below(random, 8));
        break;
      case 1:
        image.resize(at);
        break;
      case 2:
        image.insert(image.end(), below(random, 9), 0);
        break;
      default:  // a word: a border case, or a neighbour of what stood there
        if (const std::size_t word = at / 4 * 4; word + 4 <= image.size()) {
          const std::uint32_t old = mds::load_u32(image.data() + word);
          const bool edge = below(random, 2) == 0;
          mds::store_u32(image.data() + word,
                         edge ? edges[below(random, 7)] : old + static_cast<std::uint32_t>(below(random, 9)) - 4);
        }
    }
  }
}

// The number of samples read, or -1 if the shard was refused; ends the process on any other outcome.
long read_all(const Image& image, std::uint64_t& touched) {
  const auto refused = [](const Outcome& outcome) {
    if (outcome.status != Status::kBadShard) std::exit(3);
    return -1L;
  };
  std::shared_ptr<const mds::Shard> shard;
  if (Outcome opened = mds::Shard::from_bytes(image, "fuzz", kColumns, shard); !opened.ok()) return refused(opened);
  touched += mds::xxh3_64(shard->config());
  if (Outcome checked = shard->check(); !checked.ok()) return refused(checked);
  std::vector<std::int32_t> index(shard->samples());
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = static_cast<std::int32_t>(i);
  mds::SampleBatch batch;
  if (!mds::gather({shard}, std::vector<std::int32_t>(index.size(), 0), index, batch).ok()) std::exit(4);
  shard.reset();  // the batch alone must keep the memory
  std::vector<std::uint64_t> hashes(batch.samples);
  if (!mds::sample_hashes(batch.columns, hashes).ok()) std::exit(5);
  for (const std::uint64_t hash : hashes) touched += hash;
  return static_cast<long>(batch.samples);
}

}  // namespace

int main(int argc, char** argv) {
  const long iterations = argc > 1 ? std::atol(argv[1]) : 100000;
  Random random(argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1);
  std::uint64_t touched = 0;
  long sound = 0;
  for (long i = 0; i < iterations; ++i) {
    Image image = sound_shard(random);
    damage(image, random);
    sound += read_all(image, touched) >= 0;
  }
  std::printf("%ld shards: %ld read, %ld refused (%016llx)\n", iterations, sound, iterations - sound,
              static_cast<unsigned long long>(touched));
  return sound > 0 && sound < iterations ? 0 : 1;
}
