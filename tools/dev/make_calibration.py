#!/usr/bin/env python3
"""Makes the published calibration files under topologies/calibration/.

A developer script, not used at run time. It reads the shared reference measurements
($R1_DATA_DIR/reference, else ../shared/reference beside the repository) and writes
h800_published.json and h100_published.json, and assumed_cpu.json with one assumed point for each
of the same kernels. Every published point names the row that it comes from and,
where arithmetic was applied, says which. No published number is typed in here except tensor shapes,
which follow from the model's dimensions and are checked against the grids of the trace.

    tools/dev/make_calibration.py           write the files
    tools/dev/make_calibration.py --check   fail if the files differ from what would be written
"""

import json
import os
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = Path(os.environ.get("R1_DATA_DIR", ROOT.parent / "shared")) / "reference"
OUT = ROOT / "topologies" / "calibration"

# DeepSeek-V3, as in deepseek_v3_model_config.json; the trace runs one sequence of 4096 tokens.
TOKENS, HIDDEN, Q_RANK, KV_RANK, ROPE, HEADS = 4096, 7168, 1536, 512, 64, 128
QK, V, INTER, EXPERTS, TOP_K, LOCAL_EXPERTS = 192, 128, 2048, 256, 8, 4
BF16 = 2.0
FP8 = 33 / 32  # one byte and an FP32 scale for 128 values
E5M6 = 1.5
TRACE_SMS, ALL_SMS = 112, 132
NODES_PER_TOKEN = 4  # assumed: the routing limit; the trace does not state it

LAYERS = (0, 1)

# Not published: a run of r1_calibrate_cuda.
OWN_FILE, OWN_SOURCE = "h100_measured.json", "cuda.measured"


def load(name):
    with open(DATA / name, encoding="utf-8") as file:
        return json.load(file)


def load_own():
    with open(OUT / OWN_FILE, encoding="utf-8") as file:
        return json.load(file)


def table(document, table_id):
    found = [t for t in document["tables"] if t["id"] == table_id]
    assert len(found) == 1, table_id
    return [dict(zip(found[0]["columns"], row)) for row in found[0]["rows"]], found[0]


def rounded(value):
    return float(f"{value:.6g}")


class Curves:
    """Curves of one calibration file, in the order in which they were first named."""

    def __init__(self):
        self.curves = {}

    def add(self, kernel, quantity, columns, key, value, source, row, derivation=None):
        curve = self.curves.setdefault(
            kernel, {"kernel": kernel, "quantity": quantity, "columns": columns, "points": []})
        assert curve["quantity"] == quantity and curve["columns"] == columns, kernel
        assert len(key) == len(columns), (kernel, key)
        point = dict(zip(columns, key))
        point.update(value=rounded(value), source=source, row=row)
        if derivation:
            point["derivation"] = derivation
        curve["points"].append(point)


class Trace:
    """Kernel events of layers 0 and 1 of the published training trace."""

    def __init__(self):
        events = load("profile_data_training_events.json")
        self.summary = load("profile_data_training.json")
        self.rows = self.summary["routed_rows"]
        self.events = []
        for row in events["rows"]:
            event = dict(zip(events["columns"], row))
            event["phase"] = events["phases"][event["phase_idx"]]
            event["category"] = events["categories"][event["category_idx"]]
            event["name"] = events["names"][event["name_idx"]]
            event["end_us"] = event["ts_us"] + event["dur_us"]
            self.events.append(event)
        self.marks = []  # (graph kernel, events, bytes, time that its curve gives them)

    def mark(self, kernel, events, size, us):
        """These events are one op of the graph; `us` of their span is in the op's own curve."""
        self.marks.append((kernel, sorted(events, key=lambda e: e["ts_us"]), size, us))

    def event(self, layer, phase, categories, us):
        """The first event of that duration that no op has yet."""
        taken = {id(e) for _, events, _, _ in self.marks for e in events}
        return next(e for e in self.events
                    if e["layer"] == layer and e["phase"] == phase and e["dur_us"] == us
                    and e["category"] in categories and id(e) not in taken)

    def select(self, layer, phase, category=None, name=None, grid=None, stream=None):
        return [e for e in self.events
                if e["layer"] == layer and e["phase"] == phase
                and (category is None or e["category"] == category)
                and (name is None or name in e["name"])
                and (grid is None or e["grid_blocks"] == grid)
                and (stream is None or e["stream"] == stream)]


def at(event):
    return (f"layer {event['layer']} {event['phase']} stream {event['stream']} "
            f"ts {event['ts_us']}: {event['dur_us']} us")


# ---- GEMMs ----

GEMM = ["m", "n", "k", "sms"]
GROUPED = ["groups", "m_per_group", "n", "k", "sms"]
GROUPED_WGRAD = ["groups", "m", "n", "k_per_group", "sms"]


def flops_rate(m, n, k, us):
    return 2 * m * n * k / us / 1e6


def gemm_bytes(m, n, k, groups=1, per_result=BF16):
    return (m * k + groups * n * k) * FP8 + m * n * per_result


def deepgemm(curves):
    document = load("deepgemm.json")
    for row in table(document, "deepgemm.dense")[0]:
        curves.add("gemm_fp8", "tflops", GEMM, (row["M"], row["N"], row["K"], ALL_SMS),
                   row["mar_TFLOPS"], "deepgemm.dense",
                   f"{row['M']}x{row['N']}x{row['K']} mar_TFLOPS")
    for row in table(document, "deepgemm.grouped_contiguous")[0]:
        curves.add("grouped_gemm_fp8", "tflops", GROUPED,
                   (row["groups"], row["M_per_group"], row["N"], row["K"], ALL_SMS),
                   row["mar_TFLOPS"], "deepgemm.grouped_contiguous",
                   f"{row['groups']} x {row['M_per_group']}x{row['N']}x{row['K']} mar_TFLOPS")


def deepgemm_masked(curves):
    for row in table(load("deepgemm.json"), "deepgemm.grouped_masked")[0]:
        curves.add("grouped_gemm_fp8", "tflops", GROUPED,
                   (row["groups"], row["M_per_group"], row["N"], row["K"], ALL_SMS),
                   row["TFLOPS"], "deepgemm.grouped_masked",
                   f"{row['groups']} x {row['M_per_group']}x{row['N']}x{row['K']} TFLOPS")


def infersim(curves):
    document = load("h800_kernels_infersim.json")
    for row in table(document, "infersim.gemm")[0]:
        m, n, k, us = row["m"], row["n"], row["k"], row["latency_us"]
        curves.add("gemm_fp8", "tflops", GEMM, (m, n, k, ALL_SMS), flops_rate(m, n, k, us),
                   "infersim.gemm", f"m {m} k {k} n {n}: {us} us", "2 m n k / latency_us")
    for row in table(document, "infersim.grouped_decode")[0]:
        groups, rows = row["num_local_experts"], row["tokens_per_expert"]
        for side, n, k in (("up", 2 * row["intermediate_size"], row["hidden_size"]),
                           ("down", row["hidden_size"], row["intermediate_size"])):
            mfu = row[f"{side}_mfu"]
            curves.add("grouped_gemm_fp8", "tflops", GROUPED, (groups, rows, n, k, ALL_SMS),
                       mfu * 1979, "infersim.grouped_decode",
                       f"num_gpus {row['num_gpus']} batch_size_per_gpu "
                       f"{row['batch_size_per_gpu']}: {side}_mfu {mfu}",
                       "mfu x 1979 TFLOPS, the peak that the table uses; masked layout")
    for row in table(document, "infersim.grouped_prefill")[0]:
        groups, rows = row["num_local_experts"], row["tokens_per_expert"]
        label = f"num_gpus {row['num_gpus']} seq_len_per_gpu {row['seq_len_per_gpu']}"
        for side, n, k in (("up", 2 * row["intermediate_size"], row["hidden_size"]),
                           ("down", row["hidden_size"], row["intermediate_size"])):
            # The times scatter by up to 15 % around their own mfu, which is smooth: as in the
            # decode table, rows a group are drawn at random and only the mfu accounts for that.
            mfu = row[f"{side}_mfu"]
            curves.add("grouped_gemm_fp8", "tflops", GROUPED, (groups, rows, n, k, ALL_SMS),
                       mfu * 1979, "infersim.grouped_prefill", f"{label}: {side}_mfu {mfu}",
                       f"mfu x 1979 TFLOPS, the peak that the table uses; 2 groups m n k / "
                       f"{side}_proj_us gives "
                       f"{flops_rate(groups * rows, n, k, row[side + '_proj_us']):.0f}")


def shenh10(curves):
    for row in table(load("h800_kernels_shenh10.json"), "shenh10.dense")[0]:
        m, n, k = row["m"], row["n"], row["k"]
        curves.add("gemm_fp8", "tflops", GEMM, (m, n, k, ALL_SMS), row["throughput_TFLOPS"],
                   "shenh10.dense", f"matrix {row['matrix_idx']} tp {row['tp']} m {m}: "
                                    f"throughput_TFLOPS {row['throughput_TFLOPS']}")


def trace_gemms(curves, trace):
    shapes = trace.summary["gemm_shapes_inferred"]
    for values in shapes["rows"]:
        row = dict(zip(shapes["columns"], values))
        m, n, k = row["M"], row["N"], row["K"]
        label = f"layer {row['layer']} {row['phase']} {row['gemm']}: TFLOPS {row['TFLOPS']}"
        category = ("gemm_fp8_wgrad" if row["phase"] == "attn(W)" else
                    "gemm_fp8_grouped" if row["gemm"].startswith("routed") else "gemm_fp8")
        kernel = {"gemm_fp8_grouped": "grouped_gemm_fp8"}.get(category, category)
        groups = LOCAL_EXPERTS if kernel == "grouped_gemm_fp8" else 1
        trace.mark(kernel, [trace.event(row["layer"], row["phase"], [category], row["us"])],
                   gemm_bytes(m, n, k, groups, 4 if category == "gemm_fp8_wgrad" else BF16),
                   row["us"])
        if row["phase"] == "attn(W)":
            curves.add("gemm_fp8_wgrad", "tflops", GEMM, (m, n, k, TRACE_SMS), row["TFLOPS"],
                       "trace.gemm", label)
        elif row["gemm"].startswith("routed"):
            assert m in trace.rows.values(), row
            curves.add("grouped_gemm_fp8", "tflops", GROUPED,
                       (LOCAL_EXPERTS, m // LOCAL_EXPERTS, n, k, TRACE_SMS), row["TFLOPS"],
                       "trace.gemm", label,
                       f"m_per_group = {m} routed rows / {LOCAL_EXPERTS} local experts, the mean: "
                       "the rows of each expert are not published")
        else:
            curves.add("gemm_fp8", "tflops", GEMM, (m, n, k, TRACE_SMS), row["TFLOPS"],
                       "trace.gemm", label)


def union_us(events):
    busy, end = 0, None
    for event in sorted(events, key=lambda e: e["ts_us"]):
        start = event["ts_us"] if end is None else max(event["ts_us"], end)
        busy += max(0, event["end_us"] - start)
        end = event["end_us"] if end is None else max(end, event["end_us"])
    return busy


def trace_expert_wgrads(curves, trace):
    """Ten weight-gradient GEMMs a layer in mlp(W): shared down, four routed down, four routed
    gate_up, shared gate_up. The routed ones alternate between streams 7 and 23, and as blocks of
    both do not fit one SM, a kernel's length there includes waiting for the one before; only the
    union of a group is a time. That the shared gate_up GEMM is the last one: its length does not
    follow the routed rows, and the first eight then have lengths in the same proportions, expert
    by expert, for down and gate_up (0.47-0.49, once 0.44)."""
    for layer in LAYERS:
        gemms = sorted(trace.select(layer, "mlp(W)", "gemm_fp8_wgrad"), key=lambda e: e["ts_us"])
        assert len(gemms) == 2 + 2 * LOCAL_EXPERTS
        shared = ((gemms[0], HIDDEN, INTER, "shared down wgrad, first GEMM of mlp(W)"),
                  (gemms[-1], 2 * INTER, HIDDEN, "shared gate_up wgrad, last GEMM of mlp(W)"))
        for event, m, n, what in shared:
            trace.mark("gemm_fp8_wgrad", [event], gemm_bytes(m, n, TOKENS, 1, 4), event["dur_us"])
            curves.add("gemm_fp8_wgrad", "tflops", GEMM, (m, n, TOKENS, TRACE_SMS),
                       flops_rate(m, n, TOKENS, event["dur_us"]), "trace.events",
                       f"{at(event)} ({what})", "2 m n k / us; shape from the model and the order")
        rows = trace.rows[f"layer{layer}_B"]
        routed = gemms[1:-1]
        groups = ((routed[:LOCAL_EXPERTS], HIDDEN, INTER, "down"),
                  (routed[LOCAL_EXPERTS:], 2 * INTER, HIDDEN, "gate_up"))
        for events, m, n, what in groups:
            us = union_us(events)
            trace.mark("grouped_gemm_fp8_wgrad", events,
                       (m + n) * rows * FP8 + LOCAL_EXPERTS * m * n * 4, us)
            curves.add("grouped_gemm_fp8_wgrad", "tflops", GROUPED_WGRAD,
                       (LOCAL_EXPERTS, m, n, rows // LOCAL_EXPERTS, TRACE_SMS),
                       flops_rate(m, n, rows, us), "trace.events",
                       f"layer {layer} mlp(W) streams 7 and 23, ts {events[0]['ts_us']} to "
                       f"{max(e['end_us'] for e in events)} (routed {what} wgrads)",
                       f"2 m n rows / busy union of the {LOCAL_EXPERTS} GEMMs ({us} us); rows = "
                       f"routed_rows layer{layer}_B = {rows}")


def aic_gemms(curves, dtype, kernel, source):
    for row in table(load("aic_h100_gemm.json"), "aic.gemm.h100")[0]:
        if row["dtype"] != dtype or row["m"] < 16:
            continue
        m, n, k, us = row["m"], row["n"], row["k"], row["us"]
        curves.add(kernel, "tflops", GEMM, (m, n, k, ALL_SMS), flops_rate(m, n, k, us), source,
                   f"{dtype} m {m} n {n} k {k}: {us} us", "2 m n k / us")


def own_gemms(curves):
    """BF16 products of the repository's own calibration run, weight gradients with them."""
    for curve in load_own()["curves"]:
        if curve["kernel"] not in ("gemm_bf16", "gemm_bf16_wgrad"):
            continue
        for point in curve["points"]:
            curves.add("gemm_bf16", "tflops", GEMM, [point[c] for c in GEMM], point["value"],
                       OWN_SOURCE, f"{curve['kernel']}: {point['row']}", point["derivation"])


def trace_gate(curves, trace):
    for layer in LAYERS:
        for phase, name, (m, n, k), what in (
                ("attn(F)", "f32_tn", (TOKENS, EXPERTS, HIDDEN), "router gate forward"),
                ("attn(B)", "f32_nn", (TOKENS, HIDDEN, EXPERTS), "router gate input gradient"),
                ("attn(B)", "f32_nt", (EXPERTS, HIDDEN, TOKENS), "router gate weight gradient")):
            (event,) = trace.select(layer, phase, "gemm_bf16_gate", name)
            kernel = "gemm_bf16_wgrad" if what.endswith("weight gradient") else "gemm_bf16"
            trace.mark(kernel, [event], (m * k + n * k + m * n) * BF16, event["dur_us"])
            curves.add("gemm_bf16", "tflops", GEMM, (m, n, k, TRACE_SMS),
                       flops_rate(m, n, k, event["dur_us"]), "trace.events",
                       f"{at(event)} ({what})", "2 m n k / us; shape from the model, which of the "
                       "two backward GEMMs is which from the transposition in the kernel's name")


# ---- attention ----

ATTENTION = ["tokens", "heads", "qk", "v", "sms"]


def attention(curves, trace):
    def forward(tokens, us):
        return 2 * HEADS * (QK + V) * tokens ** 2 / 2 / us / 1e6

    def backward(tokens, us):
        return 2 * HEADS * (3 * QK + 2 * V) * tokens ** 2 / 2 / us / 1e6

    causal = "causal FLOPs 2 heads (qk + v) tokens^2 / 2, divided by the time"
    for row in table(load("h800_kernels_infersim.json"), "infersim.mla_prefill")[0]:
        tokens, us = row["seq_len"], row["latency_us"]
        curves.add("mla_attention", "tflops", ATTENTION, (tokens, HEADS, QK, V, ALL_SMS),
                   forward(tokens, us), "infersim.mla_prefill", f"seq_len {tokens}: {us} us",
                   causal)
    key = (TOKENS, HEADS, QK, V, TRACE_SMS)
    for layer in LAYERS:
        (event,) = trace.select(layer, "attn(F)", "attn_fwd")
        trace.mark("mla_attention", [event], 0, event["dur_us"])
        curves.add("mla_attention", "tflops", ATTENTION, key, forward(TOKENS, event["dur_us"]),
                   "trace.events", at(event), causal)
    for layer in LAYERS:
        kernels = [trace.select(layer, "attn(B)", c)[0]
                   for c in ("attn_bwd_pre", "attn_bwd", "attn_bwd_post")]
        parts = [e["dur_us"] for e in kernels]
        trace.mark("mla_attention_backward", kernels, 0, sum(parts))
        curves.add("mla_attention_backward", "tflops", ATTENTION, key, backward(TOKENS, sum(parts)),
                   "trace.events",
                   f"layer {layer} attn(B): preprocess {parts[0]} + backward {parts[1]} + "
                   f"postprocess {parts[2]} us",
                   "causal FLOPs 2 heads (3 qk + 2 v) tokens^2 / 2 (scores recomputed), divided by "
                   "the sum of the three kernels")


# ---- memory-bound kernels ----

MEMORY = ["bytes", "sms"]
NORM = "rows x width x (2 read + 2 written), BF16"
NORM_BACKWARD = "rows x width x (2 + 2 read + 2 written), BF16; time with the finalize kernel"
QUANTIZE = "rows x width x (2 read, BF16, + 33/32 written, FP8 and scales)"
REQUANTIZE = "rows x width x (33/32 read + 33/32 written, FP8 and scales)"
DEQUANTIZE = "rows x width x (33/32 read, FP8 and scales, + 2 written, BF16)"
COPY = "rows x width x (2 read + 2 written), BF16"


# Curves by their number format; the graph has one kernel for each pair.
GRAPH_KERNELS = {"quantize_e5m6": "quantize_fp8", "dequantize_e5m6": "dequantize_fp8"}


class MemoryPoints:
    def __init__(self, curves, trace):
        self.curves = curves
        self.trace = trace

    def add(self, kernel, events, size, shape, derivation, us=None):
        us = sum(e["dur_us"] for e in events) if us is None else us
        if kernel != "elementwise":  # parts of other ops, which mark them
            self.trace.mark(GRAPH_KERNELS.get(kernel, kernel), events, size, us)
        self.curves.add(kernel, "gb_per_s", MEMORY, (round(size), TRACE_SMS), size / us / 1e3,
                        "trace.events", f"{'; '.join(at(e) for e in events)} ({shape})",
                        f"bytes = {derivation}; divided by {us} us")

    def series(self, kernel, per_value, derivation, layer, phase, shapes, **selection):
        """One point for each selected event, in time order; `shapes` gives their rows x width."""
        events = self.trace.select(layer, phase, **selection)
        assert len(events) == len(shapes), (kernel, phase, len(events))
        for event, shape in zip(events, shapes):
            if shape is None:
                continue
            rows, width = shape
            self.add(kernel, [event], rows * width * per_value, f"[{rows}, {width}]", derivation)


def norms(points, layer):
    wide, query, latent = (TOKENS, HIDDEN), (TOKENS, Q_RANK), (TOKENS, KV_RANK)
    points.series("rms_norm", 2 * BF16, NORM, layer, "attn(F)", [wide, query, latent, wide],
                  category="norm_fwd")
    points.series("rms_norm", 2 * BF16, NORM, layer, "mlp(B)", [wide], category="norm_fwd")
    points.series("rms_norm", 2 * BF16, NORM, layer, "attn(B)", [query, latent, wide],
                  category="norm_fwd")
    events = points.trace.select(layer, "attn(B)", "norm_bwd")
    # Backward kernels come in pairs; the finalize kernel has a block for 32 columns.
    for first, (rows, width) in zip(range(0, 8, 2), [wide, latent, query, wide]):
        pair = events[first:first + 2]
        assert pair[1]["grid_blocks"] * 32 == width, pair
        points.add("rms_norm_backward", pair, rows * width * 3 * BF16, f"[{rows}, {width}]",
                   NORM_BACKWARD)


def quantisations(points, layer):
    forward, backward = (points.trace.rows[f"layer{layer}_{d}"] for d in "FB")
    per_value = BF16 + FP8
    kind = "per_token_cast_to_fp8_with_channels"
    # The second kernel quantises the same tokens again: the graph's kv_a GEMM waits for it.
    token = [(TOKENS, HIDDEN), None] + [(TOKENS, w) for w in (Q_RANK, KV_RANK, HEADS * V, HIDDEN)]
    points.series("quantize_fp8", per_value, QUANTIZE, layer, "attn(F)", token,
                  name="cuda::" + kind)
    points.series("quantize_fp8", per_value, QUANTIZE, layer, "mlp(F)",
                  [(forward, 2 * INTER), (TOKENS, 2 * INTER)], name="cuda::" + kind)
    points.series("quantize_fp8", per_value, QUANTIZE, layer, "mlp(B)",
                  [None, (backward, 2 * INTER), (TOKENS, 2 * INTER)], name="cuda::" + kind)
    token = [(TOKENS, w) for w in (HIDDEN, Q_RANK, KV_RANK, HEADS * QK, HEADS * (QK - ROPE + V),
                                   KV_RANK + ROPE, Q_RANK)]
    points.series("quantize_fp8", per_value, QUANTIZE, layer, "attn(B)", token,
                  name="cuda::" + kind)
    special = "rows x width x (2 read, BF16, + 1.5 written, E5M6)"
    points.series("quantize_e5m6", BF16 + E5M6, special, layer, "attn(F)", [(TOKENS, HEADS * V)],
                  name="fp8_special_fmt")
    special = "rows x width x (1.5 read, E5M6, + 2 written, BF16)"
    points.series("dequantize_e5m6", BF16 + E5M6, special, layer, "attn(B)",
                  [(TOKENS, HEADS * V)], name="cast_back_special_fmt")
    points.series("dequantize_fp8", per_value, DEQUANTIZE, layer, "mlp(B)",
                  [(TOKENS, 2 * INTER), (backward, 2 * INTER), None],
                  name="cuda::cast_back_impl")


def transposing_casts(points, layer):
    """A block for each tile of 128 x 128 values confirms the shapes."""
    backward = points.trace.rows[f"layer{layer}_B"]

    def check(phase, shapes):
        events = points.trace.select(layer, phase, name="cuda::per_channel_cast_and_transpose")
        for event, (rows, width) in zip(events, shapes):
            tiles = -(-rows // 128) * -(-width // 128)
            assert event["grid_blocks"] == tiles, (event, rows, width)

    name = "cuda::per_channel_cast_and_transpose"
    why = QUANTIZE + ", transposed"
    shapes = [(TOKENS, HIDDEN), (backward, INTER), (backward, 2 * INTER), (TOKENS, 2 * INTER),
              (TOKENS, HIDDEN)]
    check("mlp(B)", shapes)
    points.series("requantize_transpose_fp8", BF16 + FP8, why, layer, "mlp(B)", shapes, name=name)
    shapes = [(TOKENS, w) for w in (HEADS * V, HIDDEN, HEADS * (QK - ROPE + V), KV_RANK, HEADS * QK,
                                    Q_RANK, HIDDEN, KV_RANK + ROPE, HIDDEN, Q_RANK)]
    check("attn(B)", shapes)
    points.series("requantize_transpose_fp8", BF16 + FP8, why, layer, "attn(B)", shapes, name=name)
    shapes = [(backward, HIDDEN)] * 2
    check("mlp(W)", shapes)
    points.series("requantize_transpose_fp8", 2 * FP8,
                  REQUANTIZE + ", transposed (the dispatched rows arrive in FP8)", layer, "mlp(W)",
                  shapes, name=name)

def expert_kernels(points, layer):
    trace = points.trace
    forward, backward = (trace.rows[f"layer{layer}_{d}"] for d in "FB")
    events = trace.select(layer, "mlp(F)", name="swiglu_forward_with_weight")
    for event, rows in zip(events, (forward, TOKENS), strict=True):
        assert event["grid_blocks"] == rows
        points.add("swiglu", [event], rows * (2 * INTER * BF16 + INTER * FP8),
                   f"[{rows}, {2 * INTER}]",
                   "rows x (4096 x 2 read, BF16, + 2048 x 33/32 written, FP8 and scales)")
    (event,) = trace.select(layer, "mlp(B)", name="cuda::swiglu_backward")
    points.add("swiglu_backward", [event], TOKENS * 5 * INTER * BF16, f"[{TOKENS}, {2 * INTER}]",
               "rows x 2048 x (2 inputs + 1 gradient read + 2 gradients written) x 2, BF16")
    (event,) = trace.select(layer, "mlp(B)", name="swiglu_forward_backward_with_weight")
    (weights,) = trace.select(layer, "mlp(B)", name="swiglu_weight_backward")
    assert event["grid_blocks"] * 2 == backward
    points.add("swiglu_backward", [event, weights], backward * 6 * INTER * BF16,
               f"[{backward}, {2 * INTER}], with the gradient of the routing weights",
               "rows x 2048 x (2 inputs + 1 gradient read + 2 gradients and the recomputed output "
               "written) x 2, BF16")
    (event,) = trace.select(layer, "mlp(B)", name="swiglu_and_per_channel_cast")
    points.add("requantize_transpose_fp8", [event], TOKENS * INTER * (2 * BF16 + FP8),
               f"[{TOKENS}, {INTER}], computes the shared expert's SwiGLU again",
               "rows x 2048 x (2 x 2 read, BF16, + 33/32 written, FP8 and scales)")
    for phase, rows in (("mlp(F)", forward), ("mlp(B)", backward)):
        (permute,) = trace.select(layer, phase, "moe_permute")
        (unpermute,) = trace.select(layer, phase, "moe_unpermute_reduce")
        assert permute["grid_blocks"] * 16 == rows
        received = unpermute["grid_blocks"]  # a block for each received token
        shape = f"{received} received tokens, {rows} routed rows, width {HIDDEN}"
        points.add("permute", [permute], (received + rows) * HIDDEN * FP8, shape,
                   "(received tokens read + routed rows written) x 7168 x 33/32, FP8 and scales")
        points.add("unpermute", [unpermute], (received + rows) * HIDDEN * BF16, shape,
                   "(routed rows read + received tokens written) x 7168 x 2, BF16")


def assembled_heads(points, layer):
    """The graph's op "rope": rotation, and all copies that lay out queries and keys by head."""
    trace = points.trace
    q, kv_a, kv, v = HEADS * QK, KV_RANK + ROPE, HEADS * (QK - ROPE + V), HEADS * V
    size = TOKENS * (q + kv_a + kv + 2 * q) * BF16
    why = "tokens x (24576 + 576 + 32768 read, 2 x 24576 written) x 2, BF16: queries, latent, "\
          "keys and values in; queries and keys by head out"
    shape = f"[{TOKENS}, {HEADS}, {QK}], queries and keys"
    for phase in ("attn(F)", "attn(B)"):
        events = (trace.select(layer, phase, "rope")[:2] + trace.select(layer, phase, "copy")[:1]
                  + trace.select(layer, phase, name="elementwise_kernel", grid=65536)[:1])
        assert len(events) == 4
        points.add("rope", sorted(events, key=lambda e: e["ts_us"]), size, shape, why)
    events = (trace.select(layer, "attn(B)", "rope")[2:] + trace.select(layer, "attn(B)", "copy")[1:]
              + trace.select(layer, "attn(B)", name="reduce_kernel", grid=2048))
    assert len(events) == 5
    size = TOKENS * (2 * q + v + q + kv + ROPE) * BF16
    points.add("rope_backward", sorted(events, key=lambda e: e["ts_us"]), size, shape,
               "tokens x (2 x 24576 + 16384 read, 24576 + 32768 + 64 written) x 2, BF16")


def attention_side(points, layer):
    trace = points.trace
    query = TOKENS * HEADS * ROPE
    plane = TOKENS * HEADS * 128
    for phase in ("attn(F)", "attn(B)"):
        for event in trace.select(layer, phase, "copy"):
            points.add("elementwise", [event], plane * 2 * BF16, f"[{TOKENS}, {HEADS}, 128]",
                       COPY + ": keys or values in or out of a [128, 192] or [128, 256] head")
        for event in trace.select(layer, phase, name="elementwise_kernel", grid=65536):
            points.add("elementwise", [event], query * BF16 + TOKENS * ROPE * BF16,
                       f"[{TOKENS}, {HEADS}, {ROPE}]",
                       "tokens x 64 x 2 read + tokens x heads x 64 x 2 written: the shared key "
                       "copied to every head")
    (event,) = trace.select(layer, "attn(B)", name="reduce_kernel", grid=2048)
    points.add("elementwise", [event], query * BF16 + TOKENS * ROPE * BF16,
               f"[{TOKENS}, {HEADS}, {ROPE}]",
               "tokens x heads x 64 x 2 read + tokens x 64 x 2 written: gradient of the shared key "
               "summed over the heads")
    assembled_heads(points, layer)
    norm = trace.select(layer, "attn(F)", "norm_fwd")
    between = [e for e in trace.select(layer, "attn(F)", name="elementwise_kernel", stream=7)
               if norm[1]["ts_us"] < e["ts_us"] < norm[3]["ts_us"]
               and e["grid_blocks"] in (512, 4096)]
    for event, width in zip(between, (KV_RANK, ROPE), strict=True):
        points.add("elementwise", [event], TOKENS * width * 2 * BF16, f"[{TOKENS}, {width}]",
                   COPY + ": a slice of the [4096, 576] latent")
    for phase in ("attn(F)", "attn(B)"):
        for event in trace.select(layer, phase, name="vectorized_elementwise_kernel", grid=57344):
            points.add("residual_add", [event], 3 * TOKENS * HIDDEN * BF16, f"[{TOKENS}, {HIDDEN}]",
                       "4096 x 7168 x (2 + 2 read + 2 written), BF16; 57344 blocks of 512 values. "
                       "Above the HBM rate where an operand is still in L2, or where the kernel "
                       "is a copy: the trace does not say which")


def router(points, layer):
    trace = points.trace
    size = TOKENS * EXPERTS * 4 + TOKENS * TOP_K * 8
    why = ("4096 x 256 x 4 (FP32 scores) + 4096 x 8 x 8 (weights and indices); time = first start "
           "to last end of the small kernels")
    events = trace.select(layer, "attn(F)", stream=7)
    gate = next(i for i, e in enumerate(events) if e["category"] == "gemm_bf16_gate")
    small = [e for e in events[gate + 1:] if e["category"] != "cast_fp8_token"]
    drawn = sum(e["dur_us"] for e in small if "DistributionNormal" in e["name"])
    us = small[-1]["end_us"] - small[0]["ts_us"] - drawn
    first = small[0]
    trace.mark("router_topk", small, size, us)
    points.curves.add("router_topk", "gb_per_s", MEMORY, (size, TRACE_SMS), size / us / 1e3,
                      "trace.events", f"layer {layer} attn(F) ts {first['ts_us']} to "
                      f"{small[-1]['end_us']}: {len(small)} kernels after the gate GEMM",
                      f"bytes = {why}, less {drawn} us of drawn random scores; {us} us")
    events = trace.select(layer, "attn(B)", stream=7)
    gate = next(i for i, e in enumerate(events) if e["category"] == "gemm_bf16_gate")
    small = events[:gate]
    us = small[-1]["end_us"] - small[0]["ts_us"]
    trace.mark("router_topk_backward", small, size, us)
    points.curves.add("router_topk_backward", "gb_per_s", MEMORY, (size, TRACE_SMS),
                      size / us / 1e3, "trace.events",
                      f"layer {layer} attn(B) ts {small[0]['ts_us']} to {small[-1]['end_us']}: "
                      f"{len(small)} kernels before the gate GEMMs", f"bytes = {why}; {us} us")


def memory_bound(curves, trace):
    points = MemoryPoints(curves, trace)
    for part in (norms, quantisations, transposing_casts, expert_kernels, attention_side, router):
        for layer in LAYERS:
            part(points, layer)


def overheads(curves, trace):
    """What an op costs beside its own kernels: launch gaps and helper kernels (scale and weight
    transposes, index maps, a second cast) before each of them. So that all of the compute stream's
    time is some op's, but for gaps of 100 us and more: stalls of the host (compute_stall_gaps)."""
    spans = []  # start, end, mark: kernels of an op, or a span whose inside the op's curve holds
    for number, (kernel, events, _, _) in enumerate(trace.marks):
        if kernel in ("router_topk", "router_topk_backward", "grouped_gemm_fp8_wgrad"):
            spans.append((events[0]["ts_us"], max(e["end_us"] for e in events), number))
        else:
            spans += [(e["ts_us"], e["end_us"], number) for e in events if e["stream"] == 7]
    spans.sort()
    stream = sorted((e for e in trace.events if e["stream"] == 7), key=lambda e: e["ts_us"])
    stalls = [(a["end_us"], b["ts_us"]) for a, b in zip(stream, stream[1:])
              if b["ts_us"] - a["end_us"] >= 100]
    overhead, helpers = {}, 0
    for (_, end, _), (start, _, number) in zip(spans, spans[1:]):
        stalled = sum(b - a for a, b in stalls if end <= a and b <= start)
        overhead[number] = overhead.get(number, 0) + max(0, start - end - stalled)
        helpers += sum(e["dur_us"] for e in stream if end <= e["ts_us"] and e["end_us"] <= start)
    trace.overhead_us, trace.helpers_us = sum(overhead.values()), helpers
    for number, value in sorted(overhead.items()):
        kernel, events, size, _ = trace.marks[number]
        first = events[0]
        direction = "forward" if first["phase"].endswith("(F)") else "backward"
        curves.add(f"overhead.{kernel}.{direction}", "us", ["bytes"], (round(size),),
                   max(value, 1e-3), "trace.events",
                   f"layer {first['layer']} {first['phase']} before ts {first['ts_us']}",
                   "time from the end of the op before to the start of each of its kernels, "
                   "without stalls of 100 us and more")


def stream_copy(curves):
    hardware = load("hardware_h100_h800_h200.json")
    (entry,) = [e for e in hardware["measured"] if e["id"] == "azure.h100.stream"]
    for kernel in ("memory_bound", "adamw"):
        for name in ("copy", "mul", "add", "triad"):
            curves.add(kernel, "gb_per_s", ["sms"], (ALL_SMS,), entry["value"][name] * 1e3,
                       "azure.h100.stream", name, "TB/s x 1000; array size not stated")


# ---- decode attention ----

DECODE = ["batch", "kv_len", "heads", "sms"]


def decode_attention(curves):
    def rate(batch, heads, length, us):
        return 2 * batch * heads * length * (2 * KV_RANK + ROPE) / us / 1e6

    flops = "2 batch heads kv_len (576 + 512) / time"
    for row in table(load("h800_kernels_infersim.json"), "infersim.mla_decode")[0]:
        batch, length, us = row["batch_size"], row["kv_len"], row["latency_us"]
        curves.add("mla_decode", "tflops", DECODE, (batch, length, HEADS, ALL_SMS),
                   rate(batch, HEADS, length, us), "infersim.mla_decode",
                   f"batch {batch} kv_len {length}: {us} us", flops)
    for row in table(load("h800_kernels_shenh10.json"), "shenh10.mla")[0]:
        if row["s_q"] != 1:
            continue
        batch, length, heads, ms = row["b"], row["mean_sk"], row["h_q"], row["latency"]
        curves.add("mla_decode", "tflops", DECODE, (batch, length, heads, ALL_SMS),
                   rate(batch, heads, length, ms * 1e3), "shenh10.mla",
                   f"b {batch} mean_sk {length} h_q {heads} varlen {row['varlen']}: {ms} ms", flops)


# ---- expert communication ----

EXPERT = ["ep", "tokens", "hidden", "sms", "overlapped", "backward"]


def expert_communication(curves, trace):
    sms = 24
    releases = [(row, source) for name, source in
                (("deepep.normal.v1_2025-02-25", "deepep.normal.first"),
                 ("deepep.normal.v1_2025-04-22_final", "deepep.normal"))
                for row in table(load("deepep.json"), name)[0]]
    for row, source in releases:
        for kernel in ("dispatch", "combine"):
            curves.add(kernel, "logical_gb_per_s", EXPERT,
                       (row["ep"], TOKENS, HIDDEN, sms, False, False), row[f"{kernel}_GBps"],
                       source, f"ep {row['ep']} {kernel}_GBps ({row['bottleneck_link']})",
                       "24 SMs are the repository's default; the table does not state them" +
                       ("; over NVLink the rate counts received bytes, a copy for each rank"
                        if row["bottleneck_link"] == "NVLink" else ""))
    entries = {e["id"]: e for e in load("isca25_insights.json")["validation"]}
    for ep in (16, 64):
        for kernel in ("dispatch", "combine"):
            entry = entries[f"isca.f7.ep{ep}.{kernel}"]
            curves.add(kernel, "logical_gb_per_s", EXPERT, (ep, TOKENS, HIDDEN, sms, False, False),
                       entry["value"], "isca.f7", entry["id"],
                       "24 SMs are DeepEP's default; the figure does not state them")
    for layer in LAYERS:
        for phase, kernel, per_value, is_backward in (
                ("dispatch(F)", "dispatch", FP8, False), ("combine(B)", "dispatch", FP8, True),
                ("combine(F)", "combine", BF16, False), ("dispatch(B)", "combine", BF16, True)):
            (event,) = trace.select(layer, phase, "ep_" + kernel)
            size = TOKENS * NODES_PER_TOKEN * HIDDEN * per_value
            curves.add(kernel, "logical_gb_per_s", EXPERT,
                       (64, TOKENS, HIDDEN, 20, True, is_backward), size / event["dur_us"] / 1e3,
                       "trace.events", f"{at(event)} (a {kernel} kernel)",
                       f"tokens x 4 nodes (assumed) x 7168 x {'33/32' if per_value == FP8 else 2} "
                       "bytes / us; runs beside compute")


# EP: ranks, nodes, and other nodes than the source's that a token of DeepEP's tests goes to. They
# follow from the model's router with even experts; tests/sim/expert_all_to_all_test.cpp says so.
TOKEN_COPIES = {8: (5.304, 1, 0), 16: (6.541, 1.993, 0.9967), 64: (7.49, 3.953, 3.459)}
LINKS = ["nvlink_us", "rdma_us", "forwarded", "low_latency"]
NVLINK_GB_PER_S, RDMA_GB_PER_S = 160, 50  # H800: isca.h800.nvlink_achievable, isca.ib.nominal
LOW_LATENCY_TOKENS = 128
HEADER = 16  # bytes beside a token in a low-latency dispatch message


def expert_all_to_alls(curves):
    """Whole exchanges alone, and what their bytes take on each link at best."""
    kernels = (("dispatch", FP8), ("combine", BF16))
    for row in table(load("deepep.json"), "deepep.normal.v1_2025-04-22_final")[0]:
        ep = row["ep"]
        ranks, nodes, others = TOKEN_COPIES[ep]
        copies, what = (ranks, "ranks") if ep == 8 else (nodes, "nodes")
        for kernel, per_value in kernels:
            size, rate = round(HIDDEN * per_value), row[f"{kernel}_GBps"]
            curves.add("expert_all_to_all", "us", LINKS,
                       (round(TOKENS * ranks * size / NVLINK_GB_PER_S / 1e3, 2),
                        round(TOKENS * others * size / RDMA_GB_PER_S / 1e3, 2), int(ep > 8), 0),
                       TOKENS * copies * size / rate / 1e3, "deepep.normal",
                       f"ep {ep} {kernel}_GBps: {rate}",
                       f"4096 tokens x {copies} {what} a token x {size} bytes / GB/s; NVLink: "
                       f"{ranks} ranks a token at 160 GB/s; RDMA: {others} other nodes at 50 GB/s; "
                       "DeepEP's test: 256 experts, at most 4 nodes")
    for row in table(load("deepep.json"),
                     "deepep.low_latency.v1_2025-06-05_nvlink_assisted")[0]:
        ep = row["ep"]
        for kernel, per_value in kernels:
            size = round(HIDDEN * per_value) + (HEADER if kernel == "dispatch" else 0)
            sent = LOW_LATENCY_TOKENS * 8 * size
            curves.add("expert_all_to_all", "us", LINKS,
                       (round(sent * 7 / ep / NVLINK_GB_PER_S / 1e3, 2),
                        round(sent * (ep - 8) / ep / RDMA_GB_PER_S / 1e3, 2), 0, 1),
                       row[f"{kernel}_us"], "deepep.low_latency", f"ep {ep} {kernel}_us",
                       f"128 tokens x 8 experts x {size} bytes; 7/{ep} of them over NVLink at "
                       f"160 GB/s, {ep - 8}/{ep} over RDMA at 50 GB/s")


SM_COPIES = ["tokens", "sms", "nvlink_bytes", "rdma_bytes", "link_us"]
H100_NVLINK_GB_PER_S = 370  # achievable, as in topologies/h100_8x8.json


def expert_sm_limits(curves):
    """What the communication kernels copy with few SMs, where these and not the links limit."""
    file = load("aic_h100_deepep.json")
    rows = [(r["nodes"], r["tokens_per_gpu"], kernel, r[f"{kernel}_sms"],
             r[f"{kernel}_transmit_us"], "aic.deepep.normal")
            for r in table(file, "aic.deepep.normal.h100")[0] if r["nodes"] <= 2
            for kernel in ("dispatch", "combine")]
    rows += [(1, r["tokens_per_gpu"], kernel, r["sms"], r[f"{kernel}_transmit_us"],
              "aic.deepep.normal.v0512")
             for r in table(file, "aic.deepep.normal.h100.1node.v0512")[0]
             for kernel in ("dispatch", "combine")]
    for nodes, tokens, kernel, sms, us, source in rows:
        ranks, copies, others = TOKEN_COPIES[8 * nodes]
        size = round(HIDDEN * (FP8 if kernel == "dispatch" else BF16))
        nvlink, rdma = ranks * size, copies * size if nodes > 1 else 0
        link_us = max(nvlink / H100_NVLINK_GB_PER_S, others * size / RDMA_GB_PER_S) / 1e3
        curves.add(f"{kernel}_sm_limit", "us", SM_COPIES,
                   (tokens, sms, round(nvlink), round(rdma), rounded(link_us)), us, source,
                   f"nodes {nodes} tokens {tokens} {kernel}_sms {sms}",
                   f"{ranks} ranks" + (f" and {copies} nodes" if nodes > 1 else "") +
                   f" a token x {size} bytes; links: 370 GB/s NVLink, 50 GB/s NIC" +
                   ("; FP8 assumed, not stated" if kernel == "dispatch" else ""))


def node_collectives(curves):
    """NCCL between the GPUs of a node, by size."""
    for row in table(load("aic_nccl.json"), "aic.nccl.h100")[0]:
        op, ranks, elements, ms = row["op"], row["gpus"], row["message_size"], row["ms"]
        size = int(elements * BF16)
        if op == "alltoall":
            continue
        factor = (2 if op == "all_reduce" else 1) * (ranks - 1) / ranks
        curves.add(op, "bus_gb_per_s", ["bytes", "ranks"], (size, ranks),
                   size * factor / ms * 1e-6, "aic.nccl",
                   f"{op} gpus {ranks} message_size {elements}: {ms} ms",
                   "2 bytes an element x " + ("2 " if op == "all_reduce" else "") +
                   "(ranks - 1) / ranks / ms")


def notifications(curves, trace):
    for event in trace.events:
        if event["category"] in ("ep_cached_notify", "ep_notify_dispatch"):
            layout = [e for e in trace.select(event["layer"], event["phase"], "ep_layout")]
            us = event["dur_us"] + sum(e["dur_us"] for e in layout)
            curves.add("notify", "us", ["ep"], (64,), us, "trace.events", at(event),
                       "synchronisation, mostly waiting for other ranks" +
                       ("; with get_dispatch_layout" if layout else ""))


# ---- constants ----


def constants(trace):
    out = []

    def add(name, value, source, row):
        out.append({"name": name, "value": rounded(value), "source": source, "row": row})

    stream = sorted((e for e in trace.events if e["stream"] == 7), key=lambda e: e["ts_us"])
    gaps = [b["ts_us"] - a["end_us"] for a, b in zip(stream, stream[1:])]
    short = [g for g in gaps if g < 100]
    add("launch_gap_us", statistics.median(short), "trace.events",
        f"median gap between consecutive kernels of stream 7, layers 0 and 1, n = {len(short)}; "
        f"{len(gaps) - len(short)} gaps of 100 us and more left out; mean "
        f"{statistics.mean(short):.2f} us; times are whole microseconds")
    idle = trace.overhead_us - trace.helpers_us
    add("overhead_idle_fraction", idle / trace.overhead_us, "trace.events",
        f"{idle} of {trace.overhead_us} us beside the kernels of all ops, layers 0 and 1; the rest "
        "are helper kernels")
    return out


def network_constants(device):
    isca = load("isca25_insights.json")
    values = {e["id"]: e["value"] for e in isca["validation"] + isca["inputs"]}
    nccl = {e["id"]: e["value"] for e in load("nccl_busbw.json")["validation"]}
    out = []

    def add(name, value, source, row):
        out.append({"name": name, "value": rounded(value), "source": source, "row": row})

    low, high = nccl["nccl.ndr_per_nic"]
    nominal = values["isca.ib.nominal"]
    add("nic_achievable_fraction", (low + high) / 2 / nominal, "nccl.rules",
        f"nccl.ndr_per_nic: middle of {low} and {high} over {nominal} GB/s")
    if device == "h800":
        achieved, line = (values[f"isca.h800.nvlink_{w}"] for w in ("achievable", "oneway"))
        add("nvlink_achievable_fraction", achieved / line, "isca.network",
            f"isca.h800.nvlink_achievable {achieved} over isca.h800.nvlink_oneway {line} GB/s")
    else:
        specs = {e["id"]: e["value"] for e in load("hardware_h100_h800_h200.json")["specs"]}
        achieved = nccl["nccl.h100.nvlink_effective"]
        line = specs["h100.peaks"]["nvlink_oneway_GBps"]
        add("nvlink_achievable_fraction", achieved / line, "nccl.rules",
            f"nccl.h100.nvlink_effective {achieved} over h100.peaks nvlink_oneway_GBps {line}")
    # Efficiencies are against these, rates of memory-bound kernels scale with the last.
    peaks = {e["id"]: e["value"] for e in load("hardware_h100_h800_h200.json")["specs"]}["h100.peaks"]
    for name, key in (("reference_bf16_tflops", "bf16_TFLOPS"), ("reference_fp8_tflops", "fp8_TFLOPS"),
                      ("reference_hbm_gb_per_s", "hbm_GBps")):
        add(name, peaks[key], "hardware.peaks", f"h100.peaks {key}: H800 and H100 alike")
    add("reference_sms", ALL_SMS, "hardware.peaks", "h800.device sms")
    # Rates of dispatch and combine scale with the links that they were measured on: H800 nodes.
    add("reference_nic_gb_per_s", nominal, "isca.network", "isca.ib.nominal: NICs of the H800 nodes")
    add("reference_nvlink_gb_per_s", values["isca.h800.nvlink_achievable"], "isca.network",
        "isca.h800.nvlink_achievable: NVLink of the H800 nodes")
    # Rates of collectives in a node scale with its links too: H100 nodes.
    add("nvlink_bus_gb_per_s", nccl["nccl.h100.nvlink_effective"], "nccl.rules",
        "nccl.h100.nvlink_effective: NVLink of the H100 nodes of curves all_reduce, all_gather and "
        "reduce_scatter")
    for name, key in (("nvlink_latency_us", "isca.t5.nvlink"),
                      ("same_leaf_latency_us", "isca.t5.ib.same_leaf"),
                      ("cross_leaf_latency_us", "isca.t5.ib.cross_leaf")):
        add(name, values[key], "isca.network", key)
    return out


# ---- files ----


def sources(device):
    def entry(file, what, source, level, hardware, implementation=None):
        out = {"file": file, "what": what, "source": source, "level": level, "hardware": hardware}
        if implementation:
            out["implementation"] = implementation
        return out

    deepgemm_file = load("deepgemm.json")
    infersim_file = load("h800_kernels_infersim.json")
    shenh10_file = load("h800_kernels_shenh10.json")
    aic_file = load("aic_h100_gemm.json")
    trace_source = load("profile_data_training.json")["source"]
    deepep_table = table(load("deepep.json"), "deepep.normal.v1_2025-04-22_final")[1]
    isca_source = load("isca25_insights.json")["source"]
    out = {}
    for name in ("deepgemm.dense", "deepgemm.grouped_contiguous", "deepgemm.grouped_masked"):
        info = table(deepgemm_file, name)[1]
        out[name] = entry("deepgemm.json", info["measures"], info["source"], "measured", "h800")
    for name in ("infersim.gemm", "infersim.grouped_prefill", "infersim.mla_prefill",
                 "infersim.mla_decode", "infersim.grouped_decode"):
        info = table(infersim_file, name)[1]
        out[name] = entry("h800_kernels_infersim.json", info["measures"], infersim_file["source"],
                          "measured", "h800")
    for name in ("shenh10.dense", "shenh10.mla"):
        out[name] = entry("h800_kernels_shenh10.json",
                          table(shenh10_file, name)[1].get("measures", "MLA decode, FlashMLA"),
                          shenh10_file["source"], "measured", "h800")
    for name, what in (("aic.deepep.normal", "DeepEP normal kernels by SMs, 1 and 2 nodes of 8 H100"),
                       ("aic.deepep.normal.v0512", "the same, 1 node, collected 2026-07-31")):
        out[name] = entry("aic_h100_deepep.json", what, load("aic_h100_deepep.json")["source"],
                          "measured", "h100", "deepep")
    same_cores = "; H100, whose tensor cores the H800 has: peak 989 TFLOPS BF16 in both"
    out["aic.gemm.bfloat16"] = entry(
        "aic_h100_gemm.json", "dense GEMM latency, bfloat16" +
        (same_cores if device == "h800" else ""), aic_file["source"], "measured", "h100")
    own = load_own()["sources"][OWN_SOURCE]
    out[OWN_SOURCE] = entry(OWN_FILE, own["what"] + (same_cores if device == "h800" else ""),
                            own["source"], "measured", "h100")
    out["trace.gemm"] = entry(
        "profile_data_training.json", "gemm_shapes_inferred: measured durations on 112 SMs, "
        "shapes inferred from model, order and grids", trace_source, "measured", "h800", "training")
    out["trace.events"] = entry(
        "profile_data_training_events.json", "kernel durations of layers 0 and 1, 112 SMs for "
        "compute and 20 for communication; shapes inferred", trace_source, "measured", "h800",
        "training")
    out["azure.h100.stream"] = entry(
        "hardware_h100_h800_h200.json", "HBM bandwidth, stream copy",
        [e for e in load("hardware_h100_h800_h200.json")["measured"]
         if e["id"] == "azure.h100.stream"][0]["source"], "measured", "h100")
    out["hardware.peaks"] = entry(
        "hardware_h100_h800_h200.json", "dense peaks of the devices that were measured",
        "ai-dynamo/aiconfigurator systems/h100_sxm.yaml", "datasheet", "h100")
    out["deepep.low_latency"] = entry(
        "deepep.json", "latency of low-latency kernels, NVLink assisted",
        table(load("deepep.json"), "deepep.low_latency.v1_2025-06-05_nvlink_assisted")[1]["source"],
        "measured", "h800", "deepep")
    out["deepep.normal"] = entry("deepep.json", deepep_table["measures"], deepep_table["source"],
                                 "measured", "h800", "deepep")
    first = table(load("deepep.json"), "deepep.normal.v1_2025-02-25")[1]
    out["deepep.normal.first"] = entry("deepep.json", first["measures"] + ", first release",
                                       first["source"], "measured", "h800")
    out["isca.f7"] = entry("isca25_insights.json", "EP dispatch and combine bandwidth on MPFT",
                           isca_source + ", Figure 7", "measured", "h800")
    out["isca.network"] = entry("isca25_insights.json", "link rates and latencies",
                                isca_source + ", sec 4.3 and Table 5", "measured", "h800")
    nccl = table(load("aic_nccl.json"), "aic.nccl.h100")[1]
    out["aic.nccl"] = entry("aic_nccl.json", nccl["measures"] + ", " + nccl["conditions"],
                            load("aic_nccl.json")["source"], "measured", "h100", "nccl")
    out["nccl.rules"] = entry("nccl_busbw.json", "rates that NCCL's maintainers expect",
                              "NVIDIA/nccl-tests issues 212 and 290", "datasheet", "h100")
    return out


def build(device):
    trace = Trace()
    curves = Curves()
    deepgemm(curves)
    deepgemm_masked(curves)
    infersim(curves)
    shenh10(curves)
    trace_gemms(curves, trace)
    trace_expert_wgrads(curves, trace)
    aic_gemms(curves, "bfloat16", "gemm_bf16", "aic.gemm.bfloat16")
    own_gemms(curves)
    trace_gate(curves, trace)
    attention(curves, trace)
    decode_attention(curves)
    memory_bound(curves, trace)
    overheads(curves, trace)
    stream_copy(curves)
    expert_communication(curves, trace)
    expert_all_to_alls(curves)
    expert_sm_limits(curves)
    notifications(curves, trace)
    node_collectives(curves)
    all_constants = constants(trace) + network_constants(device)
    used = {p["source"] for c in curves.curves.values() for p in c["points"]}
    used |= {c["source"] for c in all_constants}
    known = sources(device)
    assert used <= set(known), used - set(known)
    comment = "Published measurements; tools/dev/make_calibration.py wrote this file. "
    comment += ("H800 and H100 have the same SMs and memory, so both files hold the same points "
                "(sources.*.hardware says which device was measured) and differ in what their "
                "NVLink achieves. FP8 GEMMs of aic_h100_gemm.json are left out: they scatter by "
                "more than the curves, and would make H100 differ for no physical reason.")
    return {"schema": "r1sim.calibration/1", "name": f"{device}_published", "comment": comment,
            "device": device, "implementation": "training", "sources": {k: v for k, v in known.items() if k in used},
            "curves": list(curves.curves.values()), "constants": all_constants}


def build_assumed_cpu(like):
    """One point a kernel for topologies/devices/cpu.json: half of its peaks."""
    hardware = json.loads((ROOT / "topologies/devices/cpu.json").read_text(encoding="utf-8"))
    rates = {"tflops": hardware["peaks_tflops"]["bf16"] / 2,
             "gb_per_s": hardware["hbm_bandwidth_gb_per_s"] / 2, "logical_gb_per_s": 1, "us": 1}
    shape = {"m": 256, "n": 256, "k": 256, "groups": 4, "m_per_group": 64, "k_per_group": 64,
             "tokens": 256, "batch": 1, "kv_len": 256, "heads": 4, "qk": 48, "v": 32, "bytes": 1048576, "ep": 8,
             "hidden": 256, "overlapped": False, "backward": False, "sms": hardware["sms"]}
    curves = Curves()
    for curve in like["curves"]:
        if curve["kernel"].startswith("overhead.") or curve["columns"] in (
                LINKS, SM_COPIES, ["bytes", "ranks"]):
            continue
        quantity, columns = curve["quantity"], curve["columns"]
        curves.add(curve["kernel"], quantity, columns, [shape[c] for c in columns],
                   rates[quantity], "assumed", {"us": "no measurement",
                    "logical_gb_per_s": "no measurement: a fifth of the link"}.get(
                        quantity, "no measurement: half of the device's peak"))
    zero = ("same_leaf_latency_us", "cross_leaf_latency_us")
    values = dict.fromkeys(zero, 0.0)
    values.update(launch_gap_us=1.0, overhead_idle_fraction=1.0, reference_sms=hardware["sms"], nic_achievable_fraction=1.0, nvlink_achievable_fraction=0.8,
                  nvlink_latency_us=1.0, reference_nic_gb_per_s=5.0,
                  reference_nvlink_gb_per_s=4.0,
                  reference_bf16_tflops=hardware["peaks_tflops"]["bf16"],
                  reference_fp8_tflops=hardware["peaks_tflops"]["bf16"],
                  reference_hbm_gb_per_s=hardware["hbm_bandwidth_gb_per_s"])
    return {"schema": "r1sim.calibration/1", "name": "assumed_cpu",
            "comment": "One assumed point a kernel, for tiny scenarios on the cpu device. No "
                       "number here was measured; tools/dev/make_calibration.py wrote this file.",
            "device": "cpu", "implementation": "assumed",
            "sources": {"assumed": {"file": "", "what": "assumed, not measured", "source": "none",
                                    "level": "assumed", "hardware": "cpu"}},
            "curves": list(curves.curves.values()),
            "constants": [{"name": c["name"], "value": values[c["name"]], "source": "assumed",
                           "row": "no measurement"} for c in like["constants"]
                          if c["name"] in values]}


def render(document):
    """JSON with a point a line."""
    def one(value):
        return json.dumps(value, ensure_ascii=False)

    lines = ["{"]
    for key in ("schema", "name", "comment", "device", "implementation"):
        lines.append(f"    {one(key)}: {one(document[key])},")
    lines.append('    "sources": {')
    lines.append(",\n".join(f"        {one(k)}: {one(v)}" for k, v in document["sources"].items()))
    lines.append('    },\n    "curves": [')
    blocks = []
    for curve in document["curves"]:
        head = ", ".join(f"{one(k)}: {one(curve[k])}" for k in ("kernel", "quantity", "columns"))
        points = ",\n".join(f"            {one(p)}" for p in curve["points"])
        blocks.append(f'        {{{head}, "points": [\n{points}\n        ]}}')
    lines.append(",\n".join(blocks))
    lines.append('    ],\n    "constants": [')
    lines.append(",\n".join(f"        {one(c)}" for c in document["constants"]))
    lines.append("    ]\n}")
    return "\n".join(lines) + "\n"


def main():
    check = sys.argv[1:] == ["--check"]
    if sys.argv[1:] and not check:
        sys.exit(__doc__)
    stale = []
    published = [build("h800"), build("h100")]
    for document in published + [build_assumed_cpu(published[0])]:
        file = OUT / f"{document['name']}.json"
        text = render(document)
        if check:
            if not file.exists() or file.read_text(encoding="utf-8") != text:
                stale.append(file.name)
            continue
        file.write_text(text, encoding="utf-8")
        print(f"{file.relative_to(ROOT)}")
        for curve in document["curves"]:
            values = [p["value"] for p in curve["points"]]
            print(f"  {curve['kernel']:<26}{len(values):>5} points  {min(values):>9g} to "
                  f"{max(values):<9g} {curve['quantity']}")
        for constant in document["constants"]:
            print(f"  {constant['name']:<26} = {constant['value']:g}")
    if stale:
        sys.exit("not up to date: " + ", ".join(stale))


if __name__ == "__main__":
    main()
