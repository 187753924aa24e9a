"""Charts of studies as SVG: bars stacked by part, lines over one or two axes."""
from math import floor, log10
from xml.sax.saxutils import escape

COLORS = ["#0072b2", "#d55e00", "#56b4e9", "#e69f00", "#009e73", "#cc79a7"]  # Okabe and Ito
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 340, 64, 64, 34, 44


def ticks(low, high):
    """About five round numbers from low to high."""
    step = 10 ** floor(log10((high - low) / 4))
    step *= next(f for f in (1, 2, 5, 10) if (high - low) / (f * step) <= 6)
    first = floor(low / step) * step
    values = [first + i * step for i in range(12) if first + i * step <= high + step * 0.999]
    return [round(v, 10) for v in values]


class Canvas:
    def __init__(self, height=HEIGHT):
        self.height = height
        self.parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
                      'font-family="sans-serif" font-size="12">',
                      f'<rect width="{WIDTH}" height="{height}" fill="white"/>']

    def text(self, x, y, text, anchor="middle", color="#222"):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">'
                          f'{escape(str(text))}</text>')

    def path(self, path, color, width=1.0, dash=""):
        dash = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(f'<path d="{path}" fill="none" stroke="{color}" '
                          f'stroke-width="{width}"{dash}/>')

    def legend(self, names, x=LEFT, y=16):
        for i, name in enumerate(names):
            self.parts.append(f'<rect x="{x}" y="{y - 9}" width="10" height="10" '
                              f'fill="{COLORS[i % len(COLORS)]}"/>')
            self.text(x + 14, y, name, "start")
            x += 30 + 6.6 * len(name)

    def done(self):
        return "\n".join(self.parts) + "\n</svg>\n"


def number(value):
    return f"{value:g}"


def lines(x_name, y_name, xs, series, right_name=None, right=None):
    """`xs` are spaced evenly. Dashed lines belong to the axis on the right."""
    canvas = Canvas()
    width, bottom = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM
    x = lambda i: LEFT + width * (i + 0.5) / len(xs)
    canvas.legend([*series, *(right or {})])
    for i, value in enumerate(xs):
        canvas.text(x(i), bottom + 16, number(value))
    canvas.text(LEFT + width / 2, HEIGHT - 8, x_name)
    count = 0
    for values, name, is_right in ((series, y_name, False), (right or {}, right_name, True)):
        if not values:
            continue
        everything = [v for points in values.values() for v in points]
        low, high = min(everything), max(everything)
        marks = ticks(0 if low < high / 2 else low - (high - low) * 0.2, high)
        y = lambda v, m=marks: bottom - (v - m[0]) * (bottom - TOP) / (m[-1] - m[0])
        for mark in marks:
            if not is_right:
                canvas.path(f"M{LEFT} {y(mark):.1f}H{WIDTH - RIGHT}", "#ddd")
            canvas.text(WIDTH - RIGHT + 8 if is_right else LEFT - 8, y(mark) + 4, number(mark),
                        "start" if is_right else "end")
        canvas.text(WIDTH - 4 if is_right else 4, TOP - 6, name, "end" if is_right else "start")
        for points in values.values():
            color = COLORS[count % len(COLORS)]
            count += 1
            canvas.path("M" + "L".join(f"{x(i):.1f} {y(v):.1f}" for i, v in enumerate(points)),
                        color, 2, "6 3" if is_right else "")
    return canvas.done()


def bars(x_name, names, series):
    """A bar for each name, of parts side by side from zero on: those below it to the left."""
    row, label = 26, 190
    canvas = Canvas(TOP + BOTTOM + row * len(names))
    bottom = TOP + row * len(names)
    low = min(0, *(sum(min(0, s[i]) for s in series.values()) for i in range(len(names))))
    high = max(0, *(sum(max(0, s[i]) for s in series.values()) for i in range(len(names))))
    marks = ticks(low, high)
    x = lambda v: label + (v - marks[0]) * (WIDTH - label - 40) / (marks[-1] - marks[0])
    for mark in marks:
        canvas.path(f"M{x(mark):.1f} {TOP}V{bottom}", "#ddd" if mark else "#222")
        canvas.text(x(mark), bottom + 16, number(mark))
    canvas.text((label + WIDTH) / 2, bottom + 36, x_name)
    if len(series) > 1:
        canvas.legend(series)
    for i, name in enumerate(names):
        y = TOP + row * i
        canvas.text(label - 8, y + 17, name, "end")
        begin = {True: 0.0, False: 0.0}  # by sign
        for part, values in enumerate(series.values()):
            value = values[i]
            start = begin[value < 0]
            begin[value < 0] += value
            left, right = sorted((x(start), x(start + value)))
            canvas.parts.append(f'<rect x="{left:.1f}" y="{y + 4}" width="{right - left:.1f}" '
                                f'height="{row - 8}" fill="{COLORS[part % len(COLORS)]}"/>')
    return canvas.done()
