#include "tools/sweep/journal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>
#include <system_error>

#include <fmt/format.h>

#include <r1_version.hpp>

#include "tools/sweep/sweep_line.hpp"

namespace r1 {

namespace {

[[noreturn]] void fail_with_errno(const std::filesystem::path& file, const char* what) {
    throw InputError(file.string(),
                     fmt::format("{} ({})", what, std::generic_category().message(errno)));
}

Json header_of(const Sweep& sweep, const std::string& part) {
    return {{"schema", "r1sim.sweep_journal/1"},
            {"sweep", sweep.hash},
            {"part", part},
            {"version", R1_VERSION}};
}

// In what the journal that is there is not the one that is wanted.
std::string difference(const std::string& found_text, const Json& wanted) {
    const Json found = Json::parse(found_text, nullptr, false);
    const auto differs = [&](const char* key) {
        return !found.is_object() || !found.contains(key) || found.at(key) != wanted.at(key);
    };
    if (differs("schema")) {
        return "is no journal of a sweep";
    }
    if (differs("sweep")) {
        return "is of another sweep: other points, another base, or other --set";
    }
    if (differs("part")) {
        return fmt::format("holds part {} of the sweep, not {}", found.at("part").dump(),
                           wanted.at("part").dump());
    }
    return fmt::format("was written by version {} of r1sim", found.at("version").dump());
}

}  // namespace

Journal::Journal(std::filesystem::path file, const Sweep& sweep, const std::string& part,
                 bool restart)
    : file_(std::move(file)) {
    if (file_.empty()) {
        return;
    }
    descriptor_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (descriptor_ < 0) {
        fail_with_errno(file_, "cannot be written");
    }
    try {
        if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
            throw InputError(file_.string(), "is being written by another r1sim");
        }
        if (restart && ::ftruncate(descriptor_, 0) != 0) {
            fail_with_errno(file_, "cannot be emptied");
        }
        read(sweep, header_of(sweep, part).dump());
    } catch (...) {
        ::close(descriptor_);
        throw;
    }
}

Journal::~Journal() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

void Journal::read(const Sweep& sweep, const std::string& header) {
    const std::string content = read_file(file_);
    const std::size_t whole = content.rfind('\n') + 1;  // npos + 1 = 0: not even a header
    std::istringstream text(content.substr(0, whole));
    std::string line;
    std::getline(text, line);
    // Before anything is cut: the file may be another's.
    if (whole == 0 ? !header.starts_with(content) : line != header) {
        throw InputError(file_.string(), difference(line, Json::parse(header)) +
                                             "; --restart begins anew and drops its results");
    }
    if (::ftruncate(descriptor_, static_cast<off_t>(whole)) != 0) {
        fail_with_errno(file_, "cannot be cut to its last whole line");
    }
    if (whole == 0) {
        write(header + "\n");
        return;
    }
    for (int number = 2; std::getline(text, line); ++number) {
        const std::string origin = fmt::format("{}:{}", file_.string(), number);
        const std::size_t point = point_of_line(sweep, line, origin);
        if (!lines_.emplace(point, line).second) {
            throw InputError(origin, fmt::format("point {} is there a second time", point));
        }
    }
}

void Journal::write(const std::string& text) {
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t count = ::write(descriptor_, text.data() + done, text.size() - done);
        if (count < 0 && errno != EINTR) {
            fail_with_errno(file_, "cannot be written");
        }
        done += count > 0 ? static_cast<std::size_t>(count) : 0;
    }
    if (::fdatasync(descriptor_) != 0) {
        fail_with_errno(file_, "cannot be written");
    }
}

void Journal::append(std::size_t point, const std::string& line) {
    if (descriptor_ >= 0) {
        write(line + "\n");
    }
    lines_[point] = line;
}

void Journal::remove() {
    std::error_code ignored;
    std::filesystem::remove(file_, ignored);
}

}  // namespace r1
