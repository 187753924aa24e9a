#include "model/workload/train.hpp"

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "model/graph/graph_builder.hpp"
#include "model/layers/optimizer.hpp"
#include "model/layers/stage.hpp"
#include "model/workload/chunks.hpp"

namespace r1 {

namespace {

ItemKind item_kind(ChunkKind kind) {
    switch (kind) {
        case ChunkKind::forward: return ItemKind::forward;
        case ChunkKind::backward_input: return ItemKind::backward_input;
        case ChunkKind::backward_weight: return ItemKind::backward_weight;
        case ChunkKind::backward: return ItemKind::backward;
        case ChunkKind::overlapped: return ItemKind::overlapped;
    }
    return ItemKind::forward;
}

Instances instances_of(const ParallelPlan& plan, int pipeline_parallel) {
    return {pipeline_parallel, plan.data_parallel * plan.tensor_parallel, plan.expert_parallel,
            plan.tensor_parallel};
}

class StepBuilder {
public:
    explicit StepBuilder(const TrainingSetup& setup)
        : setup_(setup),
          options_(setup.plan.schedule_options(setup.micro_batches)),
          layouts_(stage_layouts(setup.stage_layers)),
          builder_(instances_of(setup.plan, setup.plan.pipeline_parallel)) {
        for (const StageLayout& layout : layouts_) {
            blocks_.push_back(stage_blocks(setup_.sizes, layout));
        }
    }

    ExecutionGraph train() && {
        const Schedule schedule = make_schedule(options_);
        for (int rank = 0; rank < options_.ranks; ++rank) {
            RankProgram program = new_program(rank);
            for (const ScheduledChunk& chunk : schedule.ranks[static_cast<std::size_t>(rank)]) {
                add_chunk(program, rank, chunk);
            }
            add_optimizer(program);
            builder_.add(std::move(program));
        }
        return builder_.freeze();
    }

    ExecutionGraph forward_only() && {
        for (int rank = 0; rank < options_.ranks; ++rank) {
            RankProgram program = new_program(rank);
            for (int micro_batch = 0; micro_batch < options_.micro_batches; ++micro_batch) {
                add_chunk(program, rank, {ChunkKind::forward, {0, micro_batch}, {}});
            }
            builder_.add(std::move(program));
        }
        return builder_.freeze();
    }

private:
    [[nodiscard]] int last_stage() const { return static_cast<int>(layouts_.size()) - 1; }
    [[nodiscard]] const std::vector<Block>& blocks(int stage) const {
        return blocks_[static_cast<std::size_t>(stage)];
    }

    RankProgram new_program(int rank) const {
        RankProgram program;
        for (int direction = 0; direction < direction_count(options_); ++direction) {
            program.stages.push_back(stage_of(options_, rank, direction));
        }
        std::sort(program.stages.begin(), program.stages.end());
        return program;
    }

    // Only dualpipe has two paths through the stages; elsewhere the stage says it all.
    [[nodiscard]] Context context_of(int rank, const ChunkRef& ref) const {
        const bool two_paths = options_.kind == ScheduleKind::dualpipe;
        return {stage_of(options_, rank, ref.direction), two_paths ? ref.direction : 0,
                ref.micro_batch};
    }

    // Templates differ by kind and stages; equal ones are found again by the graph builder.
    TemplateId chunk(ChunkKind kind, int forward, int backward) {
        const auto [entry, is_new] = chunks_.try_emplace({kind, forward, backward}, TemplateId());
        if (!is_new) {
            return entry->second;
        }
        const int stage = kind == ChunkKind::forward ? forward : backward;
        const std::string name = fmt::format("{}({})", short_name(kind), stage);
        ChunkTemplate made;
        switch (kind) {
            case ChunkKind::forward: made = forward_chunk(name, blocks(forward)); break;
            case ChunkKind::overlapped:
                made = overlapped_chunk(fmt::format("FB({},{})", forward, backward),
                                        blocks(forward), blocks(backward));
                break;
            default:
                made = backward_chunk(name, blocks(backward), kind != ChunkKind::backward_weight,
                                      kind != ChunkKind::backward_input);
        }
        entry->second = builder_.add(std::move(made));
        return entry->second;
    }

    void add_message(RankProgram& program, ItemKind kind, bool forward, const Context& context,
                     int peer) {
        const ChunkTemplate message = kind == ItemKind::send ? send_chunk(setup_.sizes, forward)
                                                             : recv_chunk(setup_.sizes, forward);
        program.items.push_back({kind, builder_.add(message), {context, {}}, peer});
    }

    void add_chunk(RankProgram& program, int rank, const ScheduledChunk& scheduled) {
        const ChunkKind kind = scheduled.kind;
        const bool goes_forward = kind == ChunkKind::forward || kind == ChunkKind::overlapped;
        const bool sends_gradient = kind == ChunkKind::backward_input ||
                                    kind == ChunkKind::backward || kind == ChunkKind::overlapped;
        const Context f = goes_forward ? context_of(rank, scheduled.forward) : Context{};
        const Context b =
            kind != ChunkKind::forward ? context_of(rank, scheduled.backward) : Context{};
        const auto rank_of_stage = [&](int stage, const Context& context) {
            return rank_of(options_, stage, context.direction);
        };
        if (goes_forward && f.stage > 0) {
            add_message(program, ItemKind::recv, true, f, rank_of_stage(f.stage - 1, f));
        }
        if (sends_gradient && b.stage < last_stage()) {
            add_message(program, ItemKind::recv, false, b, rank_of_stage(b.stage + 1, b));
        }
        Item item;
        item.kind = item_kind(kind);
        item.chunk = chunk(kind, f.stage, b.stage);
        item.contexts =
            goes_forward ? std::array<Context, 2>{f, b} : std::array<Context, 2>{b, Context{}};
        program.items.push_back(item);
        // In an overlapped chunk the gradient is ready before the activation.
        if (sends_gradient && b.stage > 0) {
            add_message(program, ItemKind::send, false, b, rank_of_stage(b.stage - 1, b));
        }
        if (goes_forward && f.stage < last_stage()) {
            add_message(program, ItemKind::send, true, f, rank_of_stage(f.stage + 1, f));
        }
    }

    [[nodiscard]] std::int64_t holders(int stage) const {
        std::int64_t count = 0;
        for (int rank = 0; rank < options_.ranks; ++rank) {
            const std::vector<std::int32_t> stages = new_program(rank).stages;
            count += std::count(stages.begin(), stages.end(), stage);
        }
        return count;
    }

    void add_optimizer(RankProgram& program) {
        const ParallelPlan& plan = setup_.plan;
        std::vector<std::string> shared;
        std::vector<std::pair<Item, ChunkTemplate>> updates;
        const std::vector<std::int32_t> stages = program.stages;
        const bool holds_both_ends = stages.front() == 0 && stages.back() == last_stage();
        for (std::size_t i = 0; i < stages.size(); ++i) {
            const int stage = stages[i];
            const ChunkTemplate backward = backward_chunk("state", blocks(stage), true, true);
            const ChunkTemplate forward = forward_chunk("state", blocks(stage));
            const bool is_sharded = plan.tensor_parallel > 1;
            const StageState state = stage_state({&forward, &backward}, 0, shared, is_sharded);
            for (const Tensor& tensor :
                 is_sharded ? state.tensor_parameters : state.dense_parameters) {
                if (tensor.name.rfind("model.embed_tokens", 0) == 0) {
                    shared = {tensor.name, tensor.name + ".grad"};
                }
            }
            OptimizerSizes sizes;
            sizes.zero_stage = plan.zero_stage;
            sizes.ema = setup_.ema;
            const std::int64_t ranks = plan.data_parallel * plan.tensor_parallel;
            sizes.data_parallel = ranks * holders(stage);
            sizes.expert_data_parallel = ranks / plan.expert_parallel * holders(stage);
            sizes.tensor_data_parallel = plan.data_parallel * holders(stage);
            const ModelConfig& config = setup_.sizes.config;
            sizes.sync_embedding =
                (stage == 0 || stage == last_stage()) && !holds_both_ends &&
                (config.num_nextn_predict_layers > 0 || config.tie_word_embeddings);
            const Context here{stage, 0, -1};
            const Context before{i > 0 ? stages[i - 1] : 0, 0, -1};
            const Context norm{stages.back(), 0, -1};
            const bool last = i + 1 == stages.size();
            program.items.push_back({ItemKind::optimizer,
                                     builder_.add(optimizer_reduce_chunk(state, sizes, i > 0)),
                                     {here, before},
                                     -1});
            updates.emplace_back(Item{ItemKind::optimizer, {}, {here, norm}, -1},
                                 optimizer_update_chunk(state, sizes, last));
        }
        const Context last{stages.back(), 0, -1};
        program.items.push_back(
            {ItemKind::optimizer, builder_.add(optimizer_norm_chunk()), {last, {}}, -1});
        for (auto& [item, update] : updates) {
            item.chunk = builder_.add(std::move(update));
            program.items.push_back(item);
        }
    }

    const TrainingSetup& setup_;
    ScheduleOptions options_;
    std::vector<StageLayout> layouts_;
    std::vector<std::vector<Block>> blocks_;
    GraphBuilder builder_;
    std::map<std::tuple<ChunkKind, int, int>, TemplateId> chunks_;
};

}  // namespace

ExecutionGraph build_training_graph(const TrainingSetup& setup) {
    return StepBuilder(setup).train();
}

ExecutionGraph build_overlapped_pair_graph(const TrainingSetup& setup, std::int64_t layers) {
    const StageLayout layout{setup.sizes.config.first_k_dense_replace, layers, false, false};
    const std::vector<Block> blocks = stage_blocks(setup.sizes, layout);
    GraphBuilder builder(instances_of(setup.plan, 1));
    RankProgram program;
    program.stages = {0, 1};
    const Context forward{0, 0, 0};
    const Context backward{1, 0, 0};
    program.given = {forward, backward};
    program.items.push_back({ItemKind::overlapped,
                             builder.add(overlapped_chunk("FB(0,1)", blocks, blocks)),
                             {forward, backward},
                             -1});
    builder.add(std::move(program));
    return builder.freeze();
}

ExecutionGraph build_forward_graph(const TrainingSetup& setup) {
    return StepBuilder(setup).forward_only();
}

TrainingSetup forward_setup(const ModelConfig& config, std::int64_t sequences,
                            std::int64_t sequence_length) {
    TrainingSetup setup;
    setup.sizes.config = config;
    setup.sizes.precision.gemm = config.fp8_weights ? DType::e4m3 : DType::bf16;
    setup.sizes.precision.dispatch = setup.sizes.precision.gemm;
    setup.sizes.sequences = sequences;
    setup.sizes.sequence_length = sequence_length;
    setup.sizes.local_experts = config.n_routed_experts;
    setup.sizes.inference = true;
    setup.plan.schedule = ScheduleKind::one_f_one_b;
    setup.plan.data_parallel = 1;
    setup.stage_layers = {config.num_hidden_layers};
    return setup;
}

TrainingSetup generation_setup(const ModelConfig& config, CacheUse use, std::int64_t sequences,
                               std::int64_t tokens, bool mtp) {
    TrainingSetup setup = forward_setup(config, sequences, tokens);
    setup.sizes.cache = use;
    if (!mtp) {
        setup.sizes.config.num_nextn_predict_layers = 0;
    }
    return setup;
}

}  // namespace r1
