// The processes of a job, as mpirun or srun started them: what is known before MPI is.
#pragma once

namespace r1 {

int processes();
int processes_here();  // on this machine
int process_rank();    // of this one among all, from 0
bool is_first_process();
int local_rank();  // among the processes of this machine

}  // namespace r1
