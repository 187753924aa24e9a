#include "runtime/weight_export.hpp"

#include <cstring>
#include <sstream>

#include "kernels/matrix.hpp"
#include "kernels/quantize_weight_fp8.hpp"
#include "model/base/check.hpp"
#include "model/checkpoint/checkpoint_check.hpp"
#include "model/checkpoint/convert.hpp"
#include "model/config/parameters.hpp"
#include "runtime/master_weights.hpp"

namespace r1 {

namespace {

// The matrices that the released FP8 checkpoints hold as FP8.
bool is_fp8_tensor(const std::string& name) {
    return (name.ends_with("proj.weight") && !name.ends_with(".eh_proj.weight")) ||
           name.ends_with(".kv_a_proj_with_mqa.weight");
}

bool stays_f32(const std::string& name) { return name.ends_with("e_score_correction_bias"); }

std::vector<float> values_of(const Weight& weight) {
    R1_CHECK(weight.dtype == DType::f32);
    std::vector<float> values(weight.data.size() / sizeof(float));
    weight.data.memory().copy(values.data(), weight.data.data(), weight.data.size());
    return values;
}

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& values) {
    const std::span<const std::byte> bytes = std::as_bytes(std::span(values));
    return {bytes.begin(), bytes.end()};
}

class Exporter {
public:
    Exporter(RankState& state, const WeightExport& options, int rank)
        : state_(state), options_(options), rank_(rank) {
        for (Parameter& parameter : parameter_inventory(options.config)) {
            if (!parameter.copy) {
                const auto writer = options.writers.find(parameter.name);
                R1_CHECK(writer != options.writers.end());  // the config is of this model
                if (writer->second == rank) {
                    shapes_.emplace(std::move(parameter.name), std::move(parameter.shape));
                }
            }
        }
    }

    // `flat`: all values of the parameter's shard, or of a parameter without one.
    void parameter(const StateParameter& parameter, std::span<const float> flat) {
        const std::size_t size = parameter.pieces.piece_elements;
        for (std::size_t i = 0; i < parameter.pieces.names.size(); ++i) {
            const std::string& name = parameter.pieces.names[i];
            const auto writer = options_.writers.find(name);
            R1_CHECK(writer != options_.writers.end());
            if (writer->second == rank_) {
                tensor(name, flat.subspan(parameter.offset + i * size, size));
            }
        }
    }

    [[nodiscard]] std::vector<ExportedTensor> take() && {
        R1_CHECK(shapes_.empty());
        return std::move(tensors_);
    }

private:
    void tensor(const std::string& name, std::span<const float> values) {
        const auto found = shapes_.extract(name);
        R1_CHECK(!found.empty());
        ExportedTensor out{name, StoredType::f32, found.mapped(), {}};
        if (options_.config.fp8_weights && is_fp8_tensor(name)) {
            fp8(std::move(out), values);
            return;
        }
        if (options_.f32 || stays_f32(name)) {
            out.data.assign(std::as_bytes(values).begin(), std::as_bytes(values).end());
        } else {
            std::vector<std::uint16_t> rounded;
            rounded.reserve(values.size());
            for (const float value : values) {
                rounded.push_back(bf16_from_float(value));
            }
            out.dtype = StoredType::bf16;
            out.data = bytes_of(rounded);
        }
        tensors_.push_back(std::move(out));
    }

    void fp8(ExportedTensor out, std::span<const float> master) {
        std::vector<float> values(master.begin(), master.end());
        round_to_compute(state_.policy(), values);
        ExportedTensor scale{scale_name(out.name), StoredType::f32, scale_shape(out.shape), {}};
        std::vector<float> scales(static_cast<std::size_t>(scale.shape[0] * scale.shape[1]));
        out.dtype = StoredType::f8_e4m3;
        out.data.resize(values.size());
        cpu::quantize_weight_fp8({out.shape[0], out.shape[1],
                                  ConstMatrix{values.data(), DType::f32, out.shape[1]},
                                  reinterpret_cast<std::uint8_t*>(out.data.data()), scales.data()});
        scale.data = bytes_of(scales);
        tensors_.push_back(std::move(out));
        tensors_.push_back(std::move(scale));
    }

    RankState& state_;
    const WeightExport& options_;
    const int rank_;
    std::map<std::string, std::vector<std::int64_t>> shapes_;  // of what is still to be written
    std::vector<ExportedTensor> tensors_;
};

}  // namespace

std::string exportable_tensors(RankState& state) {
    std::string lines;
    for (const auto& [key, parameter] : state.parameters()) {
        const StateShard* shard = parameter.shard;
        for (std::size_t i = 0; i < parameter.pieces.names.size(); ++i) {
            const std::size_t first = parameter.offset + i * parameter.pieces.piece_elements;
            if (shard == nullptr || (first >= shard->begin && first < shard->end)) {
                lines += parameter.pieces.names[i] + "\n";
            }
        }
    }
    return lines;
}

std::map<std::string, int> tensor_writers(const std::vector<std::string>& exportable) {
    std::map<std::string, int> writers;
    for (std::size_t rank = 0; rank < exportable.size(); ++rank) {
        std::istringstream lines(exportable[rank]);
        for (std::string name; std::getline(lines, name);) {
            writers.emplace(name, static_cast<int>(rank));
        }
    }
    return writers;
}

std::vector<ExportedTensor> export_tensors(RankState& state, const WeightExport& options,
                                           const Everyone& ranks) {
    Exporter exporter(state, options, ranks.communicator.rank());
    for (const StateShard* shard : ordered_shards(state)) {
        const std::vector<float> flat = gather_master(*shard, ranks);
        for (const auto& [key, parameter] : state.parameters()) {
            if (parameter.shard == shard) {
                exporter.parameter(parameter, flat);
            }
        }
    }
    for (const auto& [key, parameter] : state.parameters()) {
        if (parameter.shard == nullptr) {
            exporter.parameter(parameter, values_of(parameter.weight));
        }
    }
    return std::move(exporter).take();
}

}  // namespace r1
