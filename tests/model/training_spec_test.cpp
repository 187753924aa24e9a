// The training side of a scenario's workload.
#include "model/workload/training_spec.hpp"

#include <string>
#include <vector>

#include "model/base/json.hpp"
#include "tests/support/catch.hpp"

using namespace r1;

namespace {

using Paths = std::vector<std::filesystem::path>;
using Strings = std::vector<std::string>;

// The "workload" of a scenario file, as read for training.
struct SpecReading {
    explicit SpecReading(const std::string& workload, const Strings& overrides = {})
        : document(Document::from_text("{\"workload\": " + workload + "}", "jobs/night.json")) {
        for (const std::string& text : overrides) {
            const Override parsed = parse_override(text);
            document.set(parsed.pointer, parsed.value, {"--set", 0, 0});
        }
        ObjectReader reader(document, "/workload", diagnostics);
        spec = read_training_spec(document, reader);
        reader.finish();
    }

    // "line: pointer: message" of each error.
    [[nodiscard]] Strings errors() const {
        Strings out;
        for (const Diagnostic& error : diagnostics.errors()) {
            out.push_back(std::to_string(error.location.line) + ": " + error.pointer + ": " +
                          error.message);
        }
        return out;
    }

    Document document;
    Diagnostics diagnostics;
    TrainingSpec spec;
};

const std::string kEverything = R"({
    "steps": 2000, "data": ["corpus", "/srv/more.txt.gz"], "held_out_fraction": 0.1,
    "initial_checkpoint": "../models/a",
    "learning_rate": {"peak": 1e-3, "warmup_steps": 20, "decay": "cosine", "final": 1e-4},
    "optimizer": {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6, "weight_decay": 0,
                  "gradient_norm_max": 0, "moments": "fp32", "ema_decay": 0.999},
    "mtp_loss_weight": 0.1, "balance_loss_alpha": 0, "bias_update_speed": 0.01,
    "checkpoint": {"folder": "out", "every_steps": 500, "keep": 3}})";

}  // namespace

TEST_CASE("training spec: an empty workload trains as the paper did", "[model][workload]") {
    const SpecReading reading("{}");
    CHECK(reading.errors() == Strings{});
    const TrainingSpec& spec = reading.spec;
    CHECK(spec.steps == 100);
    CHECK(spec.data.empty());
    CHECK(spec.held_out_fraction == 0.05);
    CHECK(!spec.initial_checkpoint);
    CHECK(spec.learning_rate.peak == 2.2e-4);
    CHECK(spec.learning_rate.warmup_steps == 0);
    CHECK(spec.learning_rate.decay == RateDecay::constant);
    CHECK(spec.optimizer.beta1 == 0.9);
    CHECK(spec.optimizer.beta2 == 0.95);
    CHECK(spec.optimizer.epsilon == 1e-8);
    CHECK(spec.optimizer.weight_decay == 0.1);
    CHECK(spec.optimizer.gradient_norm_max == 1.0);
    CHECK(spec.optimizer.moments == DType::bf16);
    CHECK(spec.optimizer.ema_decay == 0);
    CHECK(spec.mtp_loss_weight == 0.3);
    CHECK(spec.balance_loss_alpha == 1e-4);
    CHECK(spec.bias_update_speed == 1e-3);
    CHECK(!spec.checkpoint);
}

TEST_CASE("training spec: every key is read", "[model][workload]") {
    const SpecReading reading(kEverything);
    CHECK(reading.errors() == Strings{});
    const TrainingSpec& spec = reading.spec;
    CHECK(spec.steps == 2000);
    CHECK(spec.held_out_fraction == 0.1);
    CHECK(spec.learning_rate.peak == 1e-3);
    CHECK(spec.learning_rate.warmup_steps == 20);
    CHECK(spec.learning_rate.decay == RateDecay::cosine);
    CHECK(spec.learning_rate.final_rate == 1e-4);
    CHECK(spec.optimizer.beta1 == 0.8);
    CHECK(spec.optimizer.beta2 == 0.99);
    CHECK(spec.optimizer.epsilon == 1e-6);
    CHECK(spec.optimizer.weight_decay == 0);
    CHECK(spec.optimizer.gradient_norm_max == 0);
    CHECK(spec.optimizer.moments == DType::f32);
    CHECK(spec.optimizer.ema_decay == 0.999);
    CHECK(spec.mtp_loss_weight == 0.1);
    CHECK(spec.balance_loss_alpha == 0);
    CHECK(spec.bias_update_speed == 0.01);
    REQUIRE(spec.checkpoint);
    CHECK(spec.checkpoint->every_steps == 500);
    CHECK(spec.checkpoint->keep == 3);
}

TEST_CASE("training spec: the published schema has the keys that are read, and no other",
          "[model][workload]") {
    const Document schema = Document::from_file(std::filesystem::path(R1_SOURCE_DIR) / "scenarios" /
                                                "scenario.schema.json");
    const std::string workload = "/properties/workload/properties/";
    const SpecReading reading(kEverything);
    const Json& read = *reading.document.find("/workload");
    for (const auto& [key, value] : read.items()) {
        INFO(key);
        const Json* published = schema.find(workload + key);
        REQUIRE(published != nullptr);
        if (!value.is_object()) {
            continue;
        }
        for (const auto& [inner, ignored] : value.items()) {
            INFO(inner);
            CHECK(published->at("properties").contains(inner));
        }
        CHECK(published->at("properties").size() == value.size());
    }
    std::size_t of_training = 0;
    for (const auto& [key, value] : schema.find("/properties/workload/properties")->items()) {
        of_training += value.contains("description") &&
                       value["description"].get<std::string>().starts_with("train: ");
    }
    CHECK(of_training == read.size());
}

TEST_CASE("training spec: a path is relative to the file that names it", "[model][workload]") {
    const SpecReading reading(kEverything);
    CHECK(reading.spec.data == Paths{"jobs/corpus", "/srv/more.txt.gz"});
    CHECK(reading.spec.initial_checkpoint == "jobs/../models/a");
    CHECK(reading.spec.checkpoint->folder == "jobs/out");
    CHECK(SpecReading(R"({"data": "one.txt"})").spec.data == Paths{"jobs/one.txt"});
    // What is printed stays as it was written.
    CHECK(*reading.document.find("/workload/data/0") == "corpus");
}

TEST_CASE("training spec: a path on the command line is relative to the current folder",
          "[model][workload]") {
    CHECK(SpecReading(kEverything, {"workload.data=here.txt"}).spec.data == Paths{"here.txt"});
    CHECK(SpecReading("{}", {R"(workload.data=["a", "b"])"}).spec.data == Paths{"a", "b"});
    const SpecReading mixed(kEverything,
                            {"/workload/data/0=here", "workload.checkpoint.folder=saved"});
    CHECK(mixed.errors() == Strings{});
    CHECK(mixed.spec.data == Paths{"here", "/srv/more.txt.gz"});
    CHECK(mixed.spec.checkpoint->folder == "saved");
    CHECK(SpecReading("{}", {R"(workload={"data": "here.txt"})"}).spec.data == Paths{"here.txt"});
}

TEST_CASE("training spec: everything wrong is said at once, where it stands", "[model][workload]") {
    const SpecReading reading(R"({
        "steps": 0,
        "data": ["x", ""],
        "held_out_fraction": 0.6,
        "initial_checkpoint": 7,
        "learning_rate": {"peak": 0.1, "decay": "cosin", "final": 0.2, "warmup": 1},
        "optimizer": {"beta1": 1, "moments": "fp16", "ema_decay": -0.1},
        "balance_loss_alpha": -1,
        "checkpoint": {"every_steps": 0},
        "step": 1})");
    CHECK(reading.errors() ==
          Strings{"2: /workload/steps: must be from 1 to 1000000000, found 0",
                  "3: /workload/data: a path must not be empty",
                  "4: /workload/held_out_fraction: must be from 0 to 0.5, found 0.6",
                  "5: /workload/initial_checkpoint: expects a string, found a number",
                  "6: /workload/learning_rate/decay: must be one of 'constant', 'cosine', found "
                  "'cosin', did you mean 'cosine'?",
                  "6: /workload/learning_rate/final: is above the peak",
                  "6: /workload/learning_rate/warmup: unknown key 'warmup', did you mean "
                  "'warmup_steps'?",
                  "7: /workload/optimizer/beta1: must be below 1",
                  "7: /workload/optimizer/moments: must be one of 'bf16', 'fp32', found 'fp16'",
                  "7: /workload/optimizer/ema_decay: must be from 0 to 1, found -0.1",
                  "8: /workload/balance_loss_alpha: must be at least 0, found -1",
                  "9: /workload/checkpoint: missing key 'folder'",
                  "9: /workload/checkpoint/every_steps: must be from 1 to 1000000000, found 0",
                  "10: /workload/step: unknown key 'step', did you mean 'steps'?"});
    CHECK(SpecReading(R"({"data": 1})").errors() ==
          Strings{"1: /workload/data: expects a path or an array of paths"});
    CHECK(SpecReading(R"({"data": ["a", 1]})").errors() ==
          Strings{"1: /workload/data/1: expects a string, found a number"});
}

TEST_CASE("training spec: other kinds of workload refuse its keys", "[model][workload]") {
    const Document document = Document::from_text(kEverything, "f.json");
    Diagnostics diagnostics;
    ObjectReader reader(document, "", diagnostics);
    refuse_training_spec(reader);
    reader.finish();
    CHECK(diagnostics.errors().size() == document.root().size());
    for (const Diagnostic& error : diagnostics.errors()) {
        CHECK(error.message == "only a workload of kind 'train' has this key");
    }
}

TEST_CASE("learning rate: rises in a line to the peak and stays there", "[model][workload]") {
    LearningRate rate;
    rate.peak = 8;
    rate.warmup_steps = 4;
    const std::vector<double> expected = {2, 4, 6, 8, 8, 8};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        CHECK(learning_rate(rate, static_cast<std::int64_t>(i) + 1, 6) == expected[i]);
    }
    rate.warmup_steps = 0;
    CHECK(learning_rate(rate, 1, 6) == 8);
    CHECK(learning_rate(rate, 6, 6) == 8);
}

TEST_CASE("learning rate: falls in half a cosine to its final value at the last step",
          "[model][workload]") {
    LearningRate rate;
    rate.peak = 10;
    rate.warmup_steps = 2;
    rate.decay = RateDecay::cosine;
    rate.final_rate = 2;
    // Steps 2 to 6 are the half period: 2 + 8 (1 + cos(pi k / 4)) / 2.
    CHECK(learning_rate(rate, 1, 6) == 5);
    CHECK(learning_rate(rate, 2, 6) == 10);
    CHECK(learning_rate(rate, 3, 6) == Approx(6 + 4 * 0.70710678));
    CHECK(learning_rate(rate, 4, 6) == Approx(6));
    CHECK(learning_rate(rate, 5, 6) == Approx(6 - 4 * 0.70710678));
    CHECK(learning_rate(rate, 6, 6) == 2);
    CHECK(learning_rate(rate, 7, 6) == 2);
    rate.warmup_steps = 0;
    CHECK(learning_rate(rate, 1, 6) == 10);
    CHECK(learning_rate(rate, 6, 6) == 2);
    rate.warmup_steps = 9;  // longer than the run: no peak, nothing to fall from
    CHECK(learning_rate(rate, 6, 6) == Approx(10.0 * 6 / 9));
}
