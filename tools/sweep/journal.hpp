// The results of a sweep that is under way, in a file that survives a kill: a header that says
// whose it is, then one line a point, each on the disk before the next point is given out.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>

#include "tools/sweep/sweep.hpp"

namespace r1 {

class Journal {
public:
    // Begins the file, or goes on with it: a line that was cut off is dropped. `part`: which points
    // of the sweep it is for ("1/4", or all). Throws InputError if the file is another sweep's or
    // part's, or another version wrote it (unless `restart`, which begins anew), or if another
    // process writes it. An empty path: lines are kept in memory only.
    Journal(std::filesystem::path file, const Sweep& sweep, const std::string& part, bool restart);
    ~Journal();
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;

    // By point.
    [[nodiscard]] const std::map<std::size_t, std::string>& lines() const { return lines_; }
    // Returns when the line is on the disk. `line` has no line break.
    void append(std::size_t point, const std::string& line);
    // Once the results are in their place.
    void remove();

private:
    void read(const Sweep& sweep, const std::string& header);
    void write(const std::string& text);

    std::filesystem::path file_;
    int descriptor_ = -1;
    std::map<std::size_t, std::string> lines_;
};

}  // namespace r1
