// Messages between GPUs of processes, by NCCL. Its calls carry no tags and do not say when a peer
// expects another size, so each message is announced through the communicator of the hosts, which
// also carries what lies in the hosts' memory:
//   - What a rank's exchanges and collectives send and expect until they wait goes in one NCCL
//     group. All ranks of them come to it in one order, each in the thread of one stream of the
//     graph (Device::attach). What one rank starts before a wait, its peers must not start after
//     theirs, even if that waits for nothing: groups that are divided otherwise wait for each
//     other.
//   - Pipeline messages, and whatever other threads send, come in orders of their own at both ends.
//     A pair of ranks (DeviceLinks) has a communicator for each direction, the receiver takes
//     messages in the order of their announcements, and keeps those that it is not asked for yet.
#pragma once

#include <memory>

#include "runtime/communicator.hpp"
#include "runtime/device.hpp"

namespace r1 {

// All ranks call it with the same links. `host` has the same ranks and outlives it; the process's
// GPU is chosen (cuda_devices()), `memory` is its.
std::unique_ptr<Communicator> connect_by_nccl(Communicator& host, Memory& memory,
                                              const DeviceLinks& links);

}  // namespace r1
