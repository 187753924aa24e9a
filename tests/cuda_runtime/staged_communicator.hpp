// The host's messages by way of a device's memory: so that what a suite sends from the host travels
// as a device's messages do.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "runtime/communicator.hpp"
#include "runtime/memory.hpp"

namespace r1::test {

class StagedCommunicator final : public Communicator {
public:
    StagedCommunicator(Communicator& inner, Memory& memory)
        : Communicator(inner.rank(), inner.ranks(), inner.ranks_per_node()),
          inner_(inner),
          memory_(memory) {}

    void abort(const std::string& why, ExitCode code) override { inner_.abort(why, code); }

private:
    struct Staged final : Request {
        explicit Staged(Memory& memory, std::size_t bytes) : stage(memory, bytes) {}
        void wait() override {
            request->wait();
            if (!to.empty()) {
                stage.memory().copy(to.data(), stage.data(), to.size());
                to = {};
            }
        }
        DeviceArray<std::byte> stage;
        std::unique_ptr<Request> request;  // goes first: it uses the stage
        std::span<std::byte> to;
    };

    std::unique_ptr<Request> start_send(int to, std::uint64_t channel, MessageKind kind,
                                        std::span<const std::byte> data) override {
        if (is_of_host(kind)) {
            return inner_.send(to, channel, kind, data);
        }
        auto staged = std::make_unique<Staged>(memory_, data.size());
        memory_.copy(staged->stage.data(), data.data(), data.size());
        staged->request = inner_.send(to, channel, kind, staged->stage.span());
        return staged;
    }
    std::unique_ptr<Request> start_receive(int from, std::uint64_t channel, MessageKind kind,
                                           std::span<std::byte> data) override {
        if (is_of_host(kind)) {
            return inner_.receive(from, channel, kind, data);
        }
        auto staged = std::make_unique<Staged>(memory_, data.size());
        staged->to = data;
        staged->request = inner_.receive(from, channel, kind, staged->stage.span());
        return staged;
    }

    Communicator& inner_;
    Memory& memory_;
};

}  // namespace r1::test
