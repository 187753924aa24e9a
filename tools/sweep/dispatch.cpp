#include "tools/sweep/dispatch.hpp"

#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <thread>

#include "tools/sweep/sweep_line.hpp"
#include "tools/sweep/worker_process.hpp"

namespace r1 {

namespace {

constexpr int kAttempts = 2;
constexpr std::int64_t kNoMorePoints = -1;

class LocalWorker {
public:
    LocalWorker(const Sweep& sweep, std::vector<std::string> arguments)
        : sweep_(sweep), arguments_(std::move(arguments)) {}

    std::string operator()(std::size_t point) {
        std::string death;
        for (int attempt = 0; attempt < kAttempts; ++attempt) {
            if (process_ == nullptr) {
                start();
            }
            process_->send(std::to_string(point));
            if (const std::optional<std::string> line = process_->receive()) {
                return *line;
            }
            death = process_->how_it_ended();
            process_.reset();
        }
        return failed_line(sweep_, point,
                           {kInternalError, "r1sim: the process that simulated it " + death})
            .dump();
    }

private:
    void start() {
        process_ = std::make_unique<WorkerProcess>(arguments_);
        const std::optional<std::string> greeting = process_->receive();
        // None: it died, and is treated as one that dies of its point.
        if (greeting && *greeting != sweep_.hash) {
            throw InputError(sweep_.name, "the sweep or its base changed while it ran");
        }
    }

    const Sweep& sweep_;
    std::vector<std::string> arguments_;
    std::unique_ptr<WorkerProcess> process_;
};

// Runs one call a thread; rethrows the first exception when all have returned.
void run_all(const std::vector<std::function<void()>>& calls,
             const std::function<void(const std::string& why)>& failed) {
    std::mutex mutex;
    std::exception_ptr first;
    std::vector<std::jthread> threads;  // joined too where one more cannot be started
    for (const std::function<void()>& call : calls) {
        threads.emplace_back([&, call] {
            try {
                call();
            } catch (const std::exception& error) {
                const std::lock_guard lock(mutex);
                first = first ? first : std::current_exception();
                failed(error.what());
            }
        });
    }
    threads.clear();
    if (first) {
        std::rethrow_exception(first);
    }
}

// Requests to a slot go on one channel, its replies on the next.
std::uint64_t request_channel(int slot) { return 2 * static_cast<std::uint64_t>(slot); }
std::uint64_t reply_channel(int slot) { return request_channel(slot) + 1; }

void send_number(Communicator& communicator, int to, std::uint64_t channel, std::int64_t number) {
    communicator.send(to, channel, MessageKind::report, std::as_bytes(std::span(&number, 1)))
        ->wait();
}

std::int64_t receive_number(Communicator& communicator, int from, std::uint64_t channel) {
    std::int64_t number = 0;
    communicator
        .receive(from, channel, MessageKind::report, std::as_writable_bytes(std::span(&number, 1)))
        ->wait();
    return number;
}

}  // namespace

PointWorker local_worker(const Sweep& sweep, std::vector<std::string> arguments) {
    return [worker = std::make_shared<LocalWorker>(sweep, std::move(arguments))](
               std::size_t point) { return (*worker)(point); };
}

void work_off(PointQueue& queue, const std::vector<PointWorker>& workers,
              const std::function<void(std::size_t point, const std::string& line)>& done) {
    std::mutex mutex;
    std::vector<std::function<void()>> calls;
    for (std::size_t worker = 0; worker < workers.size(); ++worker) {
        calls.emplace_back([&, worker] {
            while (const std::optional<std::size_t> point = queue.take(worker)) {
                const std::string line = workers[worker](*point);
                const std::lock_guard lock(mutex);
                done(*point, line);
            }
        });
    }
    run_all(calls, [&](const std::string&) { queue.stop(); });
}

std::vector<PointWorker> remote_workers(Communicator& communicator, int slots) {
    std::vector<PointWorker> workers;
    for (int rank = 1; rank < communicator.ranks(); ++rank) {
        for (int slot = 0; slot < slots; ++slot) {
            workers.emplace_back([&communicator, rank, slot](std::size_t point) {
                send_number(communicator, rank, request_channel(slot),
                            static_cast<std::int64_t>(point));
                std::string line(static_cast<std::size_t>(
                                     receive_number(communicator, rank, reply_channel(slot))),
                                 '\0');
                communicator
                    .receive(rank, reply_channel(slot), MessageKind::report,
                             std::as_writable_bytes(std::span(line)))
                    ->wait();
                return line;
            });
        }
    }
    return workers;
}

void release_ranks(Communicator& communicator, int slots) {
    for (int rank = 1; rank < communicator.ranks(); ++rank) {
        for (int slot = 0; slot < slots; ++slot) {
            send_number(communicator, rank, request_channel(slot), kNoMorePoints);
        }
    }
}

void serve_rank_0(Communicator& communicator, const std::vector<PointWorker>& workers) {
    std::vector<std::function<void()>> calls;
    for (int slot = 0; slot < static_cast<int>(workers.size()); ++slot) {
        calls.emplace_back([&, slot] {
            for (;;) {
                const std::int64_t point = receive_number(communicator, 0, request_channel(slot));
                if (point == kNoMorePoints) {
                    return;
                }
                const std::string line =
                    workers[static_cast<std::size_t>(slot)](static_cast<std::size_t>(point));
                send_number(communicator, 0, reply_channel(slot),
                            static_cast<std::int64_t>(line.size()));
                communicator
                    .send(0, reply_channel(slot), MessageKind::report,
                          std::as_bytes(std::span(line)))
                    ->wait();
            }
        });
    }
    // A slot that fails ends the job, or rank 0 would wait for it.
    run_all(calls, [&](const std::string& why) { communicator.abort(why); });
}

}  // namespace r1
