// What a page of r1sim shows, as its visitor would find it: evaluated in the page, answers JSON.
(async () => {
    const loaded = () => new Promise((done) => (document.readyState === 'complete' ? done() : addEventListener('load', done)));
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    await loaded();
    await frame();
    await frame();

    // Beyond the right edge, and not in a box that scrolls.
    const cut = [...document.querySelectorAll('main *')].filter(
        (e) => !e.closest('.scroll') && !e.closest('svg') && e.getBoundingClientRect().right > innerWidth + 0.5,
    );
    // Contents wider than their box, folded ones included; 1: widths are rounded.
    const folded = [...document.querySelectorAll('details:not([open])')];
    folded.forEach((e) => (e.open = true));
    const overflowing = [...document.querySelectorAll('body, main *')].filter(
        (e) => !e.matches('.scroll') && e.clientWidth > 0 && e.scrollWidth > e.clientWidth + 1,
    );
    const overflows = overflowing.map((e) => `${e.tagName}.${e.className}: ${e.textContent.slice(0, 40)}`);
    folded.forEach((e) => (e.open = false));
    const painted = (canvas) => {
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const colors = new Set();
        for (let i = 0; i < data.length; i += 4 * 7) {
            colors.add((data[i] << 24) | (data[i + 1] << 16) | (data[i + 2] << 8) | data[i + 3]);
        }
        return colors.size > 3;
    };
    const shown = {
        title: document.title,
        headings: [...document.querySelectorAll('h1, h2')].map((e) => e.textContent),
        numbers: [...document.querySelectorAll('.number[data-pointer]')].map((e) => ({
            report: Number(e.dataset.report ?? 0),
            pointer: e.dataset.pointer,
            text: e.textContent,
        })),
        bottleneck: [...document.querySelectorAll('[data-shown=bottleneck]')].map((e) => e.textContent),
        hottest: [...document.querySelectorAll('[data-pointer="/network/hottest"]')].map((e) => e.textContent),
        alarms: [...document.querySelectorAll('p.alarm')].map((e) => e.textContent),
        page_width: document.documentElement.scrollWidth,
        window_width: innerWidth,
        cut: cut.map((e) => `${e.tagName}.${e.className}`),
        overflows,
        charts: document.querySelectorAll('.chart').length,
        chart_labels: [...document.querySelectorAll('.chart')].map((e) => e.getAttribute('aria-label')),
        columns: [...document.querySelectorAll('th')].map((e) => e.textContent),
        cells: [...document.querySelectorAll('td')].map((e) => e.textContent),
        painted: [...document.querySelectorAll('.chart canvas')].filter(painted).length,
        requests: performance.getEntriesByType('resource').map((e) => e.name),
    };

    // How long a step of zooming the first chart takes until it is drawn.
    const zoomed = [];
    const zoom = async (text) => {
        const button = [...document.querySelectorAll('button')].find((b) => b.textContent === text);
        if (button) {
            const start = performance.now();
            button.click();
            await frame();
            await frame();
            zoomed.push(Math.round(performance.now() - start));
        }
    };
    // What the pointer finds in it, at shares of its width.
    const canvas = document.querySelector('.holder canvas');
    const box = canvas?.getBoundingClientRect();
    const under = (share) => {
        const at = { clientX: box.left + share * box.width, clientY: box.top + 14, bubbles: true };
        canvas.dispatchEvent(new MouseEvent('mousemove', at));
        return [...document.querySelectorAll('.tip:not([hidden]) div')].map((e) => e.textContent);
    };
    const found = canvas ? [0.2, 0.4, 0.6].map(under) : [];
    for (const text of ['+', '+', '+', '−', '+', '+', '+']) {
        await zoom(text);
    }
    const found_zoomed = canvas ? [0.2, 0.4, 0.6].map(under) : [];
    await zoom('all');
    canvas?.dispatchEvent(new MouseEvent('mouseout', { bubbles: true }));
    document.querySelectorAll('.tip').forEach((tip) => (tip.hidden = true));
    await frame();
    return { ...shown, zoomed, found, found_zoomed };
})();
