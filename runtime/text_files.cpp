#include "runtime/text_files.hpp"

#include <algorithm>
#include <memory>
#include <system_error>

#include <fmt/format.h>
#include <zlib.h>

#include "model/base/json.hpp"

namespace r1 {

namespace fs = std::filesystem;

namespace {

void search(const fs::path& folder, std::vector<fs::path>& files, Diagnostics& diagnostics) {
    std::vector<fs::path> found;
    std::error_code error;
    fs::recursive_directory_iterator each(folder, error);
    while (!error && each != fs::recursive_directory_iterator()) {
        std::error_code broken_link;
        if (each->is_regular_file(broken_link)) {
            found.push_back(each->path());
        }
        each.increment(error);
    }
    if (error) {
        diagnostics.error({folder.string()}, "", "cannot be searched (" + error.message() + ")");
    }
    std::sort(found.begin(), found.end(),
              [](const fs::path& a, const fs::path& b) { return a.native() < b.native(); });
    files.insert(files.end(), found.begin(), found.end());
}

struct CloseGzip {
    void operator()(gzFile file) const { gzclose(file); }
};
using OpenGzip = std::unique_ptr<gzFile_s, CloseGzip>;

std::string read_gzip(const fs::path& file) {
    const OpenGzip in(gzopen(file.c_str(), "rb"));
    if (in == nullptr) {
        throw InputError(file.string(), "cannot be read");
    }
    std::string content;
    std::string block(std::size_t{1} << 18, '\0');
    while (true) {
        const int count = gzread(in.get(), block.data(), static_cast<unsigned>(block.size()));
        int error = Z_OK;
        const char* why = gzerror(in.get(), &error);
        if (count < 0 || error != Z_OK) {  // a file that was cut off gives bytes and an error
            throw InputError(file.string(), fmt::format("cannot be unpacked ({})", why));
        }
        if (count == 0) {
            return content;
        }
        content.append(block, 0, static_cast<std::size_t>(count));
        if (content.size() > Document::kMaxBytes) {
            throw InputError(file.string(), fmt::format("is larger than {} bytes when unpacked",
                                                        Document::kMaxBytes));
        }
    }
}

}  // namespace

std::vector<fs::path> find_files(const std::vector<fs::path>& paths, Diagnostics& diagnostics) {
    std::vector<fs::path> files;
    for (const fs::path& path : paths) {
        std::error_code error;
        const fs::file_status status = fs::status(path, error);
        if (fs::is_directory(status)) {
            search(path, files, diagnostics);
        } else if (fs::is_regular_file(status)) {
            files.push_back(path);
        } else {
            diagnostics.error(
                {path.string()}, "",
                fs::exists(status) ? "is neither a file nor a folder" : "no such file or folder");
        }
    }
    return files;
}

std::optional<std::string> read_text(const fs::path& file) {
    std::string content = file.extension() == ".gz" ? read_gzip(file) : read_file(file);
    if (content.find('\0') != std::string::npos) {
        return std::nullopt;
    }
    return content;
}

}  // namespace r1
