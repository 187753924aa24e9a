// What the commands that execute a checkpoint share: how it computes, and tokens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/device.hpp"
#include "runtime/storage.hpp"
#include "tools/cli.hpp"

namespace r1 {

// --device, --compute, --fp8, --binding, --timeline
void add_execution_options(po::options_description& options, const char* compute = "fp32");
// Refuses --set, which has no file to change where a checkpoint is executed. Throws UsageError.
void refuse_overrides(const Invocation& invocation);
// Throws UsageError. Also sets the CPU's threads to --jobs, if given.
ExecutionPolicy policy_of(const Invocation& invocation);

// Throws UsageError, and FeatureError where there is no such device. `local_rank`: of this process
// on its machine, whose GPUs processes take in turns.
DeviceKind device_of(const Invocation& invocation, int local_rank = 0);

struct TokenBatch {
    std::vector<std::int32_t> ids;
    std::int64_t sequences = 1;
};
// "1,2,3". Throws InputError.
std::vector<std::int32_t> parse_tokens(const std::string& text);
// A safetensors file with "tokens" [T] or [B, T], I32 or I64. Throws InputError.
TokenBatch read_tokens(const std::string& file);

// The folder that holds a checkpoint's config and tokenizer, whichever of its files was named.
std::string model_folder(const std::string& model);

}  // namespace r1
