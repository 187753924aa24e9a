#include "runtime/agreement.hpp"

#include <numeric>
#include <span>

#include <fmt/format.h>

#include "model/base/json.hpp"
#include "runtime/collectives.hpp"

namespace r1 {

namespace {

constexpr char kDone = '+';  // before the text of work that is done, kFailed before JSON problems
constexpr char kFailed = '-';

std::string problems_text(const InputError& error) {
    Json list = Json::array();
    for (const Diagnostic& diagnostic : error.diagnostics()) {
        list.push_back({diagnostic.location.file, diagnostic.pointer, diagnostic.message});
    }
    return list.dump(-1, ' ', false, Json::error_handler_t::replace);
}

[[noreturn]] void throw_problems(const std::string& text, std::size_t rank, std::size_t others) {
    std::vector<Diagnostic> problems;
    for (const Json& problem : Json::parse(text)) {
        problems.push_back({{problem[0].get<std::string>(), 0, 0},
                            problem[1].get<std::string>(),
                            fmt::format("{} (rank {})", problem[2].get<std::string>(), rank),
                            {}});
    }
    if (others > 0) {
        problems.push_back({{}, "", fmt::format("and problems of {} other ranks", others), {}});
    }
    throw AgreedError(std::move(problems));
}

}  // namespace

std::vector<std::string> gather_texts(const Everyone& ranks, const std::string& mine) {
    std::vector<int> everyone(static_cast<std::size_t>(ranks.communicator.ranks()));
    std::iota(everyone.begin(), everyone.end(), 0);
    const CollectiveGroup group{ranks.communicator, everyone, ranks.channel, MessageKind::report};
    const std::uint64_t size = mine.size();
    std::vector<std::uint64_t> sizes(everyone.size());
    all_gather(group, std::as_bytes(std::span(&size, 1)), std::as_writable_bytes(std::span(sizes)));
    std::string all(std::accumulate(sizes.begin(), sizes.end(), std::size_t{0}), '\0');
    all_gather_v(group, std::as_bytes(std::span(mine)), std::as_writable_bytes(std::span(all)),
                 {sizes.begin(), sizes.end()});
    std::vector<std::string> texts;
    std::size_t begin = 0;
    for (const std::uint64_t each : sizes) {
        texts.push_back(all.substr(begin, each));
        begin += each;
    }
    return texts;
}

std::vector<std::string> agree(const Everyone& ranks, const std::function<std::string()>& work) {
    std::string mine;
    try {
        mine = kDone + work();
    } catch (const InputError& error) {
        mine = kFailed + problems_text(error);
    }
    std::vector<std::string> texts = gather_texts(ranks, mine);
    std::vector<std::size_t> failed;
    for (std::size_t rank = 0; rank < texts.size(); ++rank) {
        if (texts[rank].front() == kFailed) {
            failed.push_back(rank);
        }
        texts[rank].erase(0, 1);
    }
    if (!failed.empty()) {
        throw_problems(texts[failed.front()], failed.front(), failed.size() - 1);
    }
    return texts;
}

}  // namespace r1
