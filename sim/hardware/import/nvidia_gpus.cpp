#include "sim/hardware/import/nvidia_gpus.hpp"

#include <algorithm>
#include <array>

namespace r1 {

const char* device_preset(int pci_device) {
    switch (pci_device) {  // as dumps of such machines show them
        case 0x2324: return "h800";
        case 0x2330: return "h100";
        case 0x2335: return "h200";
        default: return nullptr;
    }
}

const NvlinkRate* nvlink_rate(int sm) {
    // Nominal of sm 90: 200 GB/s over the 8 links of an H800, 450 over the 18 of an H100, both as
    // in topologies/; of others: NVIDIA's data sheets, recalled.
    static constexpr std::array<NvlinkRate, 6> kRates{{{100, 50, 40.1},
                                                       {90, 25, 20.6},
                                                       {86, 14.0625, 12.0},
                                                       {80, 25, 20.0},
                                                       {70, 25, 20.0},
                                                       {60, 20, 18.0}}};
    const auto found = std::find_if(kRates.begin(), kRates.end(),
                                    [sm](const NvlinkRate& rate) { return sm >= rate.sm_min; });
    return found == kRates.end() ? nullptr : &*found;
}

}  // namespace r1
