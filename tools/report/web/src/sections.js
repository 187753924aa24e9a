// Sections below the Gantt chart. Each: report -> contents, or null where the report has none.
import { stackedBars } from './bars.js';
import { confidence, el, folded, number, table } from './dom.js';
import { bytes, count, kilobytes, label, percent, plain, seconds, share, unit, usd } from './format.js';
import { heatMap } from './heat_map.js';
import { routingLayers } from './over_time.js';
import { amounts, aroundMiddle, categorical, kinds } from './theme.js';

const right = (...titles) => titles.map((title) => [title, 'figure']);
const kParts = ['forward', 'backward_input', 'backward_weight', 'one_f_one_b', 'bubble', 'optimizer'];
const ofStep = (report, value) => (report.step.time_s > 0 ? share(value / report.step.time_s) : '–');

export function stepTime(report, reports) {
    if (!report.pipeline) {
        return null;
    }
    const ranks = report.pipeline.per_rank;
    const bars = stackedBars({
        title: 'Split of the step by pipeline rank',
        categories: ranks.map((r) => `rank ${r.rank}`),
        series: kParts.map((part) => ({
            name: label(part),
            color: part === 'bubble' ? 'hatched' : kinds[part],
            values: ranks.map((r) => r.breakdown_s[part]),
        })),
        format: seconds,
        max: Math.max(...reports.map((r) => r.step?.time_s ?? 0)),
        height: ranks.length * 20 + 40,
    });
    const rows = kParts.map((part) => [
        label(part),
        number(report, `/pipeline/breakdown_s/${part}`, seconds),
        ofStep(report, report.pipeline.breakdown_s[part]),
    ]);
    return [bars, table([['mean over ranks'], ...right('time', 'of the step')], rows), bubbleParts(report)];
}

function bubbleParts(report) {
    const parts = report.pipeline.bubble_parts_s;
    const rows = Object.keys(parts ?? {}).map((key) => [label(key), number(report, `/pipeline/bubble_parts_s/${key}`, seconds)]);
    return parts ? table([['bubbles come from'], ...right('time')], rows) : null;
}

export function criticalPath(report) {
    if (!report.critical_path) {
        return null;
    }
    const rows = (map) =>
        Object.entries(report.critical_path[map])
            .sort((a, b) => b[1] - a[1])
            .map(([key, value]) => [
                label(key),
                number(report, `/critical_path/${map}/${key.replaceAll('/', '~1')}`, seconds),
                ofStep(report, value),
            ]);
    const columns = (title) => [[title], ...right('time', 'of the step')];
    return [
        table(columns('resource'), rows('by_resource')),
        folded('By kind of op', table(columns('kind'), rows('by_kind'))),
    ];
}

export function communication(report) {
    const overlap = report.overlap;
    if (!overlap) {
        return null;
    }
    const sorted = Object.entries(overlap.by_kind).sort((a, b) => b[1].total_s - a[1].total_s);
    const bars = stackedBars({
        title: 'Communication, hidden and exposed',
        categories: sorted.map(([kind]) => label(kind)),
        series: [
            { name: 'hidden behind computation', color: categorical[2], values: sorted.map(([, t]) => t.total_s - t.exposed_s) },
            { name: 'exposed', color: categorical[5], values: sorted.map(([, t]) => t.exposed_s) },
        ],
        format: seconds,
        height: sorted.length * 22 + 40,
    });
    const row = (name, total, exposed) => [name, number(report, total, seconds), number(report, exposed, seconds)];
    const kind = ([key]) => row(label(key), `/overlap/by_kind/${key}/total_s`, `/overlap/by_kind/${key}/exposed_s`);
    return [
        bars,
        table(
            [['mean over ranks'], ...right('total', 'exposed')],
            [
                row(el('b', null, 'all, without notify'), '/overlap/comm_total_s', '/overlap/comm_exposed_s'),
                row('expert exchanges of overlapped F&B', '/overlap/one_f_one_b/total_s', '/overlap/one_f_one_b/exposed_s'),
                ...sorted.map(kind),
            ],
        ),
    ];
}

const kMemory = ['weights', 'gradients', 'optimizer', 'activations_peak'];
export function memory(report) {
    const ranks = report.memory.per_rank;
    if (!ranks.length) {
        return null;
    }
    const bars = stackedBars({
        title: 'Memory of one GPU of each pipeline rank',
        categories: ranks.map((r) => `rank ${r.rank}`),
        series: kMemory.map((part, i) => ({ name: label(part), color: categorical[i], values: ranks.map((r) => r[part]) })),
        format: bytes,
        limit: report.memory.capacity,
        max: report.memory.capacity * 1.02,
        height: ranks.length * 20 + 40,
    });
    const rows = ranks.map((r, i) => [`rank ${r.rank}`, ...[...kMemory, 'total'].map((key) => number(report, `/memory/per_rank/${i}/${key}`, bytes))]);
    const note = el('p.note', null, 'Dashed: capacity, ', number(report, '/memory/capacity', bytes), '. One GPU of each pipeline rank.');
    return [bars, note, folded('As a table', table([['one GPU of'], ...right(...kMemory.map(label), 'total')], rows))];
}

export function sensitivity(report) {
    const list = report.sensitivity;
    if (!list) {
        return null;
    }
    const step = report.step.time_s;
    const change = (key) => list.map((each) => (each[key].predicted_s / step - 1) * 100);
    const bars = stackedBars({
        title: 'Change of the step when one resource is 10 % faster or slower',
        categories: list.map((each) => label(each.resource)),
        stacked: false,
        series: [
            { name: '10 % faster', color: categorical[0], values: change('faster') },
            { name: '10 % slower', color: categorical[1], values: change('slower') },
        ],
        format: percent,
        height: list.length * 40 + 36,
    });
    const kinds = ['faster', 'slower'].flatMap((key) => [`${key}/predicted_s`, `${key}/resimulated_s`]);
    const shown = kinds.filter((kind) => kind.includes('predicted') || list.some((each) => each[kind.split('/')[0]].resimulated_s !== null));
    const title = (kind) => `${kind.split('/')[0]}, ${kind.includes('predicted') ? 'predicted' : 'replayed'}`;
    const rows = list.map((each, i) => [label(each.resource), ...shown.map((kind) => number(report, `/sensitivity/${i}/${kind}`, seconds))]);
    return [bars, folded('Step times', table([['one resource 10 %'], ...right(...shown.map(title))], rows))];
}

export function baseline(report) {
    const base = report.baseline;
    if (!base) {
        return null;
    }
    const rows = base.by_resource.map((each, i) => [
        label(each.resource),
        number(report, `/baseline/by_resource/${i}/contribution_s`, seconds),
        number(report, `/baseline/by_resource/${i}/step_time_s`, seconds),
    ]);
    const changed = base.changed.map((c) => [c.what, JSON.stringify(c.from ?? null).slice(0, 60), JSON.stringify(c.to ?? null).slice(0, 60)]);
    return [
        el('p', null, `${base.cluster}, ${base.calibration}: `, number(report, '/baseline/step_time_s', seconds), ', difference ', number(report, '/baseline/difference_s', seconds)),
        table([['resource'], ...right('contribution', 'step after it')], rows),
        folded(`What differs (${changed.length})`, table([['what'], ['baseline'], ['here']], changed)),
    ];
}

export function layers(report) {
    const list = report.layers;
    if (!list) {
        return null;
    }
    const keys = ['period_s', 'compute_busy_s', 'comm_busy_s', 'comm_exposed_s'];
    const rows = list.map((layer, i) => [`${layer.layer}`, ...keys.map((key) => number(report, `/layers/${i}/${key}`, seconds))]);
    return table([['layer'], ...right('period', 'compute busy', 'communication busy', 'exposed')], rows);
}

export function allToAll(report) {
    if (!report.expert_all_to_all) {
        return null;
    }
    const rows = ['dispatch', 'combine'].map((key) => {
        const at = `/expert_all_to_all/${key}`;
        return [
            key,
            number(report, `${at}/time_us`, unit('µs')),
            number(report, `${at}/logical_gb_per_s`, unit('GB/s')),
            number(report, `${at}/wire_gb_per_s/infiniband`, unit('GB/s')),
            number(report, `${at}/wire_gb_per_s/nvlink`, unit('GB/s')),
        ];
    });
    return table([['exchange'], ...right('time', 'as DeepEP counts', 'InfiniBand', 'NVLink')], rows);
}

function loadMaps(report) {
    const found = routingLayers(report);
    if (!found.length) {
        return el('p.note', null, 'Routing is balanced: every expert gets as many tokens as any other, in every layer.');
    }
    const map = (title, values, unitName, colors, min, max) =>
        el(
            'figure',
            null,
            el('figcaption', null, title),
            heatMap({
                title,
                height: Math.min(380, found.length * 6 + 40),
                rows: found.map((l) => `${l.layer}`),
                columns: values(found[0]).length,
                value: (x, y) => values(found[y])[x],
                rowTick: (i) => `${found[i].layer}`,
                columnTick: (x) => `${x}`,
                tickEvery: Math.max(1, Math.round(values(found[0]).length / 8)),
                lines: (x, y) => [`layer ${found[y].layer}, ${unitName} ${x}: ${values(found[y])[x]} %`],
                min,
                max,
                colors,
            }),
        );
    const fullest = Math.max(...found.map((l) => Math.max(...l.experts)));
    const top = Math.max(200, Math.min(400, Math.ceil(fullest / 100) * 100));
    const nodes = found.flatMap((l) => l.nodes);
    return [
        map('Tokens of each expert over the mean, by layer', (l) => l.experts, 'expert', top > 200 ? amounts : aroundMiddle, 0, top),
        nodes.length > found.length &&
            map(
                'Tokens with an expert on each node, by layer; a row adds up to nodes a token',
                (l) => l.nodes,
                'node',
                amounts,
                Math.floor(Math.min(...nodes) / 10) * 10,
                Math.ceil((Math.max(...nodes) + 1) / 10) * 10,
            ),
    ];
}

export function routing(report) {
    const rows = [
        ['nodes a token, mean', number(report, '/routing/nodes_per_token_mean', plain)],
        ['nodes a token, at most', number(report, '/routing/nodes_per_token_max', plain)],
        ['GPUs a token, mean', number(report, '/routing/ranks_per_token_mean', plain)],
        ['fullest expert over mean', number(report, '/routing/expert_load/max_over_mean', plain)],
        ['Gini coefficient of experts', number(report, '/routing/expert_load/gini', plain)],
        ['fullest rank over mean', number(report, '/routing/rank_load/max_over_mean', plain)],
        ['InfiniBand, a token and layer', number(report, '/routing/ib_bytes_per_token', kilobytes)],
        ['NVLink, a token and layer', number(report, '/routing/nvlink_bytes_per_token', kilobytes)],
    ];
    return [loadMaps(report), table([['routing'], ...right('')], rows)];
}

export function cost(report) {
    if (!report.cost) {
        return null;
    }
    const rows = [
        ['GPU-hours', number(report, '/cost/gpu_hours', plain)],
        ['price', number(report, '/cost/usd', usd)],
        ['energy', number(report, '/cost/energy_kwh', unit('kWh'))],
    ];
    return table([['of this step'], ...right('')], rows);
}

export function training(report) {
    const found = report.training;
    if (!found) {
        return null;
    }
    const value = (pointer, format = plain) => number(report, `/training/${pointer}`, format);
    const rows = [
        ['steps', value('steps')],
        ['tokens', value('tokens', count)],
        ['loss, first and last', [value('loss/first'), ' → ', value('loss/last')]],
        ['loss, mean of the last 200 steps', value('loss/mean_last_200')],
        ['MTP loss, last', value('mtp_loss/last')],
        ['held-out loss', value('held_out_loss')],
        ['the same of a byte model', value('byte_model_loss')],
    ];
    return table([['training'], ...right('')], rows);
}

export function published(report) {
    const list = report.published;
    if (!list.length) {
        return null;
    }
    const ours = report.run_info.measured ? 'measured' : 'simulated';
    const format = ({ metric, published }) =>
        metric.endsWith('_s') ? seconds : metric.includes('mfu') ? share : published >= 1e5 ? count : plain;
    const rows = list.map((item, i) => [
        item.metric,
        number(report, `/published/${i}/${ours}`, format(item)),
        number(report, `/published/${i}/published`, format(item)),
        number(report, `/published/${i}/error_percent`, percent),
        item.source,
    ]);
    return table([['metric'], ...right(ours, 'published', 'error'), ['source', 'wide']], rows);
}

const kLevels = ['measured', 'calibrated', 'datasheet', 'assumed'];
export function sureness(report) {
    const list = report.confidence;
    const rows = list.map((c) => [c.component, confidence(c.level, c.error_percent, c.source), c.source]);
    const counts = kLevels.map((level) => [level, list.filter((c) => c.level === level).length]).filter(([, n]) => n > 0);
    return [
        el('p', null, counts.map(([level, n]) => [confidence(level), n === 1 ? ' 1 component ' : ` ${n} components `])),
        el('p.note', null, 'Errors: how far predictions of left-out points of the same table are off, median. They say how well a table predicts itself, not the step.'),
        folded('What each part rests on', table([['component'], ['level'], ['source', 'wide']], rows)),
    ];
}
