// Reading and writing whole files.
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include <unistd.h>

#include "model/base/json.hpp"

#include "model/base/open_file.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const fs::path& file, const std::string& what, int error) {
    throw InputError(file.string(), what + " (" + std::generic_category().message(error) + ")");
}

// Writes, flushes and closes. 0, or the errno of what failed (a full disk shows at the flush).
int write_all(OpenFile out, std::string_view content) {
    const bool is_written =
        std::fwrite(content.data(), 1, content.size(), out.get()) == content.size() &&
        std::fflush(out.get()) == 0;
    const int write_error = is_written ? 0 : errno;
    const int close_error = std::fclose(out.release()) == 0 ? 0 : errno;
    return write_error != 0 ? write_error : close_error;
}

void write_stream(const fs::path& file, std::string_view content) {
    std::fflush(stdout);  // what was printed before comes first
    // Not opened anew where standard output is a file: that would write over what is there.
    const bool is_stdout = file == "/dev/stdout";
    const int descriptor = is_stdout ? ::dup(STDOUT_FILENO) : -1;
    OpenFile out(is_stdout ? ::fdopen(descriptor, "wb") : std::fopen(file.c_str(), "ab"));
    if (out == nullptr) {
        fail(file, "cannot be written", errno);
    }
    if (const int error = write_all(std::move(out), content); error != 0) {
        fail(file, "cannot be written", error);
    }
}

// In the folder of the target: a rename is atomic only within a file system. The name does not
// grow with the target's, which may be as long as the file system allows.
fs::path temporary_beside(const fs::path& file) {
    static std::atomic<unsigned> count{0};
    return file.parent_path() /
           (".r1sim-" + std::to_string(::getpid()) + "-" + std::to_string(count++) + ".tmp");
}

}  // namespace

std::string read_file(const fs::path& file, std::size_t bytes_max) {
    std::error_code ignored;
    if (fs::is_directory(file, ignored)) {
        throw InputError(file.string(), "is a folder, not a file");
    }
    const OpenFile in(std::fopen(file.c_str(), "rb"));
    if (in == nullptr) {
        fail(file, "cannot be read", errno);
    }
    const std::uintmax_t size =
        fs::is_regular_file(file, ignored) ? fs::file_size(file, ignored) : 0;
    std::string content;
    if (size <= bytes_max) {
        content.reserve(static_cast<std::size_t>(size));
    }
    // Pipes have no size, so the limit is checked on what arrives.
    std::string block(std::size_t{1} << 16, '\0');
    while (size <= bytes_max && content.size() <= bytes_max) {
        const std::size_t count = std::fread(block.data(), 1, block.size(), in.get());
        if (count == 0) {
            if (std::ferror(in.get()) != 0) {
                fail(file, "cannot be read", errno);
            }
            return content;
        }
        content.append(block, 0, count);
    }
    throw InputError(file.string(), "is larger than " + std::to_string(bytes_max) + " bytes");
}

bool is_stream(const fs::path& file) {
    const std::string name = file.string();
    std::error_code ignored;
    const fs::file_status status = fs::status(file, ignored);
    return name.starts_with("/dev/") || name.starts_with("/proc/") ||
           (fs::exists(status) && !fs::is_regular_file(status));
}

void write_file_atomically(const fs::path& file, std::string_view content) {
    std::error_code error;
    if (fs::is_directory(file, error)) {
        throw InputError(file.string(), "is a folder, not a file");
    }
    if (is_stream(file)) {
        write_stream(file, content);
        return;
    }
    // A link stays a link: the file that it names is replaced.
    const fs::path target = fs::is_symlink(file, error) ? fs::weakly_canonical(file, error) : file;
    const fs::path temporary = temporary_beside(target.empty() ? file : target);
    OpenFile out(std::fopen(temporary.c_str(), "wbx"));
    if (out == nullptr) {
        fail(file, "cannot be written", errno);
    }
    int problem = write_all(std::move(out), content);
    if (problem == 0) {
        const fs::file_status old = fs::status(target, error);
        if (fs::exists(old)) {
            fs::permissions(temporary, old.permissions(), error);  // as good as we can
        }
        fs::rename(temporary, target, error);
        problem = error.value();
    }
    if (problem != 0) {
        fs::remove(temporary, error);
        fail(file, "cannot be written", problem);
    }
}

}  // namespace r1
