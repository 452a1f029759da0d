#include "mds/mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>

#include "mds/file_handle.hpp"

namespace veclip::mds {

Outcome MappedFile::open(const std::string& path, std::unique_ptr<MappedFile>& out) {
  // O_NONBLOCK: a named pipe in place of a shard must not hang the reader; it changes nothing for files.
  const FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.valid()) return io_error("open", path, errno);
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return io_error("stat", path, errno);
  if (!S_ISREG(info.st_mode)) return {Status::kIoError, path + ": not a regular file"};
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size == 0) {
    out.reset(new MappedFile(Bytes{}));
    return {};
  }
  void* memory = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (memory == MAP_FAILED) return io_error("map", path, errno);
  out.reset(new MappedFile(Bytes(static_cast<const std::uint8_t*>(memory), size)));
  return {};
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace veclip::mds
