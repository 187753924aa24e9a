// How busy links were over the step: a row a link.
import { el, folded, number, table } from './dom.js';
import { bytes, gbPerS, seconds, share } from './format.js';
import { heatMap } from './heat_map.js';
import { links as unpacked } from './over_time.js';
import { amounts } from './theme.js';

// Rows of the heat map: NICs first, sends before receives.
const order = ['nic.up', 'nic.down', 'nvlink.up', 'nvlink.down'];
const placeOf = (id) => {
    const place = order.findIndex((end) => id.endsWith(end));
    return place < 0 ? order.length : place;
};
const endOf = (id) => id.replace(/^.*?\./, '').replace('nic', 'NIC').replace('nvlink', 'NVLink').replace('.up', ' ↑').replace('.down', ' ↓');

function drawn(report) {
    const links = unpacked(report).sort((a, b) => placeOf(a.id) - placeOf(b.id));
    const columns = links[0].percent.length;
    const time = report.step.time_s;
    const at = (x) => seconds(Number(((x / columns) * time).toPrecision(3)));
    const map = heatMap({
        title: `Utilisation of ${links.length} links over the step`,
        height: Math.min(420, Math.max(110, links.length * 6 + 30)),
        rows: links.map((link) => link.id),
        columns,
        value: (x, y) => links[y].percent[x],
        rowTick: (i, narrow) => {
            const first = i === 0 || placeOf(links[i - 1].id) !== placeOf(links[i].id);
            return first ? endOf(links[i].id).replace(' ', narrow ? '\n' : ' ') : '';
        },
        columnTick: at,
        tickEvery: columns / 5,
        lines: (x, y) => [links[y].id, `${at(x)} to ${at(x + 1)}: ${links[y].percent[x]} %`],
        min: 0,
        max: 100,
        colors: amounts,
    });
    return [
        map,
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
