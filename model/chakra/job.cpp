#include "model/chakra/job.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <tuple>
#include <unordered_map>

#include <fmt/format.h>

#include "model/base/diagnostics.hpp"
#include "model/chakra/attributes.hpp"
#include "model/chakra/job_order.hpp"

namespace r1 {

namespace {

constexpr std::size_t kProblemsMax = 20;
constexpr std::int64_t kNodesMax = 10'000'000;  // of all ranks, 2 GB

class JobReader {
public:
    explicit JobReader(std::uint32_t ranks) : count_(ranks) { job_.ranks.resize(ranks); }

    void add(const ChakraFile& file) {
        names_.push_back(file.name);
        nodes_ += static_cast<std::int64_t>(file.trace.nodes.size());
        if (nodes_ > kNodesMax) {
            throw InputError(file.name,
                             fmt::format("{} nodes with those of the ranks before it, {} at most "
                                         "are replayed",
                                         nodes_, kNodesMax));
        }
        add_rank(file.trace.nodes);
        ++rank_;
    }

    ChakraJob job() {
        match_messages();
        check_collectives();
        diagnostics_.throw_if_errors();
        if (const std::optional<ChakraPart> stuck = first_stuck(job_)) {
            throw InputError(names_[stuck->rank],
                             fmt::format("node {} never runs: it waits, in a circle, for itself or "
                                         "for nodes that do",
                                         job_.ranks[stuck->rank][stuck->node].id));
        }
        return std::move(job_);
    }

private:
    // Source, destination, tag; the n-th send goes with the n-th receive.
    using MessageKey = std::tuple<std::uint32_t, std::uint32_t, std::int64_t>;
    struct MessageEnds {
        std::vector<std::uint32_t> sends;
        std::vector<std::uint32_t> receives;
    };

    void problem(std::uint32_t rank, std::uint64_t id, const std::string& message) {
        diagnostics_.error({names_[rank], 0, 0}, fmt::format("node {}", id), message);
        if (diagnostics_.errors().size() == kProblemsMax) {
            diagnostics_.throw_if_errors();
        }
    }
    void problem(const chakra::Node& node, const std::string& message) {
        problem(rank_, node.id(), message);
    }

    void add_rank(const std::vector<chakra::Node>& nodes) {
        std::unordered_map<std::uint64_t, std::uint32_t> index;
        for (std::uint32_t i = 0; i < nodes.size(); ++i) {
            if (!index.try_emplace(nodes[i].id(), i).second) {
                problem(nodes[i], "is there twice");
            }
        }
        ordinals_.clear();
        for (std::uint32_t i = 0; i < nodes.size(); ++i) {
            ChakraNode& node = job_.ranks[rank_].emplace_back();
            node.id = nodes[i].id();
            for (const std::uint64_t id : nodes[i].data_deps()) {
                const auto before = index.find(id);
                if (before == index.end()) {
                    ++job_.missing_dependencies;
                } else {
                    node.before.push_back(before->second);
                }
            }
            std::sort(node.before.begin(), node.before.end());
            node.before.erase(std::unique(node.before.begin(), node.before.end()),
                              node.before.end());
            if (node.before.size() >= std::numeric_limits<std::uint16_t>::max()) {
                problem(nodes[i], "waits for more than 65,534 nodes");
            }
            add_work(nodes[i], i, node);
        }
    }

    static bool flag(const chakra::Node& in, const char* name, bool otherwise) {
        const auto* attribute = find_attribute(in, name);
        return attribute == nullptr ? otherwise : integer_of(*attribute).value_or(0) != 0;
    }

    void add_work(const chakra::Node& in, std::uint32_t index, ChakraNode& node) {
        const bool communicates = in.type() == chakra::COMM_SEND_NODE ||
                                  in.type() == chakra::COMM_RECV_NODE ||
                                  in.type() == chakra::COMM_COLL_NODE;
        if (communicates && flag(in, attribute::kIsCpuOp, false)) {
            node.time = duration_of(in);  // the call that starts what a node of the GPU does
            return;
        }
        switch (in.type()) {
            case chakra::METADATA_NODE: return;  // takes no time
            case chakra::COMP_NODE: add_compute(in, node); return;
            case chakra::MEM_LOAD_NODE:
            case chakra::MEM_STORE_NODE: node.time = duration_of(in); return;
            case chakra::COMM_SEND_NODE:
            case chakra::COMM_RECV_NODE: add_message(in, index, node); return;
            case chakra::COMM_COLL_NODE: add_collective(in, index, node); return;
            default:
                problem(in,
                        fmt::format("has no type that is known ({})", static_cast<int>(in.type())));
        }
    }

    Seconds duration_of(const chakra::Node& in) {
        double micros = static_cast<double>(in.duration_micros());
        if (const auto* exact = find_attribute(in, attribute::kDuration)) {
            micros = number_of(*exact).value_or(-1);
        }
        constexpr double kMicrosMax = 8.64e12;  // 100 days, as the engines
        if (!(micros >= 0 && micros <= kMicrosMax)) {
            problem(in, "takes no time between 0 and 100 days");
            return {};
        }
        return Seconds(micros * 1e-6);
    }

    void add_compute(const chakra::Node& in, ChakraNode& node) {
        const bool on_sms =
            !flag(in, attribute::kIsCpuOp, false) && flag(in, attribute::kSharesSms, true);
        node.work = on_sms ? ChakraWork::compute : ChakraWork::delay;
        node.time = duration_of(in);
    }

    // nullopt: there is none. A value that is no integer, or out of range, is a problem.
    std::optional<std::int64_t> integer(const chakra::Node& in, const char* name,
                                        std::int64_t greatest) {
        const auto* attribute = find_attribute(in, name);
        if (attribute == nullptr) {
            return {};
        }
        const std::optional<std::int64_t> value = integer_of(*attribute);
        if (!value || *value < 0 || *value > greatest) {
            problem(in, fmt::format("{} must be an integer from 0 to {}", name, greatest));
            return 0;
        }
        return value;
    }
    std::int64_t required(const chakra::Node& in, const char* name, std::int64_t greatest) {
        const std::optional<std::int64_t> value = integer(in, name, greatest);
        if (!value) {
            problem(in, fmt::format("has no {}", name));
        }
        return value.value_or(0);
    }
    Bytes size_of(const chakra::Node& in) {
        constexpr std::int64_t kBytesMax = std::int64_t{1} << 60;
        return Bytes(static_cast<double>(required(in, attribute::kCommSize, kBytesMax)));
    }

    void add_message(const chakra::Node& in, std::uint32_t index, ChakraNode& node) {
        constexpr std::int64_t kInt32Max = std::numeric_limits<std::int32_t>::max();
        const bool sends = in.type() == chakra::COMM_SEND_NODE;
        node.work = sends ? ChakraWork::send : ChakraWork::receive;
        node.bytes = size_of(in);
        const char* other_end = sends ? attribute::kCommDst : attribute::kCommSrc;
        node.peer = static_cast<std::uint32_t>(required(in, other_end, kInt32Max));
        const std::int64_t tag = required(in, attribute::kCommTag, kInt32Max);
        if (node.peer >= count_) {
            problem(in, fmt::format("{} is rank {}, of which there is no trace (there are {})",
                                    other_end, node.peer, count_));
            return;
        }
        if (sends) {
            messages_[{rank_, node.peer, tag}].sends.push_back(index);
        } else {
            messages_[{node.peer, rank_, tag}].receives.push_back(index);
        }
    }

    void match_messages() {
        for (const auto& [key, ends] : messages_) {
            const auto& [from, to, tag] = key;
            std::vector<ChakraNode>& sender = job_.ranks[from];
            std::vector<ChakraNode>& receiver = job_.ranks[to];
            const std::size_t both = std::min(ends.sends.size(), ends.receives.size());
            for (std::size_t i = 0; i < both; ++i) {
                ChakraNode& send = sender[ends.sends[i]];
                ChakraNode& receive = receiver[ends.receives[i]];
                send.other = ends.receives[i];
                receive.other = ends.sends[i];
                if (send.bytes.value() != receive.bytes.value()) {
                    problem(to, receive.id,
                            fmt::format("receives {} bytes, but node {} of rank {} sends {}",
                                        receive.bytes.value(), send.id, from, send.bytes.value()));
                }
            }
            if (ends.sends.size() > both) {
                problem(
                    from, sender[ends.sends[both]].id,
                    fmt::format("sends to rank {} with tag {}, which never receives it", to, tag));
            }
            if (ends.receives.size() > both) {
                problem(to, receiver[ends.receives[both]].id,
                        fmt::format("receives from rank {} with tag {}, which never sends it", from,
                                    tag));
            }
        }
    }

    // Ranks of a group meet in the order of their files.
    void add_collective(const chakra::Node& in, std::uint32_t index, ChakraNode& node) {
        node.work = ChakraWork::collective;
        const auto* named = find_attribute(in, attribute::kPgName);
        const std::string group = named == nullptr ? "" : named->string_val();
        const auto type = static_cast<chakra::CollectiveCommType>(
            required(in, attribute::kCommType, chakra::CollectiveCommType_MAX));
        if (type == chakra::GATHER || type == chakra::SCATTER) {
            problem(in, "GATHER and SCATTER are not replayed: their root is not told");
        }
        const Bytes bytes = type == chakra::BARRIER ? Bytes(0) : size_of(in);
        const auto [entry, is_new] = collectives_.try_emplace(
            {group, ordinals_[group]++}, static_cast<std::uint32_t>(job_.collectives.size()));
        node.other = entry->second;
        if (is_new) {
            job_.collectives.emplace_back();
            job_.collectives.back().type = type;
            job_.collectives.back().bytes = bytes;
        }
        ChakraCollective& collective = job_.collectives[entry->second];
        if (!is_new && type != collective.type) {
            const ChakraPart& first = collective.parts.front();
            problem(in, fmt::format("is {} of the group '{}', but node {} of rank {} is {}",
                                    CollectiveCommType_Name(type), group,
                                    job_.ranks[first.rank][first.node].id, first.rank,
                                    CollectiveCommType_Name(collective.type)));
        }
        collective.bytes = std::max(collective.bytes, bytes);
        collective.parts.push_back({rank_, index, {}});
        add_startup(in, collective);
        add_flows(in, collective);
    }

    void add_startup(const chakra::Node& in, ChakraCollective& collective) {
        if (const auto* startup = find_attribute(in, attribute::kStartup)) {
            const double micros = startup->double_val();
            if (!(micros >= 0 && micros < 1e12)) {
                problem(in, "its start-up (r1sim.startup_micros) is out of range");
            }
            collective.startup = std::max(collective.startup, Seconds(micros * 1e-6));
        }
    }

    void add_flows(const chakra::Node& in, ChakraCollective& collective) {
        const auto* peers = find_attribute(in, attribute::kFlowPeer);
        if (peers == nullptr) {
            return;
        }
        const auto* sent = find_attribute(in, attribute::kFlowIsSent);
        const auto* nvlink = find_attribute(in, attribute::kFlowOverNvlink);
        const auto* bytes = find_attribute(in, attribute::kFlowBytes);
        const auto* counts = find_attribute(in, attribute::kFlowCount);
        const auto* shares = find_attribute(in, attribute::kFlowLinkShare);
        const int size = peers->int32_list().values_size();
        if (sent == nullptr || nvlink == nullptr || bytes == nullptr || counts == nullptr ||
            shares == nullptr || find_attribute(in, attribute::kStartup) == nullptr ||
            sent->bool_list().values_size() != size || nvlink->bool_list().values_size() != size ||
            bytes->double_list().values_size() != size ||
            counts->int32_list().values_size() != size ||
            shares->double_list().values_size() != size) {
            problem(in, "its flows (r1sim.flow_…) are not lists of equal length");
            return;
        }
        constexpr std::int64_t kGpusMax = 1 << 20;
        collective.flows_gpus_per_node =
            static_cast<std::int32_t>(required(in, attribute::kGpusPerNode, kGpusMax));
        bool fit = true;
        for (int i = 0; i < size; ++i) {
            const ChakraFlow flow{
                peers->int32_list().values(i),  sent->bool_list().values(i),
                nvlink->bool_list().values(i),  Bytes(bytes->double_list().values(i)),
                counts->int32_list().values(i), shares->double_list().values(i)};
            fit = fit && flow.peer >= -1 && flow.peer < static_cast<std::int64_t>(count_) &&
                  flow.bytes.value() >= 0 && flow.bytes.value() < 1e18 && flow.count > 0 &&
                  flow.link_share >= 0 && std::isfinite(flow.link_share) &&
                  (flow.is_sent || flow.peer == -1);
            collective.parts.back().flows.push_back(flow);
        }
        if (!fit) {
            problem(in, "its flows (r1sim.flow_…) are out of range");
        }
    }

    // Whoever is in a group takes part in all that it does; without a name, all ranks do.
    void check_collectives() {
        std::map<std::string, std::size_t> members;
        for (const auto& [key, which] : collectives_) {
            const auto& [group, ordinal] = key;
            const std::vector<ChakraPart>& parts = job_.collectives[which].parts;
            const std::size_t of_first = group.empty() ? count_ : parts.size();
            const std::size_t wanted = members.try_emplace(group, of_first).first->second;
            if (parts.size() != wanted) {
                const ChakraPart& part = parts.front();
                problem(part.rank, job_.ranks[part.rank][part.node].id,
                        fmt::format("{} of {} ranks of its group ('{}') take part in it",
                                    parts.size(), wanted, group));
            }
        }
    }

    std::uint32_t count_;  // of the ranks
    std::vector<std::string> names_;
    std::int64_t nodes_ = 0;
    Diagnostics diagnostics_;
    ChakraJob job_;
    std::uint32_t rank_ = 0;                         // that is being added
    std::map<std::string, std::uint64_t> ordinals_;  // of its collectives, by group
    std::map<MessageKey, MessageEnds> messages_;
    std::map<std::pair<std::string, std::uint64_t>, std::uint32_t> collectives_;
};

}  // namespace

std::int64_t ChakraJob::nodes() const {
    std::int64_t count = 0;
    for (const std::vector<ChakraNode>& rank : ranks) {
        count += static_cast<std::int64_t>(rank.size());
    }
    return count;
}

ChakraJob chakra_job(std::uint32_t ranks, const std::function<ChakraFile(std::uint32_t)>& file) {
    JobReader reader(ranks);
    for (std::uint32_t rank = 0; rank < ranks; ++rank) {
        reader.add(file(rank));
    }
    return reader.job();
}

}  // namespace r1
