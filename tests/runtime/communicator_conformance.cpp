#include "tests/runtime/communicator_conformance.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

#include "model/base/check.hpp"
#include "runtime/collectives.hpp"

namespace r1::testing {

namespace {

using Bytes = std::vector<std::byte>;
using Requests = std::vector<std::unique_ptr<Request>>;

// A message that depends on all of these, so that none can stand for another.
Bytes message(int from, int to, std::uint64_t channel, std::size_t number, std::size_t size) {
    Bytes bytes(size);
    auto state = static_cast<std::uint64_t>(from * 64 + to) * 0x9e3779b97f4a7c15U +
                 channel * 0xd1b54a32d192ed03U + number * 0x2545f4914f6cdd1dU;
    for (std::byte& byte : bytes) {
        state = state * 6364136223846793005U + 1442695040888963407U;
        byte = static_cast<std::byte>(state >> 56);
    }
    return bytes;
}

template <class Call>
bool fails(Call call) {
    try {
        call();
    } catch (const CommunicatorError&) {
        return true;
    }
    return false;
}

std::vector<int> everyone(const Communicator& rank) {
    std::vector<int> ranks(static_cast<std::size_t>(rank.ranks()));
    std::iota(ranks.begin(), ranks.end(), 0);
    return ranks;
}

// Every second rank, the calling one among them.
std::vector<int> every_second(const Communicator& rank) {
    std::vector<int> ranks;
    for (int r = rank.rank() % 2; r < rank.ranks(); r += 2) ranks.push_back(r);
    return ranks;
}

// Each rank sends each, itself among them, messages of many sizes on one channel. All receives are
// started first and waited for last to first: what counts is the order in which they started.
void messages_arrive_in_order(Communicator& rank) {
    const std::size_t sizes[] = {3, 0, 100'000, 1, 4096, 70'000, 0, 17};
    constexpr std::uint64_t kChannel = 3;
    struct Expected {
        Bytes wanted;
        Bytes found;
    };
    std::vector<Expected> expected;
    std::vector<Bytes> sent;
    Requests receives;
    Requests sends;
    for (int peer = 0; peer < rank.ranks(); ++peer) {
        for (std::size_t i = 0; i < std::size(sizes); ++i) {
            expected.push_back({message(peer, rank.rank(), kChannel, i, sizes[i]), {}});
            expected.back().found.resize(sizes[i]);
            receives.push_back(
                rank.receive(peer, kChannel, MessageKind::pipeline, expected.back().found));
        }
    }
    for (int peer = 0; peer < rank.ranks(); ++peer) {
        for (std::size_t i = 0; i < std::size(sizes); ++i) {
            sent.push_back(message(rank.rank(), peer, kChannel, i, sizes[i]));
            sends.push_back(rank.send(peer, kChannel, MessageKind::pipeline, sent.back()));
        }
    }
    for (auto receive = receives.rbegin(); receive != receives.rend(); ++receive) {
        (*receive)->wait();
        (*receive)->wait();  // does nothing
    }
    for (const auto& send : sends) send->wait();
    for (const Expected& pair : expected) R1_CHECK(pair.found == pair.wanted);
}

// The receiver takes channels in another order than the sender fills them, numbers beyond 32 bits
// among them.
void channels_are_independent(Communicator& rank) {
    const std::uint64_t channels[] = {0, 1, 1ULL << 31U, 1ULL << 40U, ~0ULL};
    const int to = (rank.rank() + 1) % rank.ranks();
    const int from = (rank.rank() + rank.ranks() - 1) % rank.ranks();
    std::vector<Bytes> sent;
    Requests sends;
    for (const std::uint64_t channel : channels) {
        sent.push_back(message(rank.rank(), to, channel, 0, 64));
        sends.push_back(rank.send(to, channel, MessageKind::notify, sent.back()));
    }
    for (std::size_t i = std::size(channels); i-- > 0;) {
        Bytes found(64);
        rank.receive(from, channels[i], MessageKind::notify, found)->wait();
        R1_CHECK(found == message(from, rank.rank(), channels[i], 0, 64));
    }
    for (const auto& send : sends) send->wait();
}

// Several threads of each rank, each with channels of its own: messages around the ring and sums.
void threads_use_channels_at_once(Communicator& rank) {
    constexpr int kThreads = 4;
    constexpr std::size_t kRounds = 20;
    const int to = (rank.rank() + 1) % rank.ranks();
    const int from = (rank.rank() + rank.ranks() - 1) % rank.ranks();
    const std::vector<int> group = everyone(rank);
    in_threads(rank, kThreads, [&](int thread) {
        const auto channel = 100 + 2 * static_cast<std::uint64_t>(thread);
        for (std::size_t round = 0; round < kRounds; ++round) {
            const std::size_t size = 1 + round * 700;
            const Bytes sent = message(rank.rank(), to, channel, round, size);
            Bytes found(size);
            const auto send = rank.send(to, channel, MessageKind::dispatch, sent);
            const auto receive = rank.receive(from, channel, MessageKind::dispatch, found);
            std::vector<float> sums(5, static_cast<float>(rank.rank() + thread));
            all_reduce({rank, group, channel + 1}, sums);
            receive->wait();
            send->wait();
            R1_CHECK(found == message(from, rank.rank(), channel, round, size));
            const int n = rank.ranks();
            const int ranks_sum = n * (n - 1) / 2;
            const auto sum = static_cast<float>(ranks_sum + n * thread);
            R1_CHECK(sums == std::vector<float>(5, sum));
        }
    });
}

// Too short, too long, nothing for something: the receiver gets an error, the channel lives on.
void size_mismatches_are_errors(Communicator& rank) {
    const std::size_t sent_sizes[] = {8, 9, 0, 5, 300'000, 12, 200'000};
    const std::size_t wanted_sizes[] = {9, 8, 5, 0, 12, 300'000, 200'001};
    constexpr std::uint64_t kChannel = 8;
    const int to = (rank.rank() + 1) % rank.ranks();
    const int from = (rank.rank() + rank.ranks() - 1) % rank.ranks();
    for (std::size_t i = 0; i < std::size(sent_sizes); ++i) {
        const Bytes sent(sent_sizes[i]);
        Bytes found(wanted_sizes[i]);
        const auto receive = rank.receive(from, kChannel, MessageKind::pipeline, found);
        const auto send = rank.send(to, kChannel, MessageKind::pipeline, sent);
        R1_CHECK(fails([&] { receive->wait(); }));
        send->wait();
    }
    const Bytes sent = message(rank.rank(), to, kChannel, 0, 8);
    Bytes found(8);
    const auto send = rank.send(to, kChannel, MessageKind::pipeline, sent);
    rank.receive(from, kChannel, MessageKind::pipeline, found)->wait();
    send->wait();
    R1_CHECK(found == message(from, rank.rank(), kChannel, 0, 8));
}

// 10 (to + 1) + kind bytes to each rank, for each kind: by kind, the sums over the other ranks of
// the own node and of other nodes.
void traffic_is_exact(Communicator& rank) {
    rank.reset_traffic();
    R1_CHECK(rank.traffic() == Traffic{});
    Traffic expected;
    for (std::size_t kind = 0; kind < kMessageKinds; ++kind) {
        const auto size = [&](int to) { return static_cast<std::size_t>(to + 1) * 10 + kind; };
        for (int peer = 0; peer < rank.ranks(); ++peer) {
            const Bytes sent(size(peer));
            Bytes found(size(rank.rank()));
            const auto send = rank.send(peer, 40 + kind, static_cast<MessageKind>(kind), sent);
            rank.receive(peer, 40 + kind, static_cast<MessageKind>(kind), found)->wait();
            send->wait();
            TrafficBytes& bytes = expected.by_kind[kind];
            if (peer == rank.rank()) continue;
            const bool same_node = rank.node_of(peer) == rank.node_of(rank.rank());
            (same_node ? bytes.nvlink : bytes.infiniband) += size(peer);
        }
    }
    R1_CHECK(rank.traffic() == expected);
    rank.reset_traffic();
    barrier({rank, everyone(rank), 50});
    R1_CHECK(rank.traffic() == Traffic{});
}

// With n ranks that divide 24 floats, all_reduce sends each other rank 24 / n floats twice: its
// part of the operands, and the sum of the own part.
void collectives_are_counted(Communicator& rank) {
    rank.reset_traffic();
    std::vector<float> data(24, 1.0F);
    const std::vector<int> group = everyone(rank);
    all_reduce({rank, group, 51, MessageKind::combine}, data);
    TrafficBytes expected;
    for (int peer = 0; peer < rank.ranks(); ++peer) {
        if (peer == rank.rank()) continue;
        const bool same_node = rank.node_of(peer) == rank.node_of(rank.rank());
        (same_node ? expected.nvlink : expected.infiniband) +=
            2 * data.size() / group.size() * sizeof(float);
    }
    R1_CHECK(rank.traffic()[MessageKind::combine] == expected);
    R1_CHECK(rank.traffic()[MessageKind::collective] == TrafficBytes{});
}

// Ranks come at different times; nobody leaves before the last came. The clock is the machine's.
void barrier_waits_for_all(Communicator& rank) {
    using Clock = std::chrono::steady_clock;
    const std::vector<int> group = everyone(rank);
    for (int last = 0; last < rank.ranks(); ++last) {
        if (rank.rank() == last) std::this_thread::sleep_for(std::chrono::milliseconds(5));
        const std::int64_t came = Clock::now().time_since_epoch().count();
        barrier({rank, group, 60});
        const std::int64_t left = Clock::now().time_since_epoch().count();
        std::vector<std::int64_t> all(group.size());
        all_gather({rank, group, 61}, std::as_bytes(std::span(&came, 1)),
                   std::as_writable_bytes(std::span(all)));
        R1_CHECK(all[static_cast<std::size_t>(rank.rank())] == came);
        R1_CHECK(*std::max_element(all.begin(), all.end()) <= left);
    }
}

// Element i of rank r: ones that round differently in another order of summation.
float operand(int rank, std::size_t i) {
    const float scale[] = {1.0F, 1e-4F, 3e7F, -3e7F};
    return scale[(static_cast<std::size_t>(rank) * 3 + i) % 4] *
           (1.0F + static_cast<float>(i % 1013) / 1024.0F);
}

std::vector<float> operands(int rank, std::size_t count) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = operand(rank, i);
    return values;
}

// ((x0 + x1) + x2) + ... by rank.
std::vector<float> sums_in_rank_order(const std::vector<int>& group, std::size_t count) {
    std::vector<float> sums = operands(group[0], count);
    for (std::size_t rank = 1; rank < group.size(); ++rank) {
        for (std::size_t i = 0; i < count; ++i) sums[i] += operand(group[rank], i);
    }
    return sums;
}

// Fewer elements than ranks, uneven parts, several chunks with an uneven rest.
std::vector<std::size_t> counts_for(std::size_t ranks) {
    return {0, 1, ranks - 1, ranks, 1000, 70'000 * ranks + ranks / 2};
}

void reductions_sum_in_rank_order(Communicator& rank) {
    for (const std::vector<int>& ranks : {everyone(rank), every_second(rank)}) {
        const CollectiveGroup group{rank, ranks, 70};
        const auto own = static_cast<std::size_t>(
            std::find(ranks.begin(), ranks.end(), rank.rank()) - ranks.begin());
        for (const std::size_t count : counts_for(ranks.size())) {
            const std::vector<float> sums = sums_in_rank_order(ranks, count);
            const std::vector<float> data = operands(rank.rank(), count);
            std::vector<float> reduced = data;
            all_reduce(group, reduced);
            R1_CHECK(reduced == sums);

            const Part part = parts(count, ranks.size())[own];
            const std::span<const float> wanted = std::span(sums).subspan(part.begin, part.count);
            std::vector<float> apart(part.count);
            reduce_scatter(group, data, apart);
            R1_CHECK(std::equal(apart.begin(), apart.end(), wanted.begin(), wanted.end()));
            std::vector<float> in_place = data;
            const std::span<float> place = std::span(in_place).subspan(part.begin, part.count);
            reduce_scatter(group, in_place, place);
            R1_CHECK(std::equal(place.begin(), place.end(), wanted.begin(), wanted.end()));
        }
    }
}

// Rank r gives 1000 r^2 + r bytes, so rank 0 nothing; from its own memory and in place.
void gathers_take_any_sizes(Communicator& rank) {
    const std::vector<int> ranks = everyone(rank);
    std::vector<std::size_t> counts;
    Bytes wanted;
    std::size_t own_begin = 0;
    for (const int r : ranks) {
        const auto number = static_cast<std::size_t>(r);
        const std::size_t size = 1000 * number * number + number;
        const Bytes part = message(r, 0, 80, 0, size);
        if (r == rank.rank()) own_begin = wanted.size();
        counts.push_back(size);
        wanted.insert(wanted.end(), part.begin(), part.end());
    }
    const auto own = counts[static_cast<std::size_t>(rank.rank())];
    const Bytes mine = message(rank.rank(), 0, 80, 0, own);
    Bytes found(wanted.size());
    all_gather_v({rank, ranks, 80}, mine, found, counts);
    R1_CHECK(found == wanted);

    Bytes in_place(wanted.size());
    std::copy(mine.begin(), mine.end(), in_place.begin() + static_cast<std::ptrdiff_t>(own_begin));
    all_gather_v({rank, ranks, 80}, std::span(in_place).subspan(own_begin, own), in_place, counts);
    R1_CHECK(in_place == wanted);
}

// Rank r sends rank c 50 ((3 r + 5 c) mod 7) bytes: asymmetric, some nothing, itself too.
void all_to_all_takes_any_sizes(Communicator& rank) {
    for (const std::vector<int>& ranks : {everyone(rank), every_second(rank)}) {
        Bytes sent;
        Bytes wanted;
        std::vector<std::size_t> send_counts;
        std::vector<std::size_t> receive_counts;
        const auto add = [](int from, int to, Bytes& bytes, std::vector<std::size_t>& counts) {
            const auto size = static_cast<std::size_t>(50 * ((3 * from + 5 * to) % 7));
            const Bytes part = message(from, to, 81, 0, size);
            bytes.insert(bytes.end(), part.begin(), part.end());
            counts.push_back(size);
        };
        for (const int peer : ranks) {
            add(rank.rank(), peer, sent, send_counts);
            add(peer, rank.rank(), wanted, receive_counts);
        }
        Bytes found(wanted.size());
        all_to_all_v({rank, ranks, 81, MessageKind::dispatch}, sent, send_counts, found,
                     receive_counts);
        R1_CHECK(found == wanted);
    }
}

// The last rank expects a byte from rank 0, which has nothing for it: an error there, no hang.
void disagreement_is_an_error(Communicator& rank) {
    if (rank.ranks() == 1) return;
    const std::vector<int> ranks = everyone(rank);
    const std::vector<std::size_t> nothing(ranks.size(), 0);
    std::vector<std::size_t> expected = nothing;
    const bool misled = rank.rank() + 1 == rank.ranks();
    if (misled) expected[0] = 1;
    Bytes found(misled ? 1 : 0);
    const bool failed = fails([&] {
        all_to_all_v({rank, ranks, 82}, {}, nothing, found, expected);
    });
    R1_CHECK(failed == misled);
}

// Sums of all ranks and of every second one run at once, on channels of their own.
void collectives_run_at_once(Communicator& rank) {
    in_threads(rank, 3, [&](int thread) {
        const std::vector<int> ranks = thread == 0 ? everyone(rank) : every_second(rank);
        const CollectiveGroup group{rank, ranks, 90 + static_cast<std::uint64_t>(thread)};
        for (std::size_t count = 1; count < 4000; count *= 3) {
            std::vector<float> data = operands(rank.rank(), count);
            all_reduce(group, data);
            R1_CHECK(data == sums_in_rank_order(ranks, count));
            barrier(group);
        }
    });
}

const ConformanceCase kCases[] = {
    {"messages arrive in order", messages_arrive_in_order},
    {"channels are independent", channels_are_independent},
    {"threads use channels at once", threads_use_channels_at_once},
    {"size mismatches are errors", size_mismatches_are_errors},
    {"traffic is exact", traffic_is_exact},
    {"collectives are counted", collectives_are_counted},
    {"a barrier waits for all", barrier_waits_for_all},
    {"reductions sum in rank order", reductions_sum_in_rank_order},
    {"gathers take any sizes", gathers_take_any_sizes},
    {"all-to-all takes any sizes", all_to_all_takes_any_sizes},
    {"disagreement is an error", disagreement_is_an_error},
    {"collectives run at once", collectives_run_at_once},
};

}  // namespace

std::span<const ConformanceCase> conformance_cases() { return kCases; }

void in_threads(Communicator& rank, int threads, const std::function<void(int)>& work) {
    std::mutex mutex;
    std::exception_ptr first;
    std::vector<std::jthread> running;
    for (int thread = 0; thread < threads; ++thread) {
        running.emplace_back([&, thread] {
            try {
                work(thread);
            } catch (const std::exception& error) {
                {
                    const std::lock_guard lock(mutex);
                    if (first == nullptr) first = std::current_exception();
                }
                rank.abort(error.what());
            }
        });
    }
    running.clear();  // joins
    if (first != nullptr) std::rethrow_exception(first);
}

}  // namespace r1::testing
