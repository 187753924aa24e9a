#include "sim/hardware/import/node_nics.hpp"

#include <algorithm>
#include <numeric>

#include "model/base/index.hpp"

namespace r1 {
namespace {

int best_closeness(const std::vector<int>& of_gpu) {
    return of_gpu.empty() ? 0 : *std::max_element(of_gpu.begin(), of_gpu.end());
}

// [gpu] the candidate that it takes.
std::vector<int> choose(const std::vector<std::vector<int>>& closeness,
                        const std::vector<NicCandidate>& candidates) {
    std::vector<int> gpus(closeness.size());
    std::iota(gpus.begin(), gpus.end(), 0);
    // A GPU with a NIC of its own takes it before its neighbours, who are as far from all of them.
    std::stable_sort(gpus.begin(), gpus.end(), [&](int a, int b) {
        return best_closeness(closeness[at(a)]) > best_closeness(closeness[at(b)]);
    });
    std::vector<int> load(candidates.size(), 0);
    std::vector<int> chosen(closeness.size(), -1);
    for (const int gpu : gpus) {
        const std::vector<int>& close = closeness[at(gpu)];
        const int best = best_closeness(close);
        int& choice = chosen[at(gpu)];
        for (int nic = 0; nic < static_cast<int>(candidates.size()); ++nic) {
            if (close[at(nic)] != best) continue;
            const bool is_better = choice < 0 || load[at(nic)] < load[at(choice)] ||
                                   (load[at(nic)] == load[at(choice)] &&
                                    candidates[at(nic)].gb_per_s > candidates[at(choice)].gb_per_s);
            if (is_better) choice = nic;
        }
        ++load[at(choice)];
    }
    return chosen;
}

}  // namespace

NicPlan plan_nics(const std::vector<std::vector<int>>& closeness,
                  const std::vector<NicCandidate>& candidates) {
    NicPlan plan;
    if (candidates.empty()) return plan;
    const std::vector<int> chosen = choose(closeness, candidates);
    std::vector<int> nic_of(candidates.size(), -1);
    for (const int candidate : chosen) {
        int& nic = nic_of[at(candidate)];
        if (nic < 0) {
            nic = static_cast<int>(plan.nics.size());
            plan.nics.push_back({candidate});
        }
        plan.affinity.push_back(nic);
    }
    for (int candidate = 0; candidate < static_cast<int>(candidates.size()); ++candidate) {
        if (nic_of[at(candidate)] >= 0) continue;
        std::vector<int>* joined = nullptr;
        for (std::size_t gpu = 0; gpu < closeness.size(); ++gpu) {
            std::vector<int>& nic = plan.nics[at(plan.affinity[gpu])];
            const bool is_equal =
                closeness[gpu][at(candidate)] == closeness[gpu][at(chosen[gpu])] &&
                candidates[at(candidate)].gb_per_s == candidates[at(chosen[gpu])].gb_per_s;
            if (is_equal && (joined == nullptr || nic.size() < joined->size())) joined = &nic;
        }
        if (joined != nullptr) {
            joined->push_back(candidate);
        } else {
            plan.left_out.push_back(candidate);
        }
    }
    return plan;
}

std::optional<double> merged_gb_per_s(const std::vector<int>& nic,
                                      const std::vector<NicCandidate>& candidates) {
    double sum = 0;
    for (const int part : nic) {
        if (!candidates[at(part)].gb_per_s) return std::nullopt;
        sum += *candidates[at(part)].gb_per_s;
    }
    return sum;
}

}  // namespace r1
