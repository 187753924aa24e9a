// What runs beside what in an overlapped forward and backward chunk.
#include "model/workload/block_pairs.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "model/base/rng.hpp"
#include "tests/support/catch.hpp"

using namespace r1;

namespace {

// 'M': MoE layer, 'D': dense layer, 'H': head, 'E': embedding.
Block block_of(char kind) {
    using P = Piece;
    std::vector<Piece> pieces;
    switch (kind) {
        case 'M':
            pieces = {P::dispatch_forward, P::combine_forward, P::combine_backward,
                      P::dispatch_backward};
            [[fallthrough]];
        case 'D':
            for (const Piece piece : {P::attention_forward, P::mlp_forward, P::mlp_backward_input,
                                      P::mlp_backward_weight, P::attention_backward_input,
                                      P::attention_backward_weight}) {
                pieces.push_back(piece);
            }
            break;
        case 'H': pieces = {P::mlp_forward, P::mlp_backward_input, P::mlp_backward_weight}; break;
        default: pieces = {P::attention_forward, P::attention_backward_weight}; break;
    }
    Block block;
    for (const Piece piece : pieces) {
        block[piece] = [](ChunkBuilder&) {};
    }
    return block;
}

std::vector<Block> stage_of(const std::string& kinds) {
    std::vector<Block> stage;
    for (const char kind : kinds) {
        stage.push_back(block_of(kind));
    }
    return stage;
}

// Of each kind beside each, counted by hand from the order in layers/stage.hpp.
int hidden(char forward, char backward) {
    const auto computes = [](char kind) { return kind == 'M' || kind == 'D'; };
    int count = 0;
    if (forward == 'M') {
        count += computes(backward) ? 2 : backward == 'H' ? 1 : 0;
    }
    if (backward == 'M') {
        count += computes(forward) ? 2 : 1;  // the head hides a dispatch, the embedding a combine
    }
    return count;
}

// The best of all ways to place the rest, tried one by one.
int best(const std::string& forward, const std::string& backward) {
    if (forward.empty() || backward.empty()) {
        return 0;
    }
    const std::string f = forward.substr(1);
    const std::string b = backward.substr(0, backward.size() - 1);
    return std::max({hidden(forward.front(), backward.back()) + best(f, b), best(f, backward),
                     best(forward, b)});
}

// "02 1- -1": the first forward block with the third backward one, and so on.
std::string placed(const std::string& forward, const std::string& backward) {
    const std::vector<Block> to = stage_of(forward);
    const std::vector<Block> back = stage_of(backward);
    const auto index = [](const Block* block, const std::vector<Block>& stage) {
        return block == nullptr ? "-" : std::to_string(block - stage.data());
    };
    std::string result;
    for (const auto& [f, b] : block_pairs(to, back)) {
        result += (result.empty() ? "" : " ") + index(f, to) + index(b, back);
    }
    return result;
}

}  // namespace

TEST_CASE("block pairs: layer by layer where stages are alike", "[model][train]") {
    CHECK(placed("MMMM", "MMMM") == "03 12 21 30");
    CHECK(placed("DD", "DD") == "01 10");
    CHECK(placed("", "MM") == "-1 -0");
}

TEST_CASE("block pairs: a layer with communication goes beside one that computes",
          "[model][train]") {
    // The last stage, with head and MTP module, beside a first one: MTP layer with the dense layer.
    CHECK(placed("MMMHEMH", "EDMMM") == "04 13 22 3- 4- 51 60");
}

TEST_CASE("block pairs: all blocks once, in order, and as much hidden as can be",
          "[model][train]") {
    const Rng rng(5, 0);
    std::uint64_t drawn = 0;
    for (int round = 0; round < 300; ++round) {
        std::string kinds[2];
        for (std::string& stage : kinds) {
            const double length = 6 * rng.uniform(drawn++);
            while (static_cast<double>(stage.size()) < length) {
                stage += "MMDHE"[static_cast<std::size_t>(5 * rng.uniform(drawn++))];
            }
        }
        INFO(kinds[0] << " and " << kinds[1]);
        const std::vector<Block> to = stage_of(kinds[0]);
        const std::vector<Block> back = stage_of(kinds[1]);
        std::size_t next = 0;
        std::size_t left = back.size();
        int got = 0;
        for (const auto& [f, b] : block_pairs(to, back)) {
            if (f != nullptr) {
                CHECK(f == &to[next++]);
            }
            if (b != nullptr) {
                CHECK(b == &back[--left]);
            }
            if (f != nullptr && b != nullptr) {
                got += hidden(kinds[0][next - 1], kinds[1][left]);
            }
        }
        CHECK(next == to.size());
        CHECK(left == 0);
        CHECK(got == best(kinds[0], kinds[1]));
    }
}
