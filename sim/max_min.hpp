// Max-min fair rates of weighted flows over links: no flow can get more without taking from one
// that has less for its weight.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace r1 {

// Uses one to four links of the solver: those of two endpoints, and of trunks between them.
struct FairFlow {
    static constexpr std::uint32_t kNoLink = UINT32_MAX;

    using Links = std::array<std::uint32_t, 4>;

    Links links = {kNoLink, kNoLink, kNoLink, kNoLink};  // one at least, then kNoLink to the end
    double weight = 1;    // > 0; its share of a link is in proportion
    double rate_max = 0;  // 0: no cap
    double rate = 0;      // the solution

    template <class Visit>
    void for_links(const Visit& visit) const {
        for (const std::uint32_t link : links) {
            if (link == kNoLink) {
                return;
            }
            visit(link);
        }
    }
};

class MaxMinSolver {
public:
    // By link, each > 0.
    explicit MaxMinSolver(std::vector<double> capacities);

    // Fills in the rates of these flows as if there were no others. Fills the link with the
    // smallest share first; ties in the order of links, so equal inputs give equal rates.
    void solve(std::span<FairFlow* const> flows);
    // The same of one flow.
    void solve_alone(FairFlow& flow) const;

private:
    struct Link {
        double left = 0;    // capacity that no fixed flow has
        double weight = 0;  // of the flows that are not fixed
        std::uint32_t begin = 0;
        std::uint32_t end = 0;  // its flows in users_
    };
    struct Level {
        double share;
        std::uint32_t link;  // in links_
    };
    struct Later {
        bool operator()(const Level& a, const Level& b) const {
            return a.share != b.share ? a.share > b.share : a.link > b.link;
        }
    };

    void collect(std::span<FairFlow* const> flows);
    [[nodiscard]] Level level_of(std::uint32_t link) const;
    void fix(FairFlow& flow, double rate);

    std::vector<double> capacities_;
    std::vector<std::uint32_t> local_;  // by link of the solver: where it is in links_
    // Of one call; members only to keep their memory.
    std::vector<std::uint32_t> used_;  // links of the solver, by link in links_
    std::vector<Link> links_;
    std::vector<FairFlow*> users_;
    std::vector<Level> levels_;  // a heap, smallest share first
    std::vector<FairFlow*> capped_;
};

}  // namespace r1
