// Any text as a config.json: InputError, diagnostics, or a model that can be counted.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "model/base/json.hpp"
#include "model/config/parameters.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(bytes), size);
    try {
        const r1::Document document = r1::Document::from_text(text, "config.json");
        r1::Diagnostics diagnostics;
        const r1::ModelConfig config = r1::read_model_config(document, "", diagnostics);
        if (!diagnostics.ok()) {
            r1::render(diagnostics.errors());
            return 0;
        }
        // Larger models take longer, but nothing else happens.
        if (config.num_hidden_layers * (config.n_routed_experts + 8) > 20'000) {
            return 0;
        }
        const r1::ParameterCounts counts = r1::count_parameters(config);
        if (counts.total < 0 || counts.active_per_token > counts.total) {
            std::abort();
        }
        r1::kv_cache_bytes_per_token(config);
        r1::training_flops_per_token(config, 4096, true);
    } catch (const r1::InputError&) {
        return 0;
    }
    return 0;
}
