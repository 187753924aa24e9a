// Colours of charts: Okabe and Ito's for kinds, viridis for amounts, blue to orange around a middle.
// Both tell apart what they should with every kind of colour vision.
import * as echarts from 'echarts/core';

const dark = matchMedia('(prefers-color-scheme: dark)');
const drawers = new Set();

export const kinds = {
    forward: '#56b4e9',
    backward_input: '#e69f00',
    backward_weight: '#f0e442',
    backward: '#d55e00',
    one_f_one_b: '#0072b2',
    optimizer: '#8c8c8c',
    dispatch: '#009e73',
    combine: '#0072b2',
    messages: '#8b5e3c',
    collectives: '#cc79a7',
};
export const categorical = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#f0e442', '#8c8c8c'];
export const amounts = ['#440154', '#3b528b', '#21918c', '#5ec962', '#fde725'];
export const aroundMiddle = ['#0072b2', '#7fb4d6', '#e8e8e8', '#e9b26a', '#d55e00'];

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export const colors = () => ({
    text: ink('--text'),
    faint: ink('--faint'),
    line: ink('--line'),
    panel: ink('--panel'),
    alarm: ink('--alarm'),
});

// A small tile of diagonal lines, for canvas patterns.
export function hatching(color) {
    const tile = document.createElement('canvas');
    tile.width = tile.height = 6;
    const pen = tile.getContext('2d');
    pen.strokeStyle = color;
    pen.lineWidth = 1;
    pen.beginPath();
    for (const shift of [-6, 0, 6]) {
        pen.moveTo(shift, 6);
        pen.lineTo(shift + 6, 0);
    }
    pen.stroke();
    return { image: tile, repeat: 'repeat' };
}

// The same for bars.
export const hatched = (color) => ({
    color: 'transparent',
    borderColor: color,
    borderWidth: 0.5,
    decal: { color, symbol: 'rect', dashArrayX: [1, 0], dashArrayY: [1, 4], rotation: -Math.PI / 4 },
});

// Fills `box` with the chart that `option` describes, and keeps it right when the window or the
// colour scheme changes. `option` gets the colours and whether there is little room, and may set the
// box's height; `made` gets the chart, once.
export function chart(box, option, made = () => {}) {
    let instance = null;
    const redraw = () => {
        const described = option({ ...colors(), narrow: box.clientWidth < 560 });
        if (instance === null) {
            instance = echarts.init(box, null, { renderer: 'canvas' });
            made(instance);
        }
        const zoomed = instance.getOption()?.dataZoom?.[0];
        instance.resize();
        instance.setOption(described, { notMerge: true });
        if (zoomed) {
            instance.dispatchAction({ type: 'dataZoom', start: zoomed.start, end: zoomed.end });
        }
    };
    drawers.add(redraw);
    let width = 0;
    new ResizeObserver(() => {
        if (box.clientWidth !== width) {
            width = box.clientWidth;
            redraw();
        }
    }).observe(box);
}
dark.addEventListener('change', () => drawers.forEach((redraw) => redraw()));

// What axes of all charts share.
export function axis(c, more) {
    return {
        axisLine: { lineStyle: { color: c.line } },
        axisTick: { show: false },
        axisLabel: { color: c.faint, fontSize: 11 },
        splitLine: { lineStyle: { color: c.line, width: 0.5 } },
        nameTextStyle: { color: c.faint, fontSize: 11 },
        ...more,
    };
}

export function tooltip(c, formatter) {
    return {
        confine: true,
        backgroundColor: c.panel,
        borderColor: c.line,
        textStyle: { color: c.text, fontSize: 12 },
        formatter,
    };
}
