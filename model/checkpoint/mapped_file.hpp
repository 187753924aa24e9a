// A file in memory, read-only and page by page as it is looked at.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace r1 {

class MappedFile {
public:
    // Throws InputError if the file is missing, no regular file, or unreadable.
    explicit MappedFile(const std::filesystem::path& file);
    ~MappedFile();
    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    // Valid while this object lives. A file that somebody truncates meanwhile ends the process
    // (SIGBUS); writers that replace by renaming, as ours do, are harmless.
    [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }

private:
    std::span<const std::byte> bytes_;
};

// The memory of a part of a mapped file may be used for something else; who reads it again gets it
// from the file again.
void release_pages(std::span<const std::byte> part);

}  // namespace r1
