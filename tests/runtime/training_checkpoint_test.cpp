// Training that is saved and resumed: the same bits, and never half a checkpoint.
#include "runtime/training_checkpoint.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/checkpoint_folder.hpp"
#include "runtime/evaluate.hpp"
#include "tests/runtime/checkpoint_job.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/contains.hpp"
#include "tests/support/temporary_folder.hpp"

namespace r1 {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::input_error;
using test::Job;
using test::RankBytes;
using test::TemporaryFolder;
using test::TrainingKind;

constexpr TrainingKind kAloneJob = {{"alone", ScheduleKind::one_f_one_b}};
constexpr TrainingKind kSpreadJob = {{"PP2 DP2 EP2", ScheduleKind::one_f_one_b, 2, 2, 2, 2}};

void check_same_states(const std::vector<RankBytes>& got, const std::vector<RankBytes>& want) {
    REQUIRE(got.size() == want.size());
    for (std::size_t rank = 0; rank < got.size(); ++rank) {
        REQUIRE(got[rank].size() == want[rank].size());
        for (const auto& [name, bytes] : want[rank]) {
            INFO("rank " << rank << ": " << name);
            CHECK(got[rank].at(name) == bytes);
        }
    }
}

std::vector<std::string> names_in(const fs::path& folder) {
    std::vector<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
        names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

void flip_byte(const fs::path& file, std::size_t from_end) {
    std::string bytes = test::read_bytes(file);
    bytes[bytes.size() - from_end] ^= 1;
    test::write_bytes(file, bytes);
}

// Files of the process cannot grow beyond it, as on a disk that is full.
class FileSizeLimit {
public:
    explicit FileSizeLimit(std::uintmax_t bytes) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        rlimit limit = before_;
        limit.rlim_cur = bytes;
        handler_ = std::signal(SIGXFSZ, SIG_IGN);
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

private:
    rlimit before_{};
    void (*handler_)(int) = nullptr;
};

std::uintmax_t largest_file(const fs::path& folder) {
    std::uintmax_t largest = 0;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
        largest = std::max(largest, entry.is_regular_file() ? entry.file_size() : 0);
    }
    return largest;
}

}  // namespace

TEST_CASE("training checkpoint: a resumed run has the same bits", "[runtime][training]") {
    constexpr ScheduleKind kDualPipe = ScheduleKind::dualpipe;
    const TrainingKind kinds[] = {
        kAloneJob,
        kSpreadJob,
        {{"without ZeRO", ScheduleKind::one_f_one_b, 1, 2, 1, 1, 0, 0}},
        {{"DualPipe, BF16", kDualPipe, 2, 2, 2, 2}, DType::bf16, false, false},
        {{"FP8", ScheduleKind::one_f_one_b, 1, 2, 2, 2}, DType::bf16, true, false},
    };
    for (const TrainingKind& kind : kinds) {
        INFO(kind.spread.name);
        const TemporaryFolder folder("training_checkpoint");
        const Job job(kind, folder / "checkpoints");
        const auto whole = job.states([&](RankTrainer& trainer, const Everyone& ranks) {
            for (int step = 1; step <= 4; ++step) {
                Job::step(trainer, step);
                if (step == 2) {
                    job.save(trainer, ranks, step);
                }
            }
        });
        const auto resumed = job.states([&](RankTrainer& trainer, const Everyone& ranks) {
            const TrainerState state = job.restore(trainer, ranks, *find_latest(job.folder()));
            if (state.step != 2 || state.seed != 3 || state.data_hash != "data" ||
                state.progress != Json{{"tokens", 7.5}}) {
                throw std::runtime_error("another state of the trainer");
            }
            for (int step = 3; step <= 4; ++step) {
                Job::step(trainer, step);
            }
        });
        check_same_states(resumed, whole);
    }
}

TEST_CASE("training checkpoint: the state right after restoring is the one that was saved",
          "[runtime][training]") {
    const TrainingKind kind = {
        {"", ScheduleKind::one_f_one_b, 2, 2, 1, 2}, DType::bf16, true, false};
    const TemporaryFolder folder("training_checkpoint");
    const Job job(kind, folder.path());
    const auto saved = job.states([&](RankTrainer& trainer, const Everyone& ranks) {
        Job::step(trainer, 1);
        job.save(trainer, ranks, 1);
    });
    check_same_states(job.states([&](RankTrainer& trainer, const Everyone& ranks) {
        job.restore(trainer, ranks, job.checkpoint(1));
    }),
                      saved);
}

TEST_CASE("training checkpoint: the folder evaluates to the loss of the trainer",
          "[runtime][training]") {
    struct Stored {
        TrainingKind kind;
        bool f32_weights;
        double tolerance;  // what the stored type rounds away
    };
    TrainingKind fp8 = kSpreadJob;
    fp8.fp8 = true;
    for (const Stored& stored : {Stored{kAloneJob, true, 1e-6},
                                 {kSpreadJob, true, 1e-6},
                                 {kSpreadJob, false, 1e-3},
                                 {fp8, false, 1e-3}}) {
        const TemporaryFolder folder("training_checkpoint");
        const Job job(stored.kind, folder.path());
        double loss = 0;
        job.run([&](RankTrainer& trainer, const Everyone& ranks) {
            Job::step(trainer, 1);
            Job::step(trainer, 2);
            job.save(trainer, ranks, 2, 9, stored.f32_weights);
            const StepOutcome outcome = Job::step(trainer, 3);  // before it changes the weights
            if (ranks.communicator.rank() == 0) {
                loss = outcome.loss;
            }
        });
        const Checkpoint checkpoint = Checkpoint::open(job.checkpoint(2));
        double sum = 0;
        for (std::int64_t i = 0; i < test::kSequences; ++i) {
            const Evaluation evaluation = evaluate(checkpoint, test::sequence(3, i), 1, {});
            sum += static_cast<double>(evaluation.tensors.at("loss").f32.front());
        }
        CHECK(sum / test::kSequences == Approx(loss).epsilon(stored.tolerance));
        CHECK(checkpoint.at("model.norm.weight").dtype ==
              (stored.f32_weights ? StoredType::f32 : StoredType::bf16));
        CHECK(checkpoint.at("model.layers.3.mlp.experts.5.up_proj.weight").dtype ==
              (stored.kind.fp8      ? StoredType::f8_e4m3
               : stored.f32_weights ? StoredType::f32
                                    : StoredType::bf16));
        CHECK(checkpoint.at("model.layers.3.mlp.gate.e_score_correction_bias").dtype ==
              StoredType::f32);
    }
}

TEST_CASE("training checkpoint: a fresh start takes the values of a checkpoint",
          "[runtime][training]") {
    const TemporaryFolder folder("training_checkpoint");
    const Job job(kSpreadJob, folder.path());
    job.run([&](RankTrainer& trainer, const Everyone& ranks) {
        Job::step(trainer, 1);
        job.save(trainer, ranks, 1, 9, true);
    });
    const Checkpoint checkpoint = Checkpoint::open(job.checkpoint(1));
    const RankState::Source source = checkpoint_parameters(checkpoint);
    const std::string name = "model.layers.2.mlp.gate.weight";
    CHECK(source(name, 16 * 32) == checkpoint.f32(name));
    const std::string error = input_error([&] { source(name, 8 * 32); });
    CHECK(contains(error, name));
    CHECK(contains(error, "has 512 values, the model calls for 256"));
}

TEST_CASE("training checkpoint: damage is named, and the one before restores",
          "[runtime][training]") {
    const TemporaryFolder folder("training_checkpoint");
    const Job job(kSpreadJob, folder.path());
    job.save_steps(2);
    const fs::path newest = job.checkpoint(2);
    REQUIRE(find_latest(job.folder()) == newest);

    // `is_seen`: without reading the files.
    const auto check_damage = [&](const fs::path& file, bool is_seen) {
        const std::string error = job.restore_error(newest);
        INFO(error);
        CHECK(contains(error, file.string()));
        const std::vector<ListedCheckpoint> listed = list_checkpoints(job.folder());
        REQUIRE(listed.size() == 2);
        CHECK(contains(listed[0].problem, file.string()) == is_seen);
        CHECK(listed[1].problem.empty());
        CHECK(find_latest(job.folder()) == (is_seen ? job.checkpoint(1) : newest));
    };
    for (const char* name : {"optimizer/rank-00003.safetensors", "model-00002-of-00004.safetensors",
                             "config.json", "model.safetensors.index.json", "trainer.json"}) {
        const fs::path file = newest / name;
        const std::string intact = test::read_bytes(file);
        flip_byte(file, 40);
        check_damage(file, name == std::string("trainer.json"));
        fs::resize_file(file, intact.size() / 2);
        check_damage(file, true);
        fs::remove(file);
        check_damage(file, true);
        test::write_bytes(file, intact);
    }
    flip_byte(newest / "optimizer/rank-00001.safetensors", 5);
    job.run([&](RankTrainer& trainer, const Everyone& ranks) {
        const std::string error = input_error([&] { job.restore(trainer, ranks, newest); });
        const TrainerState state = job.restore(trainer, ranks, job.checkpoint(1));
        if (error.empty() || state.step != 1) {
            throw std::runtime_error("the checkpoint before does not restore");
        }
    });
}

TEST_CASE("training checkpoint: another job's is refused", "[runtime][training]") {
    const TemporaryFolder folder("training_checkpoint");
    const Job job(kSpreadJob, folder.path());
    job.save_steps(1);
    const auto refuses = [&](const TrainingKind& other, const std::string& why) {
        std::string error = Job(other, folder.path()).restore_error(job.checkpoint(1));
        INFO(error);
        CHECK(contains(error, why));
        return error;
    };
    CHECK(contains(refuses(kAloneJob, "is of 4 ranks, this job has 1"),
                   "workload.initial_checkpoint"));
    CHECK(contains(refuses({{"", ScheduleKind::one_f_one_b, 1, 4, 2, 2}}, "is of the graph "),
                   "workload.initial_checkpoint"));
    TrainingKind bf16_moments = kSpreadJob;
    bf16_moments.f32_moments = false;
    refuses(bf16_moments, "'stage-0.dense.exp_avg': is F32 of");
}

TEST_CASE("training checkpoint: a failed write leaves the one before", "[runtime][training]") {
    const TemporaryFolder folder("training_checkpoint");
    const Job job(kSpreadJob, folder.path());
    job.save_steps(1);
    const std::uintmax_t largest = largest_file(job.checkpoint(1));
    std::vector<std::string> errors(4);
    {
        const FileSizeLimit limit(largest - 1);
        job.run([&](RankTrainer& trainer, const Everyone& ranks) {
            Job::step(trainer, 1);
            errors[static_cast<std::size_t>(ranks.communicator.rank())] =
                input_error([&] { job.save(trainer, ranks, 2); });
        });
    }
    for (const std::string& error : errors) {
        CHECK(error == errors.front());
    }
    CHECK(contains(errors.front(), "optimizer/rank-0000"));
    CHECK(contains(errors.front(), "cannot be written (File too large) (rank "));
    CHECK(names_in(job.folder()) == std::vector<std::string>{"step-00000001"});
    CHECK(find_latest(job.folder()) == job.checkpoint(1));
    job.run([&](RankTrainer& trainer, const Everyone& ranks) {
        job.restore(trainer, ranks, job.checkpoint(1));
        Job::step(trainer, 2);
        job.save(trainer, ranks, 2);
    });
    CHECK(find_latest(job.folder()) == job.checkpoint(2));
}

TEST_CASE("training checkpoint: a run that is killed leaves a usable one", "[runtime][training]") {
    const TemporaryFolder folder("training_checkpoint");
    const Job job(kSpreadJob, folder.path());
    job.save_steps(1);
    for (const int milliseconds : {60, 95, 130, 165, 200}) {
        const pid_t child = ::fork();
        if (child == 0) {
            job.run([&](RankTrainer& trainer, const Everyone& ranks) {
                job.restore(trainer, ranks, *find_latest(job.folder()));
                for (int step = 2;; ++step) {
                    job.save(trainer, ranks, step, 1);
                }
            });
            ::_exit(0);
        }
        REQUIRE(child > 0);
        std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
        for (const ListedCheckpoint& checkpoint : list_checkpoints(job.folder())) {
            CHECK(checkpoint.problem.empty());
        }
        const std::optional<fs::path> latest = find_latest(job.folder());
        REQUIRE(latest);
        job.run([&](RankTrainer& trainer, const Everyone& ranks) {
            job.restore(trainer, ranks, *latest);
        });
    }
}

TEST_CASE("training checkpoint: what killed runs leave is no checkpoint, and goes",
          "[runtime][training]") {
    const TemporaryFolder folder("training_checkpoint");
    const Job job(kAloneJob, folder.path());
    job.save_steps(1);
    fs::copy(job.checkpoint(1), folder / ".step-00000002.partial", fs::copy_options::recursive);
    fs::create_directories(folder / ".step-00000001.old.partial/optimizer");
    test::write_bytes(folder / "step-notes", "not ours");
    REQUIRE(find_latest(job.folder()) == job.checkpoint(1));
    REQUIRE(list_checkpoints(job.folder()).size() == 1);
    CHECK_FALSE(find_latest(folder / "none"));

    // A folder of the name that is no checkpoint gives way, too.
    fs::create_directories(job.checkpoint(2) / "optimizer");
    CHECK(contains(list_checkpoints(job.folder()).front().problem, "trainer.json"));
    job.save_steps(2);
    CHECK(names_in(job.folder()) ==
          std::vector<std::string>{"step-00000001", "step-00000002", "step-notes"});
    CHECK(find_latest(job.folder()) == job.checkpoint(2));
}

TEST_CASE("training checkpoint: the newest usable ones are kept", "[runtime][training]") {
    const TemporaryFolder folder("training_checkpoint");
    const Job job(kAloneJob, folder.path());
    job.save_steps(4, 2);
    CHECK(names_in(job.folder()) == std::vector<std::string>{"step-00000003", "step-00000004"});
    // Gone on from step 1 after 4 was lost: a damaged checkpoint is none of the two that are kept,
    // and no earlier save removes later ones.
    fs::remove(job.checkpoint(3) / "config.json");
    job.save_steps(2, 1);
    CHECK(names_in(job.folder()) ==
          std::vector<std::string>{"step-00000002", "step-00000003", "step-00000004"});
    job.run([&](RankTrainer& trainer, const Everyone& ranks) {
        Job::step(trainer, 1);
        job.save(trainer, ranks, 5, 3);
    });
    CHECK(names_in(job.folder()) == std::vector<std::string>{"step-00000002", "step-00000003",
                                                             "step-00000004", "step-00000005"});
}

}  // namespace r1
