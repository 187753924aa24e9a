#!/usr/bin/env python3
"""Losses of training runs, from what `r1sim run --curves` wrote, as a table and an SVG for the docs.

usage: tools/dev/draw_curves.py OUT.csv OUT.svg CURVES.jsonl...
Each point is the mean of 20 steps; a run is called as its file.
"""
import json
import os
import sys

STEPS = 20
COLORS = ["#0072b2", "#d55e00", "#56b4e9", "#e69f00", "#009e73", "#cc79a7"]  # Okabe and Ito
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 900, 360, 60, 20, 40


def means(file):
    losses = [json.loads(line)["loss"] for line in open(file, encoding="utf-8")]
    return [sum(losses[i:i + STEPS]) / STEPS for i in range(0, len(losses) - STEPS + 1, STEPS)]


def write_table(out, runs):
    with open(out, "w", encoding="utf-8") as table:
        table.write("last_step," + ",".join(runs) + "\n")
        for i in range(max(len(points) for points in runs.values())):
            row = [f"{points[i]:.5f}" if i < len(points) else "" for points in runs.values()]
            table.write(f"{(i + 1) * STEPS}," + ",".join(row) + "\n")


def draw(out, runs):
    count = max(len(points) for points in runs.values())
    high = max(max(points) for points in runs.values())
    low = min(min(points) for points in runs.values())
    x = lambda i: LEFT + (i + 1) * (WIDTH - LEFT - 20) / count
    y = lambda loss: TOP + (high - loss) * (HEIGHT - TOP - BOTTOM) / (high - low)
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>']
    for loss in range(int(low) + 1, int(high) + 1):
        svg.append(f'<path d="M{LEFT} {y(loss):.1f}H{WIDTH - 20}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss}</text>')
    for part in range(5):
        step = count * STEPS * part // 4
        svg.append(f'<text x="{x(step / STEPS - 1):.1f}" y="{HEIGHT - 18}" '
                   f'text-anchor="middle">{step}</text>')
    svg.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 3}" text-anchor="middle">step</text>')
    svg.append(f'<text x="6" y="{TOP - 6}">loss, nats a token</text>')
    for i, (name, points) in enumerate(runs.items()):
        color = COLORS[i % len(COLORS)]
        path = " ".join(f"{x(j):.1f},{y(loss):.1f}" for j, loss in enumerate(points))
        svg.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>'
                   f'<text x="{WIDTH - 120}" y="{TOP + 20 + 16 * i}" fill="{color}">{name}</text>')
    with open(out, "w", encoding="utf-8") as picture:
        picture.write("\n".join(svg) + "\n</svg>\n")


def main(table, picture, files):
    runs = {os.path.splitext(os.path.basename(file))[0]: means(file) for file in files}
    write_table(table, runs)
    draw(picture, runs)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
