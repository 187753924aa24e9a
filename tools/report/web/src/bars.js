// Bar charts: what the step's time, memory and changes are made of.
import { BarChart } from 'echarts/charts';
import { GridComponent, MarkLineComponent, TooltipComponent } from 'echarts/components';
import * as echarts from 'echarts/core';
import { el, legend } from './dom.js';
import { axis, chart, hatched, tooltip } from './theme.js';

echarts.use([BarChart, GridComponent, MarkLineComponent, TooltipComponent]);

// series: [{name, color, values}]; color 'hatched' for what is idle. Bars are horizontal, one a
// category, from the top.
// The axis reaches to `max` at least. `limit` is drawn as a line.
export function stackedBars({ categories, series, format, height, limit, max = 0, title, stacked = true }) {
    const box = el('div.chart', { role: 'img', 'aria-label': title });
    box.style.height = `${height}px`;
    chart(box, (c) => {
        const style = (color) => (color === 'hatched' ? hatched(c.faint) : { color });
        const line = limit && {
            silent: true,
            symbol: 'none',
            lineStyle: { color: c.alarm, width: 1.5 },
            label: { show: false },
            data: [{ xAxis: limit }],
        };
        return {
            animation: false,
            grid: { left: 4, right: 18, top: 6, bottom: 4, containLabel: true },
            tooltip: {
                ...tooltip(c, (list) =>
                    [list[0].name, ...list.map((p) => `${p.marker}${p.seriesName}: <b>${format(p.value)}</b>`)].join('<br>'),
                ),
                trigger: 'axis',
                axisPointer: { type: 'shadow' },
            },
            xAxis: axis(c, {
                type: 'value',
                max: max ? (drawn) => Math.max(max, drawn.max) : undefined,
                axisLabel: { color: c.faint, fontSize: 11, hideOverlap: true, formatter: format },
            }),
            yAxis: axis(c, { type: 'category', inverse: true, data: categories, axisLabel: { color: c.text, fontSize: 11 } }),
            series: series.map(({ name, color, values }, i) => ({
                type: 'bar',
                name,
                stack: stacked ? 'all' : undefined,
                data: values,
                barMaxWidth: 18,
                itemStyle: style(color),
                markLine: i === 0 ? line || undefined : undefined,
            })),
        };
    });
    const shown = series.filter(({ values }) => values.some((value) => value !== 0));
    return [legend(shown.map(({ name, color }) => [color, name])), box];
}
