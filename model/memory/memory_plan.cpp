#include "model/memory/memory_plan.hpp"

#include <array>
#include <cmath>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "model/base/check.hpp"

namespace r1 {

namespace {

// Integers: sums of many fractional sizes would depend on their order.
using ByteCount = std::int64_t;
using PerContext = std::array<std::int32_t, 2>;

// Tensor names as numbers that are the same in all templates.
class NameTable {
public:
    std::uint32_t intern(const std::string& name) {
        const auto next = static_cast<std::uint32_t>(ids_.size());
        return ids_.try_emplace(name, next).first->second;
    }
    [[nodiscard]] std::size_t size() const { return ids_.size(); }

private:
    std::unordered_map<std::string, std::uint32_t> ids_;
};

struct TensorInfo {
    ByteCount bytes = 0;
    std::uint32_t name = 0;
    TensorRole role = TensorRole::activation;
    std::uint8_t context = 0;
    bool global = false;  // of the model, not of a stage
    OpIndex producer;
    OpIndex last_reader;  // within the template
};

// What running a template does to the live activations, relative to those alive before.
struct Profile {
    ByteCount peak = 0;
    ByteCount change = 0;
    // Tensors, by context of the template.
    PerContext tensors_at_peak{};
    PerContext tensors_change{};
};

struct TemplateInfo {
    std::size_t ops = 0;
    std::vector<TensorInfo> tensors;
    // Activations whose life may cross the borders of the template.
    std::vector<TensorId> made;   // here, and read from outside in some template
    std::vector<TensorId> taken;  // made before
    // By which of `made`, then `taken`, live on afterwards. Micro-batches differ only in this, and
    // that at the ends of the schedule, so few profiles serve all items.
    std::unordered_map<std::vector<bool>, Profile> profiles;
};

using StoredBits = std::function<double(const Tensor&)>;

double bytes_of(const Tensor& tensor, const SymbolValues& bound, const StoredBits& stored_bits) {
    return stored_bits ? elements(tensor).value(bound) * stored_bits(tensor) / 8
                       : bytes(tensor).value(bound);
}

TemplateInfo read_template(const ChunkTemplate& chunk, const SymbolValues& bound,
                           const StoredBits& stored_bits, NameTable& names) {
    TemplateInfo info;
    info.ops = chunk.ops.size();
    for (const Tensor& tensor : chunk.tensors) {
        R1_CHECK(tensor.context < 2);  // an item has two
        TensorInfo entry;
        entry.bytes = static_cast<ByteCount>(std::ceil(bytes_of(tensor, bound, stored_bits)));
        entry.name = names.intern(tensor.name);
        entry.role = tensor.role;
        entry.context = tensor.context;
        entry.global = is_global(tensor);
        info.tensors.push_back(entry);
    }
    for (std::size_t i = 0; i < chunk.ops.size(); ++i) {
        for (const TensorId input : chunk.ops[i].inputs) {
            info.tensors[input.index()].last_reader = OpIndex(i);
        }
        for (const TensorId output : chunk.ops[i].outputs) {
            info.tensors[output.index()].producer = OpIndex(i);
        }
    }
    info.taken = external_activations(chunk);
    return info;
}

Profile make_profile(const TemplateInfo& info, const std::vector<bool>& lives_on) {
    struct Event {
        ByteCount bytes = 0;
        PerContext tensors{};
    };
    std::vector<bool> kept(info.tensors.size());
    for (std::size_t i = 0; i < lives_on.size(); ++i) {
        const TensorId id = i < info.made.size() ? info.made[i] : info.taken[i - info.made.size()];
        kept[id.index()] = lives_on[i];
    }
    std::vector<Event> begins(info.ops);
    std::vector<Event> ends(info.ops);
    const auto count = [](Event& event, const TensorInfo& tensor) {
        event.bytes += tensor.bytes;
        ++event.tensors[tensor.context];
    };
    for (std::size_t t = 0; t < info.tensors.size(); ++t) {
        const TensorInfo& tensor = info.tensors[t];
        if (tensor.role != TensorRole::activation) {
            continue;
        }
        if (tensor.producer.valid()) {
            count(begins[tensor.producer.index()], tensor);
        }
        const OpIndex last = tensor.last_reader.valid() ? tensor.last_reader : tensor.producer;
        if (!kept[t] && last.valid()) {
            count(ends[last.index()], tensor);
        }
    }
    Profile profile;
    for (std::size_t i = 0; i < info.ops; ++i) {
        profile.change += begins[i].bytes;
        for (std::size_t c = 0; c < profile.tensors_change.size(); ++c) {
            profile.tensors_change[c] += begins[i].tensors[c];
        }
        if (profile.change > profile.peak) {
            profile.peak = profile.change;
            profile.tensors_at_peak = profile.tensors_change;
        }
        profile.change -= ends[i].bytes;
        for (std::size_t c = 0; c < profile.tensors_change.size(); ++c) {
            profile.tensors_change[c] -= ends[i].tensors[c];
        }
    }
    return profile;
}

// The templates of a graph with its symbols bound.
class Templates {
public:
    Templates(const ExecutionGraph& graph, const SymbolValues& bound,
              const StoredBits& stored_bits) {
        for (const ChunkTemplate& chunk : graph.templates()) {
            infos_.push_back(read_template(chunk, bound, stored_bits, names_));
        }
        std::vector<bool> taken(names_.size());  // by some template
        for (const TemplateInfo& info : infos_) {
            for (const TensorId id : info.taken) {
                taken[info.tensors[id.index()].name] = true;
            }
        }
        for (TemplateInfo& info : infos_) {
            for (std::size_t t = 0; t < info.tensors.size(); ++t) {
                const TensorInfo& tensor = info.tensors[t];
                if (tensor.role == TensorRole::activation && tensor.producer.valid() &&
                    taken[tensor.name]) {
                    info.made.push_back(TensorId(t));
                }
            }
        }
    }

    [[nodiscard]] const TemplateInfo& at(TemplateId id) const { return infos_[id.index()]; }
    [[nodiscard]] std::size_t names() const { return names_.size(); }

    const Profile& profile(TemplateId id, const std::vector<bool>& lives_on) {
        TemplateInfo& info = infos_[id.index()];
        const auto [entry, is_new] = info.profiles.try_emplace(lives_on);
        if (is_new) {
            entry->second = make_profile(info, lives_on);
        }
        return entry->second;
    }

private:
    std::vector<TemplateInfo> infos_;
    NameTable names_;
};

// The contexts of a program's items as numbers.
class Contexts {
public:
    explicit Contexts(const RankProgram& program) {
        for (const Item& item : program.items) {
            std::array<std::size_t, 2> both{};
            for (std::size_t c = 0; c < both.size(); ++c) {
                const Context& context = item.contexts[c];
                const auto [entry, is_new] = ids_.try_emplace(
                    {context.stage, context.direction, context.micro_batch}, ids_.size());
                both[c] = entry->second;
                if (is_new) {
                    is_micro_batch_.push_back(context.micro_batch >= 0);
                }
            }
            of_item_.push_back(both);
        }
    }

    [[nodiscard]] std::size_t size() const { return is_micro_batch_.size(); }
    [[nodiscard]] const std::array<std::size_t, 2>& of(std::size_t item) const {
        return of_item_[item];
    }
    // The optimizer's contexts are stages only.
    [[nodiscard]] bool is_micro_batch(std::size_t context) const {
        return is_micro_batch_[context];
    }

private:
    std::map<std::tuple<std::int32_t, std::int32_t, std::int32_t>, std::size_t> ids_;
    std::vector<std::array<std::size_t, 2>> of_item_;
    std::vector<bool> is_micro_batch_;
};

// The profile of each item: walks backwards, because the readers to come decide what lives on.
std::vector<const Profile*> item_profiles(const RankProgram& program, const Contexts& contexts,
                                          Templates& templates) {
    std::vector<const Profile*> profiles(program.items.size());
    // By context and name: whether something after here reads what is there now.
    std::vector<char> wanted(contexts.size() * templates.names());
    std::vector<bool> lives_on;
    for (std::size_t i = program.items.size(); i-- > 0;) {
        const TemplateId chunk = program.items[i].chunk;
        const TemplateInfo& info = templates.at(chunk);
        const auto wanted_here = [&](TensorId id) -> char& {
            const TensorInfo& tensor = info.tensors[id.index()];
            return wanted[contexts.of(i)[tensor.context] * templates.names() + tensor.name];
        };
        lives_on.clear();
        for (const TensorId id : info.made) {
            char& later = wanted_here(id);
            lives_on.push_back(later != 0);
            later = 0;  // what an earlier item made under this name is not what they read
        }
        for (const TensorId id : info.taken) {
            char& later = wanted_here(id);
            lives_on.push_back(later != 0);
            later = 1;
        }
        profiles[i] = &templates.profile(chunk, lives_on);
    }
    return profiles;
}

int micro_batches_alive(const Contexts& contexts, const std::vector<std::int64_t>& tensors,
                        std::size_t item, const Profile& profile) {
    std::vector<std::int64_t> at_peak = tensors;
    for (std::size_t c = 0; c < profile.tensors_at_peak.size(); ++c) {
        at_peak[contexts.of(item)[c]] += profile.tensors_at_peak[c];
    }
    int alive = 0;
    for (std::size_t context = 0; context < at_peak.size(); ++context) {
        if (at_peak[context] > 0 && contexts.is_micro_batch(context)) {
            ++alive;
        }
    }
    return alive;
}

void plan_activations(const RankProgram& program, Templates& templates, RankMemory& memory) {
    const Contexts contexts(program);
    const std::vector<const Profile*> profiles = item_profiles(program, contexts, templates);
    ByteCount live = 0;
    ByteCount peak = 0;
    std::vector<std::int64_t> tensors(contexts.size());  // alive, by context
    // At the end nothing lives, so what the items free and none of them made was given.
    for (std::size_t i = 0; i < profiles.size(); ++i) {
        live -= profiles[i]->change;
        for (std::size_t c = 0; c < profiles[i]->tensors_change.size(); ++c) {
            tensors[contexts.of(i)[c]] -= profiles[i]->tensors_change[c];
        }
    }
    R1_CHECK(program.given.empty() ? live == 0 : live >= 0);
    for (std::size_t i = 0; i < profiles.size(); ++i) {
        const Profile& profile = *profiles[i];
        if (live + profile.peak > peak) {
            peak = live + profile.peak;
            memory.peak_item = ItemIndex(i);
            memory.micro_batches_at_peak = micro_batches_alive(contexts, tensors, i, profile);
        }
        live += profile.change;
        for (std::size_t c = 0; c < profile.tensors_change.size(); ++c) {
            tensors[contexts.of(i)[c]] += profile.tensors_change[c];
        }
    }
    memory.activations_peak = Bytes(static_cast<double>(peak));
}

void plan_state(const RankProgram& program, const Templates& templates, RankMemory& memory) {
    constexpr std::int32_t kNoStage = -1;
    const auto key = [](std::int32_t stage, std::uint32_t value) {
        return static_cast<std::uint64_t>(static_cast<std::uint32_t>(stage)) << 32U | value;
    };
    std::unordered_map<std::uint64_t, const TensorInfo*> state;  // by (stage, name)
    std::map<std::tuple<std::uint32_t, std::int32_t, std::int32_t>, bool> seen;
    for (const Item& item : program.items) {
        if (!seen.try_emplace({item.chunk.value, item.contexts[0].stage, item.contexts[1].stage})
                 .second) {
            continue;  // the same template for the same stages names the same state
        }
        for (const TensorInfo& tensor : templates.at(item.chunk).tensors) {
            if (tensor.role != TensorRole::activation && tensor.role != TensorRole::input) {
                const std::int32_t stage =
                    tensor.global ? kNoStage : item.contexts[tensor.context].stage;
                state.try_emplace(key(stage, tensor.name), &tensor);
            }
        }
    }
    ByteCount weights = 0;
    ByteCount gradients = 0;
    ByteCount optimizer = 0;
    ByteCount cache = 0;
    for (const auto& [where, tensor] : state) {
        ByteCount& kind = tensor->role == TensorRole::parameter  ? weights
                          : tensor->role == TensorRole::gradient ? gradients
                          : tensor->role == TensorRole::cache    ? cache
                                                                 : optimizer;
        kind += tensor->bytes;
    }
    memory.weights = Bytes(static_cast<double>(weights));
    memory.gradients = Bytes(static_cast<double>(gradients));
    memory.optimizer = Bytes(static_cast<double>(optimizer));
    memory.cache = Bytes(static_cast<double>(cache));
}

}  // namespace

MemoryPlan plan_memory(const ExecutionGraph& graph, const SymbolValues& bound,
                       const std::function<double(const Tensor&)>& stored_bits) {
    Templates templates(graph, bound, stored_bits);
    MemoryPlan plan;
    for (const RankProgram& program : graph.programs()) {
        RankMemory memory;
        plan_activations(program, templates, memory);
        plan_state(program, templates, memory);
        plan.programs.push_back(memory);
    }
    return plan;
}

}  // namespace r1
