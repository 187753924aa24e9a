// A name for content: XXH3, 128 bits, the same in every release and on every machine.
#pragma once

#include <string>
#include <string_view>

namespace r1 {

// 32 hexadecimal digits.
std::string content_hash(std::string_view bytes);

}  // namespace r1
