#include "sim/hardware/import/nccl_elements.hpp"

namespace r1 {

const std::vector<NcclElement>& nccl_elements() {
    static const std::vector<NcclElement> known{
        {"system", {}, {"version", "name"}},
        {"cpu",
         {"system"},
         {"numaid", "affinity", "arch", "vendor", "familyid", "modelid", "host_hash"}},
        {"pci",
         {"cpu", "pci"},
         {"busid", "class", "link_speed", "link_width", "vendor", "device", "subsystem_vendor",
          "subsystem_device"}},
        {"pcilink", {"pci"}, {"target"}},
        {"gpu", {"pci"}, {"dev", "sm", "rank", "gdr", "mlopart"}},
        {"nic", {"cpu", "pci"}, {}},
        {"net",
         {"nic"},
         {"name", "dev", "speed", "port", "latency", "guid", "maxconn", "gdr", "coll", "net", "gin",
          "rma", "rail", "plane", "keep"}},
        {"nvlink", {"gpu"}, {"target", "count", "tclass"}},
        {"c2c", {"gpu"}, {"bw", "count"}},
    };
    return known;
}

}  // namespace r1
