// Messages of one exchange that are under way, with the memory that they need until then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "runtime/communicator.hpp"
#include "runtime/memory.hpp"

namespace r1 {

class Messages {
public:
    using Buffer = DeviceArray<std::byte>;

    Messages(Communicator& communicator, std::uint64_t channel, MessageKind kind)
        : communicator_(communicator), channel_(channel), kind_(kind) {}

    // Empty messages are not sent: both ends know the size.
    void send(int to, Buffer data) {
        kept_.push_back(std::make_unique<Buffer>(std::move(data)));
        if (!kept_.back()->empty()) {
            requests_.push_back(
                communicator_.get().send(to, channel_, kind_, kept_.back()->span()));
        }
    }
    // The memory is filled when wait() has returned, as Request::wait() has it.
    Buffer& receive(int from, Memory& memory, std::size_t bytes) {
        kept_.push_back(std::make_unique<Buffer>(memory, bytes));
        if (bytes > 0) {
            requests_.push_back(
                communicator_.get().receive(from, channel_, kind_, kept_.back()->span()));
        }
        return *kept_.back();
    }
    void wait() {
        for (const std::unique_ptr<Request>& request : requests_) {
            request->wait();
        }
        requests_.clear();
    }

private:
    std::reference_wrapper<Communicator> communicator_;
    std::uint64_t channel_;
    MessageKind kind_;
    std::vector<std::unique_ptr<Buffer>> kept_;
    std::vector<std::unique_ptr<Request>> requests_;
};

}  // namespace r1
