#include "runtime/byte_model.hpp"

#include <algorithm>
#include <cmath>

#include "model/base/check.hpp"

namespace r1 {

ByteModel::ByteModel(std::int64_t alphabet) : alphabet_(static_cast<std::uint64_t>(alphabet)) {
    R1_CHECK(alphabet >= 1 && alphabet <= std::int64_t{1} << 21);  // three letters: 63 bits
}

std::uint64_t ByteModel::number(std::span<const std::int32_t> tokens) const {
    std::uint64_t value = 0;
    for (const std::int32_t token : tokens) {
        R1_CHECK(token >= 0 && static_cast<std::uint64_t>(token) < alphabet_);
        value = value * alphabet_ + static_cast<std::uint64_t>(token);
    }
    return value;
}

void ByteModel::count(std::span<const std::int32_t> sequence) {
    for (std::size_t i = 0; i < sequence.size(); ++i) {
        for (std::size_t order = 0; order <= std::min(i, kOrders - 1); ++order) {
            Followers& followers =
                orders_[order].contexts[number(sequence.subspan(i - order, order))];
            std::int64_t& seen =
                orders_[order].counts[number(sequence.subspan(i - order, order + 1))];
            ++followers.tokens;
            followers.different += seen == 0 ? 1 : 0;
            ++seen;
        }
    }
}

double ByteModel::probability(std::span<const std::int32_t> before, std::int32_t token) const {
    double lower = 1 / static_cast<double>(alphabet_);
    for (std::size_t order = 0; order <= std::min(before.size(), kOrders - 1); ++order) {
        const std::uint64_t context = number(before.last(order));
        const auto found = orders_[order].contexts.find(context);
        if (found == orders_[order].contexts.end()) {
            break;  // a longer one was never seen either
        }
        const auto both = orders_[order].counts.find(context * alphabet_ + number({&token, 1}));
        const auto seen = both == orders_[order].counts.end() ? 0 : both->second;
        const auto tokens = static_cast<double>(found->second.tokens);
        const auto different = static_cast<double>(found->second.different);
        lower = (static_cast<double>(seen) + different * lower) / (tokens + different);
    }
    return lower;
}

double ByteModel::negative_log_likelihood(std::span<const std::int32_t> sequence) const {
    double sum = 0;
    for (std::size_t i = 1; i < sequence.size(); ++i) {
        sum -= std::log(probability(sequence.first(i), sequence[i]));
    }
    return sum;
}

std::optional<double> byte_model_loss(const TrainingData& data) {
    const std::int64_t predicted = data.held_out_tokens() - data.held_out_sequences();
    if (predicted == 0) {
        return std::nullopt;
    }
    ByteModel model(data.alphabet());
    for (std::int64_t i = 0; i < data.training_sequences(); ++i) {
        model.count(data.training(i));
    }
    double sum = 0;
    for (std::int64_t i = 0; i < data.held_out_sequences(); ++i) {
        sum += model.negative_log_likelihood(data.held_out(i));
    }
    return sum / static_cast<double>(predicted);
}

}  // namespace r1
