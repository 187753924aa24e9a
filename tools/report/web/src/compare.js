// Two reports: what differs in what was asked, and in what came out.
import { at, el, number, table } from './dom.js';
import { bytes, count, percent, plain, seconds, share, usd } from './format.js';

const kMetrics = [
    ['step time', '/step/time_s', seconds],
    ['tokens a second', '/step/tokens_per_s', count],
    ['MFU, causal', '/step/mfu/causal', share],
    ['forward', '/pipeline/breakdown_s/forward', seconds],
    ['backward, input', '/pipeline/breakdown_s/backward_input', seconds],
    ['backward, weight', '/pipeline/breakdown_s/backward_weight', seconds],
    ['overlapped F&B', '/pipeline/breakdown_s/one_f_one_b', seconds],
    ['bubble', '/pipeline/breakdown_s/bubble', seconds],
    ['optimizer', '/pipeline/breakdown_s/optimizer', seconds],
    ['communication', '/overlap/comm_total_s', seconds],
    ['exposed communication', '/overlap/comm_exposed_s', seconds],
    ['nodes a token', '/routing/nodes_per_token_mean', plain],
    ['memory capacity', '/memory/capacity', bytes],
    ['cost', '/cost/usd', usd],
];

const tagged = (span, index) => {
    span.dataset.report = index;
    return span;
};

function metrics([a, b]) {
    const both = kMetrics.filter(([, pointer]) => typeof at(a, pointer) === 'number' && typeof at(b, pointer) === 'number');
    const rows = both.map(([name, pointer, format]) => {
        const [x, y] = [at(a, pointer), at(b, pointer)];
        const change = x !== 0 ? percent((y / x - 1) * 100) : '–';
        return [name, tagged(number(a, pointer, format), 0), tagged(number(b, pointer, format), 1), change];
    });
    const hottest = (report) => {
        const link = report.network?.links.find(({ id }) => id === report.network.hottest);
        return link ? `${link.id}, ${share(link.mean_utilisation)}` : '–';
    };
    rows.push(['hottest link, mean', hottest(a), hottest(b), '']);
    return table([['metric'], ['A', 'figure'], ['B', 'figure'], ['B against A', 'figure']], rows);
}

const isTree = (value) => value !== null && typeof value === 'object';

// Leaves that differ: [pointer, in A, in B].
function differences(a, b, path, found) {
    for (const key of new Set([...Object.keys(a ?? {}), ...Object.keys(b ?? {})])) {
        const [x, y] = [a?.[key], b?.[key]];
        if (isTree(x) && isTree(y)) {
            differences(x, y, `${path}/${key}`, found);
        } else if (JSON.stringify(x) !== JSON.stringify(y)) {
            found.push([`${path}/${key}`, x, y]);
        }
    }
    return found;
}

function scenarios([a, b]) {
    const kShown = 20;
    const found = differences(a.scenario, b.scenario, '', []);
    const brief = (value) => (value === undefined ? '–' : JSON.stringify(value).slice(0, 48));
    const rows = found.slice(0, kShown).map(([path, x, y]) => [path, brief(x), brief(y)]);
    return found.length
        ? [
              table([['of the scenario'], ['A', 'figure'], ['B', 'figure']], rows),
              found.length > kShown ? el('p.note', null, `and ${found.length - kShown} more`) : null,
          ]
        : el('p.note', null, 'The scenarios are equal.');
}

export const compare = (reports) => [metrics(reports), scenarios(reports)];
