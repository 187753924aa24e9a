// A sweep: what each axis does to the step, and which points nothing beats in time, cost and memory.
import { LineChart, ScatterChart } from 'echarts/charts';
import { GridComponent, TooltipComponent } from 'echarts/components';
import * as echarts from 'echarts/core';
import { el, folded, legend, number, table } from './dom.js';
import { bytes, count, plain, seconds, usd } from './format.js';
import { axis, categorical, chart, tooltip } from './theme.js';

echarts.use([LineChart, ScatterChart, GridComponent, TooltipComponent]);

const [kMean, kFront, kPoint] = [categorical[0], categorical[5], categorical[7]];
const shown = (value) => (typeof value === 'string' ? value : JSON.stringify(value ?? null)).slice(0, 40);
const axesText = (axes) => Object.entries(axes).map(([pointer, value]) => `${pointer.split('/').at(-1)} ${shown(value)}`).join(', ');
const fullest = (line) => Math.max(0, ...line.memory.per_rank.map((rank) => rank.total));

// What points are compared by: steps, or a million tokens where steps differ in tokens. `amounts`: its
// time and cost by those of the step; null where a step has no tokens.
function comparison(result) {
    if (result.compared_per === 'step') {
        return { of: 'a step', amounts: (time, rate, price) => [time, price] };
    }
    return { of: 'a million tokens', amounts: (time, rate, price) => (rate ? [1e6 / rate, (1e6 * price) / (rate * time)] : null) };
}

function plot(title, height, option) {
    const box = el('div.chart', { role: 'img', 'aria-label': title });
    box.style.height = `${height}px`;
    chart(box, (c) => ({ animation: false, grid: { left: 8, right: 20, top: 12, bottom: 24, containLabel: true }, ...option(c) }));
    return box;
}

// Step time by value of an axis: every point, and the mean over the other axes.
function effect(result, { axis: pointer, values }) {
    const place = new Map(values.map(({ value }, i) => [JSON.stringify(value), i]));
    const points = result.lines
        .filter((line) => line.exit_code === 0 && place.has(JSON.stringify(line.axes[pointer])))
        .map((line) => [place.get(JSON.stringify(line.axes[pointer])), line.step.time_s, line.point]);
    const tip = (p) => (p.seriesType === 'line' ? `mean: <b>${seconds(p.value)}</b>` : `point ${p.value[2]}: <b>${seconds(p.value[1])}</b>`);
    return el(
        'section',
        null,
        el('h2', null, `Step by ${pointer}`),
        legend([[kMean, 'mean'], [kPoint, 'points']]),
        plot(`Step time by ${pointer}`, 240, (c) => ({
            tooltip: tooltip(c, tip),
            xAxis: axis(c, { type: 'category', data: values.map(({ value }) => shown(value)) }),
            yAxis: axis(c, { type: 'value', scale: true, axisLabel: { color: c.faint, fontSize: 11, formatter: seconds } }),
            series: [
                { type: 'scatter', data: points, symbolSize: 6, itemStyle: { color: kPoint, opacity: 0.7 } },
                { type: 'line', data: values.map((v) => v.step_time_s.mean), color: kMean, lineStyle: { width: 2 }, symbolSize: 8 },
            ],
        })),
        table(
            [['value'], ['points', 'figure'], ['mean', 'figure'], ['least', 'figure'], ['most', 'figure']],
            values.map(({ value, points, step_time_s: step }) => [shown(value), `${points}`, seconds(step.mean), seconds(step.min), seconds(step.max)]),
        ),
    );
}

function front(result) {
    const { of, amounts } = comparison(result);
    const best = new Set(result.pareto_front.map(({ point }) => point));
    const placed = result.lines
        .filter((line) => line.exit_code === 0 && line.cost)
        .map((line) => ({ line, place: amounts(line.step.time_s, line.step.tokens_per_s, line.cost.usd) }))
        .filter(({ place }) => place);
    const points = (wanted) => placed.filter(({ line }) => wanted(line)).map(({ line, place }) => [...place, line.point]);
    const onFront = points(({ point }) => best.has(point));
    const others = points(({ point, memory }) => memory.fits && !best.has(point));
    const roomless = points(({ memory }) => !memory.fits);
    const tip = ({ value: [time, price, point] }) =>
        `point ${point}: <b>${seconds(time)}</b>, <b>${usd(price)}</b><br>${axesText(result.lines.find((l) => l.point === point).axes)}`;
    const rows = result.pareto_front.map((p) => {
        const found = amounts(p.step_time_s, p.tokens_per_s, p.usd);
        return [`${p.point}`, axesText(p.axes), ...(found ? [seconds(found[0]), usd(found[1])] : ['–', '–']), bytes(p.memory_bytes)];
    });
    return el(
        'section',
        null,
        el('h2', null, 'Pareto front: time, cost and memory'),
        legend([[kFront, 'no other point beats it'], [kPoint, 'other points'], ...(roomless.length ? [['framed', 'do not fit in memory']] : [])]),
        plot(`Cost of ${of} by its time: ${onFront.length} on the front, ${others.length} others, ${roomless.length} do not fit`, 320, (c) => ({
            tooltip: tooltip(c, tip),
            xAxis: axis(c, { type: 'value', scale: true, name: `time of ${of}`, nameLocation: 'middle', nameGap: 24, axisLabel: { color: c.faint, fontSize: 11, hideOverlap: true, formatter: seconds } }),
            yAxis: axis(c, { type: 'value', scale: true, axisLabel: { color: c.faint, fontSize: 11, formatter: usd } }),
            series: [
                { type: 'scatter', data: roomless, symbolSize: 7, itemStyle: { color: 'transparent', borderColor: c.alarm, borderWidth: 1.5 } },
                { type: 'scatter', data: others, symbolSize: 6, itemStyle: { color: kPoint, opacity: 0.7 } },
                { type: 'scatter', data: onFront, symbol: 'diamond', symbolSize: 11, itemStyle: { color: kFront } },
            ],
        })),
        table([['point'], ['axes', 'wide'], [`time of ${of}`, 'figure'], [`cost of ${of}`, 'figure'], ['memory', 'figure']], rows),
    );
}

function points(result) {
    const rows = result.lines.map((line, i) =>
        line.exit_code === 0
            ? [
                  `${line.point}`,
                  axesText(line.axes),
                  number(result, `/lines/${i}/step/time_s`, seconds),
                  number(result, `/lines/${i}/step/tokens_per_s`, count),
                  number(result, `/lines/${i}/cost/usd`, usd),
                  el('span', line.memory.fits ? null : { class: 'alarm' }, bytes(fullest(line)), line.memory.fits ? '' : ', does not fit'),
              ]
            : [`${line.point}`, axesText(line.axes), el('span.alarm', { title: line.error }, `exit ${line.exit_code}`), '', '', ''],
    );
    const columns = [['point'], ['axes', 'wide'], ['step', 'figure'], ['tokens a second', 'figure'], ['cost of the step', 'figure'], ['memory', 'figure']];
    return el('section', null, el('h2', null, 'Points'), folded(`All ${rows.length}`, table(columns, rows)));
}

function verdict(result) {
    const card = (title, value, ...notes) => el('div.card', null, el('h3', null, title), el('p.value', null, value), notes.map((note) => el('p', null, note)));
    const { best } = result;
    const { of, amounts } = comparison(result);
    const found = result.compared_per === 'token' && best && amounts(best.step_time_s, best.tokens_per_s, best.usd);
    const compared = found ? [`a step, ${seconds(found[0])} ${of}`, `a step, ${usd(found[1])} ${of}`] : ['a step', 'a step'];
    const kShown = 10;
    const refused = result.refused.slice(0, kShown).map((r) => `${r.points} refused with exit ${r.exit_code}: ${r.error.split('\n')[0]}`);
    if (result.refused.length > kShown) {
        refused.push(`and others for ${result.refused.length - kShown} more causes`);
    }
    return el(
        'div.strip',
        null,
        best
            ? card('Best', number(result, '/best/step_time_s', seconds), compared[0], `point ${best.point}: ${axesText(best.axes)}`)
            : card('Best', 'none', 'no point fits'),
        best && card('Its cost', number(result, '/best/usd', usd), compared[1]),
        card('Points', number(result, '/points', plain), `${result.simulated} simulated, ${result.without_room} of them do not fit`, ...refused),
        card('On the front', `${result.pareto_front.length}`, 'in time, cost and memory'),
    );
}

export function sweep(result) {
    return [
        el('header', null, el('h1', null, result.name), el('p.facts', null, `sweep ${result.sweep.slice(0, 12)}`)),
        verdict(result),
        el(
            'div.sections',
            null,
            el('div.full', null, front(result)),
            // An axis of one value has no effect to show.
            result.effects.filter(({ values }) => values.length > 1).map((each) => effect(result, each)),
            el('div.bottom', null, points(result)),
        ),
    ];
}
