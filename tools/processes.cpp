#include "tools/processes.hpp"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>

namespace r1 {

namespace {

// What mpirun (OpenMPI, others with PMI) or srun (with PMIx) say to the processes they start.
int number_of(std::initializer_list<const char*> variables, int otherwise) {
    for (const char* variable : variables) {
        if (const char* text = std::getenv(variable)) {
            return std::atoi(text);
        }
    }
    return otherwise;
}

}  // namespace

int processes() {
    const bool by_srun = std::getenv("PMIX_RANK") != nullptr;
    return number_of({"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", by_srun ? "SLURM_STEP_NUM_TASKS" : ""},
                     1);
}

int processes_here() {
    return std::max(1, number_of({"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"}, 1));
}

int local_rank() {
    return number_of({"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}, 0);
}

int process_rank() { return number_of({"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}, 0); }

bool is_first_process() { return process_rank() == 0; }

}  // namespace r1
