#!/usr/bin/env python3
"""Draws the chunks of a Chrome trace that `r1sim simulate --trace` wrote, as an SVG for the docs.

usage: tools/dev/draw_trace.py TRACE.json OUT.svg
"""
import json
import sys

COLORS = {"FB": "#4878b0", "F": "#e8a33d", "BW": "#5aa469", "B": "#7cc48a", "W": "#b9dfc0",
          "optimizer": "#9a6fb0"}
LABELS = {"F": "forward", "FB": "overlapped forward and backward", "BW": "backward",
          "B": "backward, input", "W": "backward, weight", "optimizer": "optimizer"}
WIDTH, ROW, LEFT, TOP = 1000, 20, 56, 34


def main(trace, out):
    events = [e for e in json.load(open(trace, encoding="utf-8"))["traceEvents"]
              if e.get("ph") == "X" and e["tid"] == 0]
    ranks = sorted({e["pid"] for e in events})
    end = max(e["ts"] + e["dur"] for e in events)
    scale = (WIDTH - LEFT - 10) / end
    height = TOP + ROW * len(ranks) + 40
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
           'font-family="sans-serif" font-size="11">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>']
    x = LEFT
    for kind, color in COLORS.items():
        svg.append(f'<rect x="{x}" y="10" width="10" height="10" fill="{color}"/>'
                   f'<text x="{x + 14}" y="19">{LABELS[kind]}</text>')
        x += 34 + 6.2 * len(LABELS[kind])
    svg.append(f'<text x="{x}" y="19" fill="#666">white: bubble</text>')
    for row, rank in enumerate(ranks):
        y = TOP + row * ROW
        svg.append(f'<text x="4" y="{y + 14}">rank {row}</text>')
        for event in events:
            if event["pid"] != rank:
                continue
            kind = event["name"].split(" ")[0].split("(")[0]
            color = COLORS.get(kind, COLORS["optimizer"])
            svg.append(f'<rect x="{LEFT + event["ts"] * scale:.2f}" y="{y + 1}" '
                       f'width="{max(0.3, event["dur"] * scale - 0.25):.2f}" height="{ROW - 3}" '
                       f'fill="{color}"/>')
    base = TOP + ROW * len(ranks)
    for second in range(0, int(end / 1e6) + 1, 2):
        at = LEFT + second * 1e6 * scale
        svg.append(f'<line x1="{at:.1f}" y1="{base}" x2="{at:.1f}" y2="{base + 5}" stroke="#666"/>'
                   f'<text x="{at - 8:.1f}" y="{base + 18}" fill="#666">{second} s</text>')
    svg.append("</svg>")
    with open(out, "w", encoding="utf-8") as file:
        file.write("\n".join(svg) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
