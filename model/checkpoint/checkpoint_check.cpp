#include "model/checkpoint/checkpoint_check.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include "model/checkpoint/convert.hpp"
#include "model/config/parameters.hpp"

namespace r1 {

namespace {

constexpr std::string_view kScaleSuffix = "_scale_inv";
// R1 has 46,000; a config that calls for more would fill the memory with names.
constexpr double kTensorsMax = 5e6;

// An upper bound: about 16 tensors a layer beside those of the experts.
double tensors_max(const ModelConfig& config) {
    const auto layers =
        static_cast<double>(config.num_hidden_layers + config.num_nextn_predict_layers);
    return layers * (24 + 3 * static_cast<double>(config.n_routed_experts));
}

class TensorChecker {
public:
    TensorChecker(const std::vector<StoredTensor>& stored, const std::string& origin,
                  bool fp8_weights)
        : stored_(stored), origin_(origin), fp8_weights_(fp8_weights) {}

    void check(const ModelConfig& config) {
        for (const Parameter& parameter : parameter_inventory(config)) {
            if (parameter.copy) {
                check_copy(parameter.name, parameter.name.ends_with("embed_tokens.weight") ||
                                                   config.tie_word_embeddings
                                               ? "model.embed_tokens.weight"
                                               : "lm_head.weight");
            } else {
                check_parameter(parameter);
            }
        }
        if (config.tie_word_embeddings) {
            check_copy("lm_head.weight", "model.embed_tokens.weight");
        }
        for (const StoredTensor& stored : stored_) {
            if (!expected_.contains(stored.tensor->name)) {
                unknown(stored);
            }
        }
        problems_.throw_if_any();
    }

private:
    void problem(const StoredTensor& stored, const std::string& message) {
        problems_.add(stored.file, "tensor " + quote(stored.tensor->name) + ": " + message);
    }

    [[nodiscard]] const StoredTensor* find(std::string_view name) const {
        const auto found =
            std::lower_bound(stored_.begin(), stored_.end(), name,
                             [](const StoredTensor& stored, std::string_view wanted) {
                                 return stored.tensor->name < wanted;
                             });
        return found == stored_.end() || found->tensor->name != name ? nullptr : &*found;
    }

    void check_parameter(const Parameter& parameter) {
        expected_.insert(parameter.name);
        const StoredTensor* stored = find(parameter.name);
        if (stored == nullptr) {
            problems_.add(origin_, "tensor " + quote(parameter.name) + " of shape " +
                                       shape_text(parameter.shape) + " is missing");
            return;
        }
        if (stored->tensor->shape != parameter.shape) {
            problem(*stored, "has shape " + shape_text(stored->tensor->shape) +
                                 ", the config calls for " + shape_text(parameter.shape));
        }
        check_type(*stored);
    }

    void check_type(const StoredTensor& stored) {
        const TensorView& tensor = *stored.tensor;
        if (!is_float(tensor.dtype) || tensor.dtype == StoredType::f8_e8m0) {
            problem(stored, std::string(name(tensor.dtype)) + " is no type for a parameter");
        } else if (is_fp8(tensor.dtype) && !fp8_weights_) {
            problem(stored,
                    "is FP8, but the config has no quantization_config with quant_method fp8");
        } else if (is_fp8(tensor.dtype)) {
            check_scale(stored);
        }
    }

    void check_scale(const StoredTensor& weight) {
        const std::string scale_of_weight = scale_name(weight.tensor->name);
        expected_.insert(scale_of_weight);
        if (weight.tensor->shape.size() != 2) {
            problem(weight, "FP8 is supported for matrices only");
            return;
        }
        const std::vector<std::int64_t> shape = scale_shape(weight.tensor->shape);
        const StoredTensor* scale = find(scale_of_weight);
        if (scale == nullptr) {
            problem(weight, "is FP8, but its scale " + quote(scale_of_weight) + " of shape " +
                                shape_text(shape) + " is missing");
            return;
        }
        if (scale->tensor->dtype != StoredType::f32 || scale->tensor->shape != shape) {
            problem(*scale, "must be F32 of shape " + shape_text(shape) + ", is " +
                                std::string(name(scale->tensor->dtype)) + " of " +
                                shape_text(scale->tensor->shape));
            return;
        }
        const std::vector<float> values = to_f32(*scale->tensor);
        if (std::any_of(values.begin(), values.end(),
                        [](float value) { return !std::isfinite(value) || value < 0; })) {
            problem(*scale, "a scale is negative or not finite; the file is damaged");
        }
    }

    // A copy may be absent; if it is there, it must hold the same bytes.
    void check_copy(const std::string& copy, const std::string& original) {
        expected_.insert(copy);
        const StoredTensor* a = find(copy);
        const StoredTensor* b = find(original);
        if (a != nullptr && is_fp8(a->tensor->dtype)) {
            expected_.insert(scale_name(copy));
            same_bytes(scale_name(copy), scale_name(original));
        }
        if (a != nullptr && b != nullptr) {
            same_bytes(copy, original);
        }
    }

    void same_bytes(const std::string& copy, const std::string& original) {
        const StoredTensor* a = find(copy);
        const StoredTensor* b = find(original);
        if (a == nullptr || b == nullptr) {
            if (a != nullptr || b != nullptr) {
                problem(a != nullptr ? *a : *b, "only one of it and its copy is there");
            }
            return;
        }
        const TensorView& x = *a->tensor;
        const TensorView& y = *b->tensor;
        const bool is_same = x.dtype == y.dtype && x.shape == y.shape &&
                             std::equal(x.data.begin(), x.data.end(), y.data.begin());
        if (!is_same) {
            problem(*a, "must be a copy of " + quote(original) + ", but differs");
        }
    }

    void unknown(const StoredTensor& stored) {
        const std::string& name = stored.tensor->name;
        if (name.ends_with(kScaleSuffix)) {
            const std::string weight = name.substr(0, name.size() - kScaleSuffix.size());
            if (const StoredTensor* found = find(weight); found != nullptr) {
                problem(stored, "is the scale of a tensor of type " +
                                    std::string(r1::name(found->tensor->dtype)) +
                                    ", which has none");
                return;
            }
        }
        // Few suggestions: each compares with all names.
        static constexpr std::size_t kSuggestions = 10;
        const std::string suggestion =
            unknown_count_++ < kSuggestions
                ? did_you_mean(name, {expected_.begin(), expected_.end()})
                : "";
        problem(stored, "the config calls for no such tensor" + suggestion);
    }

    const std::vector<StoredTensor>& stored_;
    const std::string& origin_;
    bool fp8_weights_;  // as the config says
    std::set<std::string> expected_;
    ProblemList problems_;
    std::size_t unknown_count_ = 0;
};

}  // namespace

void ProblemList::add(const std::string& file, const std::string& message) {
    if (diagnostics_.errors().size() < kMax) {
        diagnostics_.error({file, 0, 0}, "", message);
    } else {
        ++left_out_;
    }
}

void ProblemList::add(const InputError& error) {
    for (const Diagnostic& diagnostic : error.diagnostics()) {
        diagnostics_.error(diagnostic);
    }
}

void ProblemList::throw_if_any() {
    if (left_out_ > 0) {
        diagnostics_.error({}, "", "and " + std::to_string(left_out_) + " problems more");
    }
    diagnostics_.throw_if_errors();
}

std::string scale_name(std::string_view weight) {
    return std::string(weight) + std::string(kScaleSuffix);
}

void check_tensors(const ModelConfig& config, const std::vector<StoredTensor>& stored,
                   const std::string& origin) {
    if (tensors_max(config) > kTensorsMax) {
        throw InputError(origin, "the config calls for millions of tensors");
    }
    TensorChecker(stored, origin, config.fp8_weights).check(config);
}

}  // namespace r1
