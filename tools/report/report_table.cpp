// The terminal view of a report (declared in report.hpp).
#include <algorithm>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "tools/report/report.hpp"
#include "tools/report/text_line.hpp"

namespace r1 {

namespace {

class Table {
public:
    explicit Table(bool color) : color_(color) {}

    void heading(const std::string& text) { text_ += "\n" + bold(printable(text), color_) + "\n"; }
    void row(const std::string& label, const std::string& value, const std::string& remark = {}) {
        line(fmt::format("  {:<28}{:>16}{}{}", label, value, remark.empty() ? "" : "  ", remark));
    }
    void line(const std::string& text) { text_ += printable(text) + "\n"; }
    [[nodiscard]] std::string take() && { return std::move(text_); }

private:
    bool color_;
    std::string text_;
};

double number(const Json& json, const char* key) { return json.at(key).get<double>(); }

std::string share(double part, double whole) {
    return fmt::format("{:5.1f} %", whole > 0 ? part / whole * 100 : 0.0);
}

bool is_measured(const Json& report) { return report.at("run_info").at("measured").get<bool>(); }

std::string bytes(double value) {
    return value >= 1e8 ? fmt::format("{:.2f} GB", value / 1e9)
                        : fmt::format("{:.2f} MB", value / 1e6);
}

// JSON has null for a loss that diverged.
std::string loss_figure(const Json& loss) {
    return loss.is_null() ? "not finite" : fmt::format("{:.4f}", loss.get<double>());
}

void add_step(Table& table, const Json& report) {
    const Json& step = report.at("step");
    table.heading("Step");
    table.row("time", fmt::format("{:.3f} s", number(step, "time_s")));
    if (step.contains("iterations")) {
        const Json& time = step.at("iterations").at("time_s");
        table.row(
            "median step", fmt::format("{:.3f} s", number(time, "median")),
            fmt::format("{:.3f} to {:.3f} s in {} steps", number(time, "min"), number(time, "max"),
                        step.at("iterations").at("count").get<std::int64_t>()));
    }
    if (step.at("tokens_per_s").is_null()) {
        return;  // a part of a step
    }
    table.row("tokens a second", short_number(number(step, "tokens_per_s")));
    table.row("tokens a day", short_number(number(step, "tokens_per_day")));
    const auto both = [&](const char* key, double scale, const char* unit) {
        const Json& value = step.at(key);
        return fmt::format("{:.4g} {}", number(value, "causal") * scale, unit);
    };
    table.row("MFU, causal", both("mfu", 100, "%"),
              fmt::format("{:.4g} % non-causal", number(step.at("mfu"), "non_causal") * 100));
    table.row("TFLOPS a GPU, causal", both("tflops_per_gpu", 1, ""),
              fmt::format("{:.4g} non-causal", number(step.at("tflops_per_gpu"), "non_causal")));
}

// Only a measured run has iterations, and was trained.
void add_training(Table& table, const Json& report) {
    if (!report.contains("training")) {
        return;
    }
    const Json& training = report.at("training");
    table.heading("Training");
    table.row("steps", short_number(number(training, "steps")),
              short_number(number(training, "tokens")) + " tokens");
    const auto averaged = std::min<std::int64_t>(200, training.at("steps").get<std::int64_t>());
    const auto losses = [&](const char* label, const Json& loss) {
        if (!loss.is_null()) {
            table.row(label, loss_figure(loss.at("last")),
                      fmt::format("from {}, mean of the last {}: {}", loss_figure(loss.at("first")),
                                  averaged, loss_figure(loss.at("mean_last_200"))));
        }
    };
    losses("loss", training.at("loss"));
    losses("MTP loss", training.at("mtp_loss"));
    if (!training.at("held_out_loss").is_null()) {
        const Json& bytes = training.at("byte_model_loss");
        table.row("held-out loss", loss_figure(training.at("held_out_loss")),
                  bytes.is_null() ? "" : "an order-2 byte model: " + loss_figure(bytes));
    }
    table.row("learning rate", short_number(number(training, "learning_rate")),
              training.at("gradient_norm").is_null()
                  ? ""
                  : "gradient norm " + short_number(number(training, "gradient_norm")));
}

void add_breakdown(Table& table, const Json& report) {
    const double step = number(report.at("step"), "time_s");
    const Json& mean = report.at("pipeline").at("breakdown_s");
    table.heading("Pipeline (mean over ranks)");
    const std::pair<const char*, const char*> rows[] = {{"forward", "forward"},
                                                        {"backward_input", "backward, input"},
                                                        {"backward_weight", "backward, weight"},
                                                        {"one_f_one_b", "overlapped F&B"},
                                                        {"bubble", "bubble"},
                                                        {"optimizer", "optimizer"}};
    for (const auto& [key, label] : rows) {
        table.row(label, fmt::format("{:.3f} s", number(mean, key)),
                  share(number(mean, key), step));
    }
    if (report.at("pipeline").contains("bubble_parts_s")) {
        const Json& parts = report.at("pipeline").at("bubble_parts_s");
        table.line(fmt::format(
            "  of the bubble               dependency {:.3f} s, network {:.3f} "
            "s, SM contention {:.3f} s",
            number(parts, "dependency"), number(parts, "network"), number(parts, "sm_contention")));
    }
    const Json& overlap = report.at("overlap");
    table.row("communication", fmt::format("{:.3f} s", number(overlap, "comm_total_s")),
              fmt::format("{:.3f} s exposed", number(overlap, "comm_exposed_s")));
    const Json& pairs = overlap.at("one_f_one_b");
    if (const double total = number(pairs, "total_s"); total > 0) {
        table.row("  of overlapped F&B", fmt::format("{:.3f} s", total),
                  fmt::format("{:.3f} s exposed", number(pairs, "exposed_s")));
    }
    std::string resources;
    for (const auto& [resource, seconds] : report.at("critical_path").at("by_resource").items()) {
        if (seconds.get<double>() > 0.0005) {
            resources += fmt::format("{}{} {:.3f} s", resources.empty() ? "" : ", ", resource,
                                     seconds.get<double>());
        }
    }
    table.line("  critical path               " + resources);
}

// Changes of the step in per cent, of one kind of time: "compute -5.93 %, network +0.00 %".
std::string sensitivities(const Json& report, const char* change, const char* kind) {
    const double step = number(report.at("step"), "time_s");
    std::string text;
    for (const Json& each : report.at("sensitivity")) {
        const Json& time = each.at(change).at(kind);
        if (time.is_number() && step > 0) {
            text += fmt::format("{}{} {:+.2f} %", text.empty() ? "" : ", ",
                                each.at("resource").get<std::string>(),
                                (time.get<double>() / step - 1) * 100);
        }
    }
    return text;
}

void add_sensitivity(Table& table, const Json& report) {
    if (!report.contains("sensitivity")) {
        return;
    }
    for (const char* change : {"faster", "slower"}) {
        table.line(fmt::format("  step if 10 % {:<15}{}", change,
                               sensitivities(report, change, "predicted_s")));
        const std::string replayed = sensitivities(report, change, "resimulated_s");
        if (!replayed.empty()) {
            table.line(fmt::format("  {:<28}{}", "  replayed", replayed));
        }
    }
}

void add_layers(Table& table, const Json& report) {
    if (!report.contains("layers")) {
        return;
    }
    table.heading("Layers");
    table.line("  layer      period     compute busy     comm busy    comm exposed");
    for (const Json& layer : report.at("layers")) {
        const auto ms = [&](const char* key) { return number(layer, key) * 1e3; };
        table.line(fmt::format("  {:>5} {:>8.3f} ms {:>13.3f} ms {:>10.3f} ms {:>12.3f} ms",
                               layer.at("layer").get<std::int64_t>(), ms("period_s"),
                               ms("compute_busy_s"), ms("comm_busy_s"), ms("comm_exposed_s")));
    }
}

void add_memory(Table& table, const Json& report) {
    const Json& memory = report.at("memory");
    const Json* fullest = nullptr;
    for (const Json& rank : memory.at("per_rank")) {
        if (fullest == nullptr || number(rank, "total") > number(*fullest, "total")) {
            fullest = &rank;
        }
    }
    table.heading("Memory (fullest pipeline rank)");
    if (fullest == nullptr) {
        return;
    }
    for (const char* key : {"weights", "gradients", "optimizer", "activations_peak"}) {
        table.row(key, bytes(number(*fullest, key)));
    }
    table.row("total", bytes(number(*fullest, "total")),
              fmt::format("rank {}, of {}: {}", fullest->at("rank").get<std::int64_t>(),
                          bytes(number(memory, "capacity")),
                          memory.at("fits").get<bool>() ? "fits" : "DOES NOT FIT"));
}

// "dispatch 1.20 MB, combine 2.30 MB": those that are not zero.
std::string parts_of(const Json& bytes_by_kind) {
    std::string text;
    for (const auto& [kind, value] : bytes_by_kind.items()) {
        if (value.get<double>() > 0) {
            text +=
                fmt::format("{}{} {}", text.empty() ? "" : ", ", kind, bytes(value.get<double>()));
        }
    }
    return text;
}

void add_all_to_all(Table& table, const Json& exchanges) {
    table.heading("Expert all-to-all");
    const auto rate = [](const Json& of, const char* key) {
        return of.at(key).is_null() ? 0.0 : number(of, key);
    };
    for (const char* which : {"dispatch", "combine"}) {
        const Json& exchange = exchanges.at(which);
        const Json& wire = exchange.at("wire_gb_per_s");
        table.row(
            which, fmt::format("{:.1f} us", number(exchange, "time_us")),
            fmt::format("{:.1f} GB/s as DeepEP counts; wire: InfiniBand {:.1f}, NVLink {:.1f}",
                        rate(exchange, "logical_gb_per_s"), rate(wire, "infiniband"),
                        rate(wire, "nvlink")));
    }
}

void add_network(Table& table, const Json& report) {
    table.heading("Network and routing");
    const Json& routing = report.at("routing");
    if (number(routing, "nodes_per_token_mean") > 0) {
        table.row("nodes a token", fmt::format("{:.2f}", number(routing, "nodes_per_token_mean")),
                  fmt::format("at most {}", routing.at("nodes_per_token_max").get<std::int64_t>()));
        table.row(
            "InfiniBand a token, layer",
            fmt::format("{:.1f} KB", number(routing, "ib_bytes_per_token") / 1e3),
            fmt::format("{:.1f} KB over NVLink", number(routing, "nvlink_bytes_per_token") / 1e3));
    }
    if (!report.contains("network")) {
        return;
    }
    const Json& network = report.at("network");
    for (const Json& link : network.at("links")) {
        if (link.contains("bytes_by_kind")) {
            table.row(fmt::format("{} a step", link.at("id").get<std::string>()),
                      bytes(number(link, "bytes")), parts_of(link.at("bytes_by_kind")));
        }
        if (link.at("id") == network.at("hottest")) {
            table.row(
                "hottest link", link.at("id").get<std::string>(),
                fmt::format("{:.1f} % busy, peak {:.1f} %", number(link, "mean_utilisation") * 100,
                            number(link, "peak_utilisation") * 100));
        }
    }
}

// "200", "mpft", "none", or a list of either.
std::string plain(const Json& value) {
    if (value.is_null()) {
        return "none";
    }
    if (value.is_number()) {
        return short_number(value.get<double>(), 6);
    }
    return value.is_string() ? value.get<std::string>() : value.dump();
}

void add_baseline(Table& table, const Json& baseline) {
    constexpr std::size_t kShownMax = 12;
    constexpr std::size_t kWidthMax = 40;  // overrides may be many
    const double step = number(baseline, "step_time_s");
    const auto seconds = [&](const char* label, double value) {
        table.row(label, fmt::format("{:+.3f} s", value),
                  fmt::format("{:+5.1f} %", step > 0 ? value / step * 100 : 0.0));
    };
    table.heading(fmt::format("Against the baseline {}, {}",
                              baseline.at("cluster").get<std::string>(),
                              baseline.at("calibration").get<std::string>()));
    table.row("step on the baseline", fmt::format("{:.3f} s", step));
    const std::map<std::string, const char*> labels = {{"compute", "compute rates"},
                                                       {"nvlink", "NVLink"},
                                                       {"network", "NICs and InfiniBand"},
                                                       {"rest", "rest"}};
    for (const Json& share : baseline.at("by_resource")) {
        seconds(labels.at(share.at("resource").get<std::string>()),
                number(share, "contribution_s"));
    }
    seconds("difference", number(baseline, "difference_s"));
    const Json& changed = baseline.at("changed");
    for (std::size_t i = 0; i < changed.size() && i < kShownMax; ++i) {
        table.line(fmt::format("  {}: {} -> {}", changed[i].at("what").get<std::string>(),
                               plain(changed[i].at("from")).substr(0, kWidthMax),
                               plain(changed[i].at("to")).substr(0, kWidthMax)));
    }
    if (changed.size() > kShownMax) {
        table.line(fmt::format("  and {} more", changed.size() - kShownMax));
    }
}

void add_published(Table& table, const Json& report) {
    const Json& published = report.at("published");
    if (published.empty() || !report.contains("step")) {
        return;
    }
    const char* ours = is_measured(report) ? "measured" : "simulated";
    table.heading("Published measurements");
    table.line(fmt::format("  {:<28}{:>16}{:>16}{:>10}", "metric", ours, "published", "error"));
    // The step time last: it is what readers look for.
    for (const bool step_time : {false, true}) {
        for (const Json& item : published) {
            if ((item.at("metric") == "step.time_s") != step_time) {
                continue;
            }
            // What the report lacks, and what a published 0 has no error against.
            const auto or_dash = [&](const char* key, const auto& text) {
                return item.at(key).is_number() ? text(number(item, key)) : "-";
            };
            const auto plainly = [](double value) { return short_number(value); };
            table.line(fmt::format(
                "  {:<28}{:>16}{:>16}{:>10}", item.at("metric").get<std::string>(),
                or_dash(ours, plainly), or_dash("published", plainly),
                or_dash("error_percent", [](double of) { return fmt::format("{:+.1f}%", of); })));
        }
    }
}

std::string how_it_ran(const Json& report) {
    const Json& info = report.at("run_info");
    const auto text = [&](const char* key) { return info.at(key).get<std::string>(); };
    const auto count = [&](const char* key) { return info.at(key).get<std::int64_t>(); };
    if (info.at("measured").get<bool>()) {
        return fmt::format("measured on {} {} ranks ({}, {} a node) in {:.2f} s", count("ranks"),
                           text("device"), text("transport"), count("ranks_per_node"),
                           number(info, "wall_s"));
    }
    const double seconds =
        number(info, "graph_build_s") + number(info, "lower_s") + number(info, "replay_s");
    if (!report.contains("step")) {
        return fmt::format("checked, and the graph built in {:.2f} s: nothing was simulated",
                           seconds);
    }
    return fmt::format("simulated in {:.2f} s: engine {}, folding {}, {} activities, {} flows",
                       seconds, text("engine"), text("fold"), count("activities"), count("flows"));
}

}  // namespace

std::string report_table(const Json& report, bool color) {
    Table table(color);
    const Json& scenario = report.at("scenario");
    const Json& info = report.at("run_info");
    table.line(fmt::format("{}", scenario.at("name").get<std::string>()));
    table.line(fmt::format("  graph {}, {} ops ({} stored), {} edges",
                           report.at("graph").at("hash").get<std::string>(),
                           report.at("graph").at("ops").get<std::int64_t>(),
                           report.at("graph").at("ops_stored").get<std::int64_t>(),
                           report.at("graph").at("edges").get<std::int64_t>()));
    table.line("  " + how_it_ran(report));
    if (info.contains("engine_difference")) {
        const Json& difference = info.at("engine_difference");
        table.line(fmt::format("  fluid against simgrid: step {:+.1e}, ops at most {:.1e} of it",
                               number(difference, "step"), number(difference, "op_max")));
    }
    if (report.contains("step")) {
        add_step(table, report);
        add_training(table, report);
        add_breakdown(table, report);
        add_sensitivity(table, report);
        add_layers(table, report);
    }
    add_memory(table, report);
    if (report.contains("expert_all_to_all")) {
        add_all_to_all(table, report.at("expert_all_to_all"));
    }
    add_network(table, report);
    if (report.contains("cost")) {
        const Json& cost = report.at("cost");
        table.heading("Cost of the step");
        table.row("GPU-hours", short_number(number(cost, "gpu_hours")),
                  fmt::format("{} USD, {} kWh", short_number(number(cost, "usd")),
                              short_number(number(cost, "energy_kwh"))));
    }
    if (report.contains("baseline")) {
        add_baseline(table, report.at("baseline"));
    }
    add_published(table, report);
    return std::move(table).take();
}

}  // namespace r1
