// How busy links were over the step: a row a link.
import { HeatmapChart } from 'echarts/charts';
import { GridComponent, TooltipComponent, VisualMapComponent } from 'echarts/components';
import * as echarts from 'echarts/core';
import { el, folded, number, table } from './dom.js';
import { bytes, gbPerS, plain, seconds, share } from './format.js';
import { links as unpacked } from './over_time.js';
import { amounts, axis, chart, tooltip } from './theme.js';

echarts.use([HeatmapChart, GridComponent, TooltipComponent, VisualMapComponent]);

// Rows of the heat map: NICs first, sends before receives.
const order = ['nic.up', 'nic.down', 'nvlink.up', 'nvlink.down'];
const placeOf = (id) => {
    const place = order.findIndex((end) => id.endsWith(end));
    return place < 0 ? order.length : place;
};
const endOf = (id) => id.replace(/^.*?\./, '').replace('nic', 'NIC').replace('nvlink', 'NVLink').replace('.up', ' ↑').replace('.down', ' ↓');

export function heatMap(box, { rows, columns, value, rowTick, columnTick, tip, tickEvery, max, colors, min = 0 }) {
    chart(box, (c) => {
        const cells = [];
        for (let y = 0; y < rows.length; ++y) {
            for (let x = 0; x < columns; ++x) {
                cells.push([x, y, value(x, y)]);
            }
        }
        return {
            animation: false,
            grid: { left: c.narrow ? 34 : 64, right: 8, top: 4, bottom: 58 },
            tooltip: tooltip(c, ({ value: [x, y, v] }) => tip(x, y, v)),
            xAxis: axis(c, {
                type: 'category',
                data: Array.from({ length: columns }, (_, i) => i),
                axisLabel: { color: c.faint, fontSize: 11, hideOverlap: true, interval: tickEvery - 1, formatter: (_, i) => columnTick(i) },
            }),
            yAxis: axis(c, {
                type: 'category',
                inverse: true,
                data: rows,
                axisLabel: { color: c.faint, fontSize: 11, hideOverlap: true, formatter: (name, i) => rowTick(name, i, c.narrow) },
            }),
            visualMap: {
                min,
                max,
                dimension: 2,
                calculable: false,
                orient: 'horizontal',
                left: 'center',
                bottom: 0,
                itemWidth: 10,
                itemHeight: 160,
                text: [`${max} %`, `${min} %`],
                textStyle: { color: c.faint, fontSize: 11 },
                inRange: { color: colors },
            },
            series: [{ type: 'heatmap', data: cells, progressive: 0, itemStyle: { borderWidth: 0 }, emphasis: { disabled: true } }],
        };
    });
}

function drawn(report) {
    const links = unpacked(report).sort((a, b) => placeOf(a.id) - placeOf(b.id));
    const columns = links[0].percent.length;
    const time = report.step.time_s;
    const box = el('div.chart', { role: 'img', 'aria-label': `Utilisation of ${links.length} links over the step` });
    box.style.height = `${Math.min(460, Math.max(160, links.length * 6 + 70))}px`;
    heatMap(box, {
        rows: links.map((link) => link.id),
        columns,
        value: (x, y) => links[y].percent[x],
        rowTick: (id, i, narrow) => {
            const first = i === 0 || placeOf(links[i - 1].id) !== placeOf(id);
            return first ? endOf(id).replace(' ', narrow ? '\n' : ' ') : '';
        },
        columnTick: (i) => seconds(Number(((i / columns) * time).toPrecision(3))),
        tickEvery: columns / 5,
        tip: (x, y, v) =>
            `${links[y].id}<br>${seconds((x / columns) * time)} to ${seconds(((x + 1) / columns) * time)}: <b>${v} %</b>`,
        max: 100,
        colors: amounts,
    });
    return [
        box,
        el('p.note', null, 'Rows: NIC and NVLink port of one rank of each pipeline rank, rank 0 on top; ↑ sends, ↓ receives. Each column is a 200th of the step.'),
    ];
}

export function links(report) {
    const { links, hottest } = report.network;
    const rank = links.map((_, i) => i).sort((a, b) => links[b].mean_utilisation - links[a].mean_utilisation);
    const row = (i) => {
        const at = `/network/links/${i}`;
        return [
            links[i].id === hottest ? el('b', null, links[i].id) : links[i].id,
            number(report, `${at}/mean_utilisation`, share),
            number(report, `${at}/peak_utilisation`, share),
            number(report, `${at}/bytes`, bytes),
            number(report, `${at}/bandwidth_gb_per_s`, gbPerS),
        ];
    };
    const columns = [['link'], ['mean', 'figure'], ['peak', 'figure'], ['bytes', 'figure'], ['bandwidth', 'figure']];
    const kShown = 4;
    return [
        report.over_time?.links.length ? drawn(report) : null,
        table(columns, rank.slice(0, kShown).map(row)),
        links.length > kShown ? folded(`All ${links.length} links`, table(columns, rank.map(row))) : null,
    ];
}

export const perToken = (value) => `${plain(value / 1e3)} kB`;
