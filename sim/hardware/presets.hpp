// Where the data files of r1sim lie, and how a name in a file or on the command line becomes one.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace r1 {

// The folder that holds topologies/ and scenarios/: what main() set (from $R1SIM_HOME), else the
// source tree that the program was built from.
std::filesystem::path data_root();
void set_data_root(std::filesystem::path root);

inline constexpr const char* kTopologyFolder = "topologies";
inline constexpr const char* kDeviceFolder = "topologies/devices";
inline constexpr const char* kCalibrationFolder = "topologies/calibration";

// Stems of the *.json files of a folder below data_root(), schemas excluded, sorted.
std::vector<std::string> preset_names(const std::string& folder);

// A path if `name` has a '/' or ends in .json (relative to `base`, the folder of the naming file),
// else the preset of that name. Throws InputError with did-you-mean if there is none.
std::filesystem::path find_data_file(const std::string& name, const std::string& folder,
                                     const std::filesystem::path& base = {});

}  // namespace r1
