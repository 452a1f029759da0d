#include "mds/commit.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>

#include "mds/file_handle.hpp"

namespace veclip::mds {

namespace {

// Some kernels refuse or cut writes of 2 GiB and more; 1 GiB pieces are safe everywhere.
constexpr std::size_t kWriteBytes = std::size_t{1} << 30;

Outcome write_all(int fd, const std::string& path, Bytes data) {
  while (!data.empty()) {
    const ssize_t put = ::write(fd, data.data(), std::min(data.size(), kWriteBytes));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return io_error("write", path, errno);
    data = data.subspan(static_cast<std::size_t>(put));
  }
  return {};
}

Outcome sync(int fd, const std::string& path) {
  while (::fsync(fd) != 0) {
    if (errno != EINTR) return io_error("sync", path, errno);
  }
  return {};
}

Outcome write_temporary(const std::string& path, std::span<const Bytes> parts) {
  FileHandle file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!file.valid()) return io_error("create", path, errno);
  for (const Bytes part : parts) {
    if (Outcome written = write_all(file.get(), path, part); !written.ok()) return written;
  }
  if (Outcome synced = sync(file.get(), path); !synced.ok()) return synced;
  // close() is never repeated after EINTR: on Linux the descriptor is gone either way, and the data are synced.
  if (::close(file.release()) != 0 && errno != EINTR) return io_error("close", path, errno);
  return {};
}

Outcome sync_folder(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const FileHandle handle(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!handle.valid()) return io_error("open", folder, errno);
  return sync(handle.get(), folder);
}

std::string temporary_name(const std::string& path) {
  static std::atomic<unsigned> count{0};
  return path + "." + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".tmp";
}

}  // namespace

Outcome commit_file(const std::string& path, std::span<const Bytes> parts) {
  const std::string temporary = temporary_name(path);
  Outcome written = write_temporary(temporary, parts);
  if (written.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) written = io_error("rename", path, errno);
  if (!written.ok()) {
    ::unlink(temporary.c_str());
    return written;
  }
  return sync_folder(path);
}

}  // namespace veclip::mds
