// The loss of the main model and of one MTP module (arXiv 2412.19437, sec. 2.2): what a run gives
// cross_entropy() and cross_entropy_backward().
#include <string>
#include <vector>

#include "kernels/cross_entropy.hpp"
#include "kernels/cross_entropy_backward.hpp"
#include "tests/kernels/golden_case.hpp"
#include "tests/kernels/golden_files.hpp"
#include "tests/support/catch.hpp"

namespace r1 {
namespace {

struct CrossEntropyKernels {
    void (*forward)(const CrossEntropyArgs&);
    void (*backward)(const CrossEntropyBackwardArgs&);
};
constexpr CrossEntropyKernels kKernels[] = {
    {&reference::cross_entropy, &reference::cross_entropy_backward},
    {&cpu::cross_entropy, &cpu::cross_entropy_backward},
};

struct Loss {
    double sum = 0;  // of nll
    std::vector<float> gradient;
};

// Row i predicts token i + `ahead`; the last rows have nothing to predict.
Loss loss_ahead(const test::GoldenCase& golden, const std::string& name, std::int64_t ahead,
                float scale, const CrossEntropyKernels& kernels) {
    const std::vector<float> logits = golden.values(name);
    const std::vector<std::int32_t> tokens = golden.file().as_i32("tokens");
    const std::int64_t rows = golden.extent(name, 0);
    const std::int64_t vocabulary = golden.extent(name, 1);
    std::vector<std::int32_t> labels;
    for (std::int64_t i = ahead; i < rows + ahead; ++i) {
        const auto at = static_cast<std::size_t>(i);
        labels.push_back(at < tokens.size() ? tokens[at] : -1);
    }
    std::vector<float> nll(labels.size()), lse(labels.size());
    Loss loss{0, std::vector<float>(logits.size())};
    const ConstMatrix matrix = {logits.data(), DType::f32, vocabulary};
    kernels.forward({rows, vocabulary, matrix, labels.data(), nll.data(), lse.data()});
    for (const float value : nll) {
        loss.sum += static_cast<double>(value);
    }
    CrossEntropyBackwardArgs args;
    args.tokens = rows;
    args.vocabulary = vocabulary;
    args.scale = scale;
    args.logits = matrix;
    args.log_sum_exp = lse.data();
    args.labels = labels.data();
    args.grad = {loss.gradient.data(), DType::f32, vocabulary};
    kernels.backward(args);
    return loss;
}

void check_golden_mtp_loss(const test::GoldenCase& golden, const CrossEntropyKernels& kernels) {
    const double lambda = golden.value("lambda");
    const auto tokens = static_cast<double>(golden.extent("tokens", 0));
    const double main_terms = tokens - 1;
    const double mtp_terms = tokens - 2;
    const Loss main =
        loss_ahead(golden, "logits_main", 1, static_cast<float>(1 / main_terms), kernels);
    const Loss mtp =
        loss_ahead(golden, "logits_mtp", 2, static_cast<float>(lambda / mtp_terms), kernels);
    golden.check("loss_main", main.sum / main_terms);
    golden.check("loss_mtp_mean", mtp.sum / mtp_terms);
    golden.check("loss_total_mean", main.sum / main_terms + lambda * mtp.sum / mtp_terms);
    golden.check("grad_main", main.gradient);
    golden.check("grad_mtp", mtp.gradient);
    // The report divides by the terms of the main loss.
    golden.check("loss_mtp_report", mtp.sum / main_terms);
    golden.check("loss_total_report", (main.sum + lambda * mtp.sum) / main_terms);
}

}  // namespace

TEST_CASE("mtp_loss: the golden cases", "[kernels][golden]") {
    for (const auto& path : test::golden_cases("mtp_loss")) {
        INFO(path.filename().string());
        const test::GoldenCase golden(path);
        for (const CrossEntropyKernels& kernels : kKernels) {
            check_golden_mtp_loss(golden, kernels);
        }
    }
}

}  // namespace r1
