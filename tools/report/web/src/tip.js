// What lies under the pointer, beside it. Charts that draw thousands of rectangles as one shape look
// it up themselves.
import { el } from './dom.js';

// Lines of text for a point of the chart's coordinates. Returns the element to put beside the chart
// in a .holder, and what to do with the chart once it is made.
export function pointerTip(box, lines) {
    const tip = el('div.tip', { hidden: true });
    const watch = (instance) => {
        const zr = instance.getZr();
        zr.on('mousemove', ({ offsetX, offsetY }) => {
            const point = [offsetX, offsetY];
            const text = instance.containPixel('grid', point) ? lines(...instance.convertFromPixel('grid', point)) : null;
            tip.hidden = !text;
            if (text) {
                tip.replaceChildren(...text.map((line) => el('div', null, line)));
                const left = Math.min(offsetX + 14, box.clientWidth - tip.offsetWidth - 4);
                tip.style.transform = `translate(${Math.max(0, left)}px, ${offsetY + 16}px)`;
            }
        });
        zr.on('globalout', () => (tip.hidden = true));
    };
    return { tip, watch };
}
