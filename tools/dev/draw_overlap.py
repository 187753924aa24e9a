#!/usr/bin/env python3
"""Draws one overlapped chunk of one rank from what `r1sim run --timeline` wrote, for the docs.

usage: tools/dev/draw_overlap.py TIMELINE.json OUT.svg [RANK]
"""
import json
import sys

COLORS = {"forward": "#e8a33d", "backward_input": "#5aa469", "backward_weight": "#b9dfc0",
          "dispatch": "#4878b0", "combine": "#8fb1d9", "notify": "#cccccc"}
LABELS = {"forward": "forward", "backward_input": "backward, input",
          "backward_weight": "backward, weight", "dispatch": "dispatch", "combine": "combine",
          "notify": "notify (ranks wait)"}
LANES = ["compute", "wgrad", "comm"]
WIDTH, ROW, LEFT, TOP = 1000, 34, 70, 34


def overlapped_chunk(timeline, rank):
    program = timeline["graphs"][0]["programs"][timeline["lanes"][rank]["program"]]
    for number, item in enumerate(program["items"]):
        if item["kind"] == "FB":
            return [(item["ops"][op], start / 1e9, end / 1e9)
                    for _, lane, of, op, _, start, end in timeline["intervals"]
                    if (lane, of) == (rank, number)]
    sys.exit("no overlapped chunk in this timeline")


def main(file, out, rank=0):
    ops = overlapped_chunk(json.load(open(file, encoding="utf-8")), int(rank))
    begin = min(start for _, start, _ in ops)
    end = max(end for _, _, end in ops)
    scale = (WIDTH - LEFT - 10) / (end - begin)
    height = TOP + ROW * len(LANES) + 30
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
           'font-family="sans-serif" font-size="11">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>']
    x = LEFT
    for kind, color in COLORS.items():
        svg.append(f'<rect x="{x}" y="10" width="10" height="10" fill="{color}"/>'
                   f'<text x="{x + 14}" y="19">{LABELS[kind]}</text>')
        x += 34 + 6.2 * len(LABELS[kind])
    for row, lane in enumerate(LANES):
        y = TOP + row * ROW
        svg.append(f'<text x="4" y="{y + 20}">{lane}</text>')
        for op, start, stop in ops:
            if op["stream"] == lane:
                color = COLORS.get(op["kind"], COLORS[op["phase"]])
                svg.append(f'<rect x="{LEFT + (start - begin) * scale:.2f}" y="{y + 2}" '
                           f'width="{max(0.3, (stop - start) * scale):.2f}" height="{ROW - 6}" '
                           f'fill="{color}"/>')
    base = TOP + ROW * len(LANES)
    for at in range(0, int(end - begin) + 1, 50):
        x = LEFT + at * scale
        svg.append(f'<line x1="{x:.1f}" y1="{base}" x2="{x:.1f}" y2="{base + 5}" stroke="#666"/>'
                   f'<text x="{x - 8:.1f}" y="{base + 18}" fill="#666">{at} ms</text>')
    svg.append("</svg>")
    with open(out, "w", encoding="utf-8") as file_out:
        file_out.write("\n".join(svg) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
