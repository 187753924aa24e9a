// The pipeline over time. Of each pipeline rank a lane of chunks, whose halves are the two
// directions of DualPipe, above a lane of communication. Thousands of rectangles of a kind are one
// shape: drawing them takes milliseconds, and what lies under the pointer is searched for.
import { CustomChart } from 'echarts/charts';
import { DataZoomComponent, GridComponent } from 'echarts/components';
import * as echarts from 'echarts/core';
import { CanvasRenderer } from 'echarts/renderers';
import { el, legend } from './dom.js';
import { seconds } from './format.js';
import { lanes as unpacked } from './over_time.js';
import { axis, chart, hatching, kinds } from './theme.js';
import { pointerTip } from './tip.js';

echarts.use([CustomChart, DataZoomComponent, GridComponent, CanvasRenderer]);

const kPixels = 0.5; // what is closer together is drawn as one

// shape.spans: [start, end, top, bottom] in pixels, by top and then start.
const Spans = echarts.graphic.extendShape({
    type: 'spans',
    shape: { spans: [] },
    buildPath(path, { spans }) {
        for (const [left, right, top, bottom] of spans) {
            path.rect(left, top, right - left, bottom - top);
        }
    },
});
echarts.graphic.registerShape('spans', Spans);

const kindNames = {
    F: 'forward',
    B: 'backward_input',
    W: 'backward_weight',
    BW: 'backward',
};
const groups = {
    dispatch: 'dispatch',
    low_latency_dispatch: 'dispatch',
    combine: 'combine',
    low_latency_combine: 'combine',
    send: 'messages',
    recv: 'messages',
};
const groupOf = (collective) => groups[collective] ?? 'collectives';
const exchanges = ['dispatch', 'combine'];

const kindTexts = [
    ['forward', 'forward'],
    ['backward', 'backward'],
    ['backward_input', 'backward, input'],
    ['backward_weight', 'backward, weight'],
    ['optimizer', 'optimizer'],
    ['dispatch', 'dispatch'],
    ['combine', 'combine'],
    ['messages', 'pipeline messages'],
    ['collectives', 'data-parallel collectives'],
];

// [{kind, start, end, half}]: half -1 both, 0 and 1 the directions'.
function parts(chunk, directions) {
    const at = (i) => (directions > 1 ? chunk.of[i].direction : -1);
    const part = (kind, half) => ({ kind, half, start: chunk.start, end: chunk.end });
    if (chunk.kind !== 'FB') {
        return [part(kindNames[chunk.kind], at(0))];
    }
    const [forward, backward] = at(0) === at(1) ? [0, 1] : [at(0), at(1)];
    return [part('forward', forward), part('backward', backward)];
}

function bubblesOf(chunks, until) {
    const gaps = [];
    let free = 0;
    for (const { start, end } of chunks) {
        if (start > free) {
            gaps.push([free, start]);
        }
        free = Math.max(free, end);
    }
    return until > free ? [...gaps, [free, until]] : gaps;
}

// [{kind, half, spans, busy}]: the parts of a kind together, and when computation runs in them.
function grouped(lane, directions) {
    const groups = new Map();
    for (const part of lane.chunks.flatMap((chunk) => parts(chunk, directions))) {
        const key = `${part.kind} ${part.half}`;
        if (!groups.has(key)) {
            groups.set(key, { kind: part.kind, half: part.half, spans: [] });
        }
        groups.get(key).spans.push([part.start, part.end]);
    }
    return [...groups.values()].map((group) => ({ ...group, busy: common(group.spans, lane.compute) }));
}

// Everything that a picture of the report needs, once.
function prepare(report) {
    const lanes = unpacked(report);
    const ends = lanes.flatMap((lane) => lane.chunks.map((chunk) => chunk.end));
    const lastChunk = Math.max(0, ...ends);
    const used = lanes.flatMap((lane) => lane.chunks.flatMap((c) => c.of.map((o) => o.direction)));
    const directions = new Set(used).size;
    for (const lane of lanes) {
        lane.groups = grouped(lane, directions);
        lane.bubbles = bubblesOf(lane.chunks, lastChunk);
    }
    return { lanes, lastChunk, directions, end: report.step.time_s };
}

// Visible spans as pixels, those of a lane that nearly touch as one.
function pixels(spans, [origin, scale], [left, right], top, bottom) {
    const result = [];
    let last = null;
    for (const [start, end] of spans) {
        const from = Math.max(origin + start * scale, left);
        const to = Math.min(origin + end * scale, right);
        if (to <= from) {
            continue;
        }
        if (last && from - last[1] < kPixels && to - last[0] < 2 * kPixels) {
            last[1] = to;
        } else {
            last = [from, to, top, bottom];
            result.push(last);
        }
    }
    return result;
}

// The common part of two sorted lists of spans.
function common(a, b) {
    const result = [];
    for (let i = 0, j = 0; i < a.length && j < b.length; ) {
        const start = Math.max(a[i][0], b[j][0]);
        const end = Math.min(a[i][1], b[j][1]);
        if (end > start) {
            result.push([start, end]);
        }
        a[i][1] < b[j][1] ? i++ : j++;
    }
    return result;
}

const shape = (spans, style, z) => ({
    type: 'spans',
    shape: { spans },
    style,
    z2: z,
    silent: true,
    disableTracking: true,
});

// Where a lane's parts are, in pixels from its top.
function rows(height) {
    const gap = Math.max(2, height * 0.12);
    const comm = Math.max(4, (height - gap) * 0.38);
    const chunk = height - gap - comm;
    return {
        chunk,
        half: (half) => (half < 0 ? [0, chunk] : half === 0 ? [0, chunk / 2] : [chunk / 2, chunk]),
        exchange: [chunk + 1, chunk + comm * 0.6],
        other: [chunk + comm * 0.6, chunk + comm],
    };
}

function laneShapes(lane, x, clip, top, height, hatch) {
    const row = rows(height);
    const shapes = [];
    const add = (spans, [from, to], style, z) =>
        shapes.push(shape(pixels(spans, x, clip, top + from, top + to), style, z));
    add(lane.bubbles, [0, row.chunk], { fill: hatch }, 1);
    for (const { kind, half, spans, busy } of lane.groups) {
        const fill = kinds[kind];
        // Pale: the chunk has the rank, but waits for communication.
        add(spans, row.half(-1), { fill, opacity: half < 0 ? 0.35 : 0.18 }, 2);
        add(spans, row.half(half), { fill, opacity: 0.4 }, 3);
        add(busy, row.half(half), { fill }, 4);
    }
    for (const [collective, spans] of Object.entries(lane.communication)) {
        const group = groupOf(collective);
        add(spans, exchanges.includes(group) ? row.exchange : row.other, { fill: kinds[group] }, 4);
    }
    return shapes;
}

function option(data, c, report, height) {
    const hatch = hatching(c.faint);
    const largest = report.pipeline.largest_bubble;
    return {
        animation: false,
        grid: { left: c.narrow ? 26 : 96, right: 12, top: 8, height },
        xAxis: axis(c, {
            type: 'value',
            min: 0,
            max: data.shownEnd,
            axisLabel: { color: c.faint, fontSize: 11, hideOverlap: true, formatter: seconds },
        }),
        yAxis: axis(c, {
            type: 'category',
            inverse: true,
            data: data.lanes.map((lane) => {
                const of = report.pipeline.per_rank.find((r) => r.rank === lane.pipelineRank);
                return c.narrow || !of ? `${lane.pipelineRank}` : `rank ${of.rank} · stage ${of.stages.join(', ')}`;
            }),
            axisLine: { show: false },
            axisLabel: { color: c.faint, fontSize: 11, interval: 0 },
        }),
        dataZoom: [
            {
                type: 'inside',
                filterMode: 'none',
                zoomOnMouseWheel: 'ctrl',
                moveOnMouseMove: true,
                preventDefaultMouseMove: false,
                minValueSpan: data.shownEnd / 5000,
            },
            {
                type: 'slider',
                filterMode: 'none',
                height: 18,
                bottom: 4,
                showDataShadow: false,
                borderColor: c.line,
                fillerColor: 'rgba(0, 114, 178, 0.15)',
                textStyle: { color: c.faint, fontSize: 10 },
                labelFormatter: seconds,
                minValueSpan: data.shownEnd / 5000,
            },
        ],
        series: [
            {
                type: 'custom',
                clip: true,
                silent: true,
                data: [[0, 0]],
                renderItem(params, api) {
                    const origin = api.coord([0, 0])[0];
                    const x = [origin, api.coord([1, 0])[0] - origin];
                    const area = params.coordSys;
                    const clip = [area.x, area.x + area.width];
                    const step = area.height / data.lanes.length;
                    const shapes = data.lanes.flatMap((lane, i) =>
                        laneShapes(lane, x, clip, area.y + i * step + 1, step - 1, hatch),
                    );
                    const tail = pixels([[data.lastChunk, data.end]], x, clip, area.y, area.y + area.height);
                    shapes.push(shape(tail, { fill: kinds.optimizer, opacity: 0.3 }, 1));
                    const row = data.lanes.findIndex((lane) => lane.pipelineRank === largest?.rank);
                    if (row >= 0) {
                        const top = area.y + row * step;
                        const frame = pixels([[largest.start_s, largest.end_s]], x, clip, top, top + rows(step - 1).chunk + 2);
                        shapes.push(shape(frame, { fill: 'none', stroke: c.alarm, lineWidth: 2 }, 9));
                    }
                    return { type: 'group', children: shapes };
                },
            },
        ],
    };
}

const chunkName = (chunk) => {
    const name = ({ stage, direction, microBatch }) => `stage ${stage}, micro-batch ${microBatch}, direction ${direction}`;
    return chunk.kind === 'FB'
        ? [`F&B ${seconds(chunk.end - chunk.start)}`, `forward: ${name(chunk.of[0])}`, `backward: ${name(chunk.of[1])}`]
        : [`${kindNames[chunk.kind].replace('_', ', ')} ${seconds(chunk.end - chunk.start)}`, name(chunk.of[0])];
};

// What happens on a lane at a time, as lines of text.
function described(data, lane, time) {
    const within = ([start, end]) => start <= time && time < end;
    const chunk = lane.chunks.find((c) => within([c.start, c.end]));
    const bubble = lane.bubbles.find(within);
    const lines = [`rank ${lane.pipelineRank} at ${seconds(time)}`];
    if (chunk) {
        lines.push(...chunkName(chunk));
    } else if (bubble) {
        lines.push(`bubble ${seconds(bubble[1] - bubble[0])}`);
    } else if (time >= data.lastChunk) {
        lines.push(`optimizer ${seconds(data.end - data.lastChunk)}`);
    }
    for (const [kind, spans] of Object.entries(lane.communication)) {
        const found = spans.find(within);
        if (found) {
            lines.push(`${kind.replaceAll('_', ' ')} ${seconds(found[1] - found[0])}`);
        }
    }
    return lines;
}

// By a factor around the middle of what is seen; 0: everything.
function zoom(instance, factor) {
    const { start, end } = instance.getOption().dataZoom[0];
    const middle = (start + end) / 2;
    const half = factor === 0 ? 50 : Math.min(50, Math.max(0.01, ((end - start) / 2) * factor));
    const from = Math.min(Math.max(0, middle - half), 100 - 2 * half);
    instance.dispatchAction({ type: 'dataZoom', start: from, end: from + 2 * half });
}

function shownKinds(data) {
    const shown = new Set(data.lanes.flatMap((lane) => lane.groups.map((group) => group.kind)));
    for (const lane of data.lanes) {
        Object.keys(lane.communication).forEach((kind) => shown.add(groupOf(kind)));
    }
    if (data.end > data.lastChunk) {
        shown.add('optimizer');
    }
    return kindTexts.filter(([kind]) => shown.has(kind)).map(([kind, text]) => [kinds[kind], text]);
}

// All reports of a page have the same time axis.
export function gantt(report, reports) {
    if (!report.step) {
        return null;
    }
    if (!report.over_time?.lanes.length) {
        return el('p.note', null, 'This report holds no timeline: a version of r1sim that kept none wrote it.');
    }
    const data = { ...prepare(report), shownEnd: Math.max(...reports.map((r) => r.step?.time_s ?? 0)) };
    const box = el('div.chart', {
        role: 'img',
        'aria-label': `Chunks and communication of ${data.lanes.length} pipeline ranks over ${seconds(data.end)}`,
    });
    const { tip, watch } = pointerTip(box, (time, row) => (time < data.end ? described(data, data.lanes[row], time) : null));
    let instance = null;
    chart(
        box,
        (c) => {
            const height = data.lanes.length * (c.narrow ? 22 : 27);
            box.style.height = `${height + 70}px`;
            return option(data, c, report, height);
        },
        (made) => {
            instance = made;
            watch(made);
        },
    );
    const button = (text, title, factor) => {
        const made = el('button', { type: 'button', title, 'aria-label': title }, text);
        made.addEventListener('click', () => zoom(instance, factor));
        return made;
    };
    const halves =
        data.directions > 1
            ? 'Upper half of a lane: direction 0, lower half: direction 1. '
            : 'Halves of a lane: overlapped forward and backward. ';
    return [
        legend(
            [...shownKinds(data), ['hatched', 'bubble'], ['framed', 'largest bubble']],
            el('span.buttons', null, button('+', 'zoom in', 0.5), button('−', 'zoom out', 2), button('all', 'show the whole step', 0)),
        ),
        el('div.holder', null, box, tip),
        el(
            'p.note',
            null,
            `${halves}Pale: the chunk waits for communication. Below each lane: expert exchanges, then messages and collectives. `,
            'Drag to move, Ctrl and wheel, pinch or the slider to zoom.',
        ),
    ];
}
