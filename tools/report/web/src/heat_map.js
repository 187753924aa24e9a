// A matrix as colours. All cells are one picture: ten thousand elements would take seconds to paint.
import { CustomChart } from 'echarts/charts';
import { GridComponent } from 'echarts/components';
import * as echarts from 'echarts/core';
import { el } from './dom.js';
import { axis, chart } from './theme.js';
import { pointerTip } from './tip.js';

echarts.use([CustomChart, GridComponent]);

const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

// The colour of a share in [0, 1] on a scale of colours.
function colorOf(share, scale) {
    const place = Math.min(1, Math.max(0, share)) * (scale.length - 1);
    const i = Math.min(Math.floor(place), scale.length - 2);
    const mix = (a, b) => Math.round(a + (b - a) * (place - i));
    const [from, to] = [rgb(scale[i]), rgb(scale[i + 1])];
    return `rgb(${from.map((a, k) => mix(a, to[k])).join(',')})`;
}

function painted({ rows, columns, value, min, max, colors }, width, height) {
    const dense = devicePixelRatio;
    const canvas = document.createElement('canvas');
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
    const pen = canvas.getContext('2d');
    const [w, h] = [canvas.width / columns, canvas.height / rows.length];
    for (let y = 0; y < rows.length; ++y) {
        for (let x = 0; x < columns; ++x) {
            pen.fillStyle = colorOf((value(x, y) - min) / (max - min), colors);
            // To whole pixels: no seams.
            const [left, top] = [Math.round(x * w), Math.round(y * h)];
            pen.fillRect(left, top, Math.round((x + 1) * w) - left, Math.round((y + 1) * h) - top);
        }
    }
    return canvas;
}

const tick = (c, formatter, interval) => ({ color: c.faint, fontSize: 11, hideOverlap: true, formatter, interval });

// rows: names; value(x, y) in per cent between min and max; rowTick(i, narrow), columnTick(x) every
// `tickEvery` columns; lines(x, y): what the pointer tells.
export function heatMap(map) {
    const { title, rows, columns, rowTick, columnTick, tickEvery, lines, height, min, max, colors } = map;
    const box = el('div.chart', { role: 'img', 'aria-label': title });
    box.style.height = `${height}px`;
    const { tip, watch } = pointerTip(box, lines);
    const option = (c) => ({
        animation: false,
        grid: { left: c.narrow ? 40 : 64, right: 8, top: 4, bottom: 22 },
        xAxis: axis(c, {
            type: 'category',
            data: Array.from({ length: columns }, (_, i) => i),
            axisLabel: tick(c, (_, i) => columnTick(i), tickEvery - 1),
        }),
        yAxis: axis(c, {
            type: 'category',
            inverse: true,
            data: rows,
            axisLabel: tick(c, (_, i) => rowTick(i, c.narrow)),
        }),
        series: [
            {
                type: 'custom',
                silent: true,
                data: [[0, 0]],
                renderItem({ coordSys: { x, y, width, height } }) {
                    return { type: 'image', style: { image: painted(map, width, height), x, y, width, height } };
                },
            },
        ],
    });
    chart(box, option, watch);
    const scale = el('i.scale', { style: `background:linear-gradient(90deg, ${colors.join(', ')})` });
    return [el('div.holder', null, box, tip), el('div.legend.centred', null, `${min} %`, scale, `${max} %`)];
}
