// How the programs that link r1_allocator hold their memory: on pages of 2 MB, as a step's graph,
// lanes and timeline are tens of megabytes that are read in no order (ADR 1 has figures); and kept
// for good, as the next step needs as much. jemalloc reads this when the program starts, and
// MALLOC_CONF in the environment after it.
extern "C" {
extern const char* malloc_conf;  // jemalloc's name
const char* malloc_conf = "thp:always,dirty_decay_ms:-1,muzzy_decay_ms:-1";
}
