# A small r1sim.sweep_result/1 made of one report: two schedules, one of them twice as slow, and a
# point that was refused.
def line($point; $schedule; $slower):
    {schema: "r1sim.sweep_line/1", sweep: ("0" * 32), $point,
     axes: {"/plan/schedule": $schedule, "/seed": 1}, exit_code: 0,
     step: (.step | .time_s *= $slower), memory, cost: (.cost | .usd *= $slower)};
def point: {point, axes, step_time_s: .step.time_s, tokens_per_s: .step.tokens_per_s,
    usd: .cost.usd, memory_bytes: ([.memory.per_rank[].total] | max)};
def spread: {mean: (add / length), min: min, max: max};
def effect($axis; $lines):
    {$axis, values: [$lines | group_by(.axes[$axis])[]
        | {value: .[0].axes[$axis], points: length, step_time_s: (map(.step.time_s) | spread),
           usd: (map(.cost.usd) | spread), memory_bytes: (map(point.memory_bytes) | spread)}]};

[line(0; "dualpipe"; 1), line(1; "1f1b"; 2)] as $lines
| {schema: "r1sim.sweep_result/1", name: "two schedules", sweep: ("0" * 32), points: 3,
   simulated: 2, without_room: 0,
   refused: [{exit_code: 3, points: 1, first: 2, error: "a schedule that does not exist"}],
   compared_per: "step", best: ($lines[0] | point), pareto_front: [$lines[0] | point],
   effects: [effect("/plan/schedule"; $lines), effect("/seed"; $lines)],
   lines: ($lines + [{schema: "r1sim.sweep_line/1", sweep: ("0" * 32), point: 2,
       axes: {"/plan/schedule": "none", "/seed": 1}, exit_code: 3, error: "no"}])}
