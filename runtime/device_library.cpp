#include "runtime/device_library.hpp"

#include <filesystem>

#include <dlfcn.h>

#include "model/base/diagnostics.hpp"

namespace r1 {

namespace {

constexpr const char* kLibrary = "libr1_cuda.so";
constexpr const char* kEntry = "r1_cuda_devices";  // runtime/cuda_entry.cpp
using Entry = void (*)(int index, DeviceKind& kind);

// Stays loaded: what it made may live as long as the process.
void* open_library() {
    std::error_code none;
    const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", none);
    const std::filesystem::path library = program.parent_path() / kLibrary;
    if (!std::filesystem::exists(library)) {
        throw FeatureError("--device cuda: this build has no CUDA: there is no " +
                           std::string(kLibrary) + " beside the program");
    }
    void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        throw FeatureError("--device cuda: " + std::string(dlerror()));
    }
    return handle;
}

}  // namespace

DeviceKind load_cuda_devices(int index) {
    static void* library = open_library();
    const auto entry = reinterpret_cast<Entry>(dlsym(library, kEntry));
    if (entry == nullptr) {
        throw FeatureError("--device cuda: " + std::string(dlerror()));
    }
    DeviceKind kind;
    entry(index, kind);
    return kind;
}

}  // namespace r1
