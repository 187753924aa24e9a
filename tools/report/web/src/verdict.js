// The strip on top: what came out, how sure that is, and what holds the step back.
import { at, breakable, confidence, el, number } from './dom.js';
import { bytes, count, label, percent, plain, seconds, share, usd } from './format.js';

const largest = (map) => Object.entries(map).reduce((a, b) => (b[1] > a[1] ? b : a), ['', -Infinity]);
const escape = (key) => key.replaceAll('~', '~0').replaceAll('/', '~1');

function card(title, value, ...notes) {
    return el('div.card', null, el('h3', null, title), el('p.value', null, value), notes.map((note) => note && el('p', null, note)));
}

// "published 19.93 s, −5.9 %" of a metric; else whether it was measured or simulated.
function againstPublished(report, metric, format) {
    const i = report.published.findIndex((p) => p.metric.replaceAll('/', '.').replace(/^\./, '') === metric);
    if (i < 0 || typeof report.published[i].error_percent !== 'number') {
        return report.run_info.measured ? confidence('measured', null, 'of this run') : 'simulated, nothing published to compare with';
    }
    const pointer = `/published/${i}`;
    const error = number(report, `${pointer}/error_percent`, percent);
    return ['published ', number(report, `${pointer}/published`, format), ': ', el('b', null, error)];
}

// What report.confidence says of a component.
function sure(report, component) {
    const entry = report.confidence.find((c) => c.component === component) ?? report.confidence.find((c) => c.component === 'run');
    return entry ? confidence(entry.level, entry.error_percent, `${entry.component}: ${entry.source}`) : null;
}

function bottleneck(report) {
    const [resource] = largest(report.critical_path.by_resource);
    const pointer = `/critical_path/by_resource/${escape(resource)}`;
    const known = Object.entries(report.critical_path.by_kind).filter(([kind]) =>
        report.confidence.some((c) => c.component === `kernel.${kind}`),
    );
    const [kind] = known.length ? largest(Object.fromEntries(known)) : [null];
    const part = at(report, pointer) / report.step.time_s;
    return card(
        'Bottleneck',
        el('span', { 'data-shown': 'bottleneck' }, label(resource)),
        [number(report, pointer, seconds), ` of the critical path, ${share(part)}`],
        kind
            ? ['longest: ', label(kind), ' ', number(report, `/critical_path/by_kind/${escape(kind)}`, seconds), ' ', sure(report, `kernel.${kind}`)]
            : sure(report, 'run'),
    );
}

function bubble(report) {
    const found = report.pipeline.largest_bubble;
    const mean = [
        'all bubbles: ',
        number(report, '/pipeline/breakdown_s/bubble', seconds),
        ` a rank, ${share(report.pipeline.breakdown_s.bubble / report.step.time_s)}`,
    ];
    if (!found) {
        return card('Largest bubble', 'none', mean);
    }
    return card(
        'Largest bubble',
        number(report, '/pipeline/largest_bubble/duration_s', seconds),
        [
            el('span', { 'data-shown': 'bubble' }, `rank ${found.rank}`),
            ', ',
            number(report, '/pipeline/largest_bubble/start_s', seconds),
            ' to ',
            number(report, '/pipeline/largest_bubble/end_s', seconds),
        ],
        mean,
    );
}

function hottest(report) {
    const i = report.network.links.findIndex((link) => link.id === report.network.hottest);
    if (i < 0) {
        return null;
    }
    const link = report.network.links[i];
    return card(
        'Hottest link',
        el('span', { 'data-pointer': '/network/hottest' }, breakable(link.id)),
        [number(report, `/network/links/${i}/mean_utilisation`, share), ' busy, peak ', number(report, `/network/links/${i}/peak_utilisation`, share)],
        ['bandwidth ', sure(report, `network.${link.kind}`)],
    );
}

function memory(report) {
    const ranks = report.memory.per_rank;
    if (!ranks.length) {
        return null;
    }
    const i = ranks.reduce((best, rank, k) => (rank.total > ranks[best].total ? k : best), 0);
    return card(
        'Memory',
        number(report, `/memory/per_rank/${i}/total`, bytes),
        ['of ', number(report, '/memory/capacity', bytes), `, rank ${ranks[i].rank}`],
        report.memory.fits ? 'fits' : el('b.alarm', null, 'does not fit'),
    );
}

export function verdict(report) {
    if (!report.step) {
        return el('div.strip', null, card('Dry run', 'not replayed', 'Only what the graph alone tells.'), memory(report));
    }
    const trains = typeof report.step.tokens_per_s === 'number';
    return el(
        'div.strip',
        null,
        card('Step', number(report, '/step/time_s', seconds), againstPublished(report, 'step.time_s', seconds)),
        trains &&
            card(
                'Tokens a second',
                number(report, '/step/tokens_per_s', count),
                [number(report, '/step/tokens_per_day', count), ' a day'],
                againstPublished(report, 'step.tokens_per_day', count),
            ),
        trains &&
            card(
                'MFU, causal',
                number(report, '/step/mfu/causal', share),
                [number(report, '/step/mfu/non_causal', share), ' non-causal'],
                againstPublished(report, 'step.mfu.causal', share),
            ),
        bottleneck(report),
        bubble(report),
        hottest(report),
        memory(report),
        report.cost &&
            card(
                'Cost of the step',
                number(report, '/cost/usd', usd),
                [number(report, '/cost/gpu_hours', plain), ' GPU-hours, ', number(report, '/cost/energy_kwh', plain), ' kWh'],
                confidence('assumed', null, 'prices of the scenario'),
            ),
    );
}
