#include "model/checkpoint/mapped_file.hpp"

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/base/diagnostics.hpp"

namespace r1 {

namespace {

class Descriptor {
public:
    // Not blocking: opening a pipe would wait for its writer before we can refuse it.
    explicit Descriptor(const std::filesystem::path& file)
        : value_(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
    ~Descriptor() {
        if (value_ >= 0) {
            ::close(value_);
        }
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;

    [[nodiscard]] int value() const { return value_; }

private:
    int value_;
};

[[noreturn]] void fail(const std::filesystem::path& file, int error) {
    throw InputError(file.string(),
                     "cannot be read (" + std::generic_category().message(error) + ")");
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& file) {
    const Descriptor descriptor(file);
    struct stat status {};
    if (descriptor.value() < 0 || ::fstat(descriptor.value(), &status) != 0) {
        fail(file, errno);
    }
    if (!S_ISREG(status.st_mode)) {
        throw InputError(file.string(), "is not a regular file");
    }
    const auto size = static_cast<std::size_t>(status.st_size);
    if (size == 0) {
        return;  // nothing to map, and mmap refuses empty ranges
    }
    void* begin = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.value(), 0);
    if (begin == MAP_FAILED) {
        fail(file, errno);
    }
    bytes_ = {static_cast<const std::byte*>(begin), size};
}

MappedFile::~MappedFile() {
    if (!bytes_.empty()) {
        ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
    }
}

MappedFile::MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);  // the other one unmaps what was ours
    return *this;
}

void release_pages(std::span<const std::byte> part) {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = reinterpret_cast<std::uintptr_t>(part.data());
    // Only whole pages: the others hold a neighbour's bytes too.
    const std::uintptr_t first = (begin + page - 1) / page * page;
    const std::uintptr_t last = (begin + part.size()) / page * page;
    if (first < last) {
        ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);  // advice only
    }
}

}  // namespace r1
